package sqlstore

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/claimcheck-go/claimcheck/queue/internal/storekit"
)

// The limit keys take turns (storekit.Served). With many lanes, a pull looks at laneWindow of
// them at a time, and the next one goes on with others (storekit.Window): the highest
// priority is then that of these. If none of them has room, it looks at the next, up to
// laneWindows times.
const (
	laneWindow  = 200
	laneWindows = 10
)

// laneCursor is from where the next pull looks at lanes, and whose turn it is among them.
type laneCursor struct {
	served storekit.Served
	mu     sync.Mutex
	lane   string
}

func (c *laneCursor) get() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lane
}

func (c *laneCursor) set(lane string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lane = lane
}

// laneText is a lane as its index has it. Only the limit key may contain the separator.
func laneText(l storekit.Lane) string {
	return strings.Join([]string{l.Backend, l.Queue, l.Task, l.Key}, "|")
}

func parseLane(text string) (storekit.Lane, bool) {
	parts := strings.SplitN(text, "|", 4)
	if len(parts) < 4 {
		return storekit.Lane{}, false
	}
	return storekit.Lane{Backend: parts[0], Queue: parts[1], Task: parts[2], Key: parts[3]}, true
}

// lanesQuery returns the first lanes after one. Index: claimcheck_tasks_limited, one
// entry for each.
func (d *Dialect) lanesQuery() string {
	next := strings.TrimSuffix(d.nextLane(), `?`)
	return `WITH RECURSIVE lanes (lane, n) AS (
		SELECT (` + next + `?), 1
		UNION ALL SELECT (` + next + `l.lane), l.n + 1 FROM lanes AS l WHERE l.lane IS NOT NULL AND l.n < ?)
	SELECT lane FROM lanes WHERE lane IS NOT NULL`
}

// walk calls visit with lanes from the cursor on, a window of them at a time and in turn,
// until visit returns false or it has seen all lanes, or so many that the next call
// continues there.
func (s *Store) walk(ctx context.Context, q querier, accept func(storekit.Lane) bool, visit func(lanes []storekit.Lane, window storekit.Window) (more bool, err error)) error {
	from := s.lane.get()
	after, wrapped := from, from == ""
	for range laneWindows {
		seen, err := s.lanesAfter(ctx, q, after, laneWindow)
		if err == nil && len(seen) < laneWindow && !wrapped {
			var first []string
			first, err = s.lanesAfter(ctx, q, "", laneWindow-len(seen))
			if i := slices.IndexFunc(first, func(l string) bool { return slices.Contains(seen, l) }); i >= 0 {
				first = first[:i] // once around
			}
			seen, wrapped = append(seen, first...), true
		}
		if err != nil {
			return err
		}
		last := wrapped && len(seen) < laneWindow
		if i := slices.Index(seen, from); wrapped && i >= 0 {
			seen, last = seen[:i+1], true
		}
		var lanes []storekit.Lane
		var window storekit.Window
		for _, text := range seen {
			if lane, ok := parseLane(text); ok {
				if window.Lanes = append(window.Lanes, lane); accept(lane) {
					lanes = append(lanes, lane)
				}
			}
			after = text
		}
		if window.Part = len(lanes) < len(window.Lanes); len(lanes) > 0 {
			if more, err := visit(lanes, window); err != nil || !more {
				return err
			}
		}
		if last {
			return nil
		}
		s.lane.set(after)
	}
	return nil
}

func (s *Store) lanesAfter(ctx context.Context, q querier, after string, limit int) (lanes []string, err error) {
	err = each(ctx, q, func(scan func(...any) error) error {
		var lane string
		err := scan(&lane)
		lanes = append(lanes, lane)
		return err
	}, s.dialect.lanesQuery(), after, limit)
	slices.Sort(lanes)
	return lanes, err
}

// firstInLane returns the first rows of a lane. Index: claimcheck_tasks_limited.
func (d *Dialect) firstInLane(hold, key string) string {
	return `SELECT ` + d.lane + ` AS lane, priority, id FROM claimcheck_tasks` + d.useIndex("claimcheck_tasks_limited") + `
		WHERE ` + d.limited + ` AND ` + d.lane + ` = ? AND attempts < max_attempts` + key + hold + ` ORDER BY ` + d.laneOrder + ` LIMIT ?`
}

// firstInLanes returns the first rows of each lane.
func firstInLanes(ctx context.Context, q querier, lanes []storekit.Lane, limit int, hold string, keys []string) (rows []storekit.Waiting, err error) {
	d := q.store.dialect
	key, known := hasKey(keys)
	for some := range slices.Chunk(lanes, 50) {
		var parts []string
		var args []any
		for _, lane := range some {
			parts = append(parts, `SELECT * FROM (`+d.firstInLane(hold, key)+`) AS f`)
			args = append(append(append(args, laneText(lane)), known...), limit)
		}
		err = each(ctx, q, func(scan func(...any) error) error {
			var text string
			var row storekit.Waiting
			err := scan(&text, &row.Priority, &row.ID)
			row.Lane, _ = parseLane(text)
			rows = append(rows, row)
			return err
		}, strings.Join(parts, ` UNION ALL `), args...)
		if err != nil {
			return nil, err
		}
	}
	return rows, nil
}
