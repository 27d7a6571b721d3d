package sqlstore

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/internal/storekit"
)

// gates are what keeps rows from being claimed.
type gates struct {
	paused []string
	limits storekit.Limits
}

// gateList is the JSON list of the gates, NULL or [] if there are none: texts of the kind,
// whether it is paused, the limits and the name.
func (d *Dialect) gateList() string {
	return `(SELECT ` + d.jsonList + `(` + d.concat("kind", "CASE WHEN paused_at IS NULL THEN 0 ELSE 1 END", "coalesce(running, 0)", "coalesce(starts, 0)", "coalesce(per_us, 0)", "name") + `) FROM claimcheck_gates
		WHERE paused_at IS NOT NULL OR running IS NOT NULL OR starts IS NOT NULL)`
}

// parseGates decodes that list.
func parseGates(list string) (g gates, err error) {
	var texts []string
	if list == "" {
		return g, nil
	}
	if err := json.Unmarshal([]byte(list), &texts); err != nil {
		return g, err
	}
	var limits []queue.Limit
	for _, text := range texts {
		fields := strings.SplitN(text, " ", 6)
		if len(fields) < 6 {
			return g, fmt.Errorf("gate %q has too few fields", text)
		}
		var l queue.Limit
		var paused int
		var per int64
		if _, err := fmt.Sscan(strings.Join(fields[1:5], " "), &paused, &l.Running, &l.Starts, &per); err != nil {
			return g, fmt.Errorf("gate %q: %w", text, err)
		}
		l.Kind, l.Name, l.Per = queue.LimitKind(fields[0]), fields[5], time.Duration(per)*time.Microsecond
		if paused != 0 {
			g.paused = append(g.paused, l.Name)
		}
		limits = append(limits, l)
	}
	g.limits = storekit.NewLimits(limits)
	return g, nil
}

// isPaused reports whether a queue is paused.
func (g gates) isPaused(name string) bool { return slices.Contains(g.paused, name) }

// names are the names of the limits of a kind.
func (g gates) names(kind queue.LimitKind) (names []any) {
	for scope := range g.limits {
		if scope.Kind == kind {
			names = append(names, scope.Name)
		}
	}
	return names
}

// without is the condition, with its parameters, of the rows that no limit concerns and
// whose queues are not paused.
func (g gates) without() (condition string, args []any) {
	not := func(column string, names []any) string {
		if len(names) == 0 {
			return ``
		}
		args = append(args, names...)
		return ` AND ` + column + ` NOT IN (` + marks(len(names)) + `)`
	}
	queues, names, each := append(anys(g.paused), g.names(queue.LimitQueue)...), g.names(queue.LimitName), g.names(queue.LimitEach)
	condition = not("queue_name", queues) + not("task_path", names)
	if keys := not("limit_key", names) + not("task_path", each); keys != "" {
		condition += ` AND (limit_key IS NULL OR ` + strings.TrimPrefix(keys, ` AND `) + `)`
	}
	return condition, args
}
