package doctor

import (
	"context"
	"fmt"
	"strings"

	"github.com/dustin/go-humanize"
)

// checkDurability fails for what serve refuses, and warns about the rest.
func (d *Diagnosis) checkDurability(context.Context) Finding {
	var seen, bad, fixes []string
	status := OK
	for _, set := range d.facts.Durability {
		text := set.Name + " = " + set.Value
		seen = append(seen, text)
		if set.Loses == "" {
			continue
		}
		bad, fixes = append(bad, text+": "+set.Loses), append(fixes, set.Fix)
		if set.Refused {
			status = Fail
		} else if status == OK {
			status = Warn
		}
	}
	if len(bad) > 0 {
		seen = bad
	}
	return Finding{Status: status, Detail: strings.Join(seen, "; "), Fix: strings.Join(fixes, "; ")}
}

// checkConnections weighs the pool against the server's limits. While a release
// runs, the old revision and the new one both have their instances.
func (d *Diagnosis) checkConnections(context.Context) Finding {
	f, pools, pool, what := d.facts, 1, d.config.Settings.DBMaxConns, "a pool of %d for each instance"
	if d.OwnPool != nil && d.OwnPool() {
		pools, pool, what = 2, 2*pool, "two pools, the queue's and that of the program's Setup, of %d in all for each instance"
	}
	what = fmt.Sprintf(what, pool)
	free, limit := f.MaxConnections-f.Reserved, "max_connections"
	if f.UserLimit > 0 && f.UserLimit < free {
		free, limit = f.UserLimit, "the limit of this user or database"
	}
	fit := free / pool
	seen := fmt.Sprintf("%s; the server takes %d (%s, %d reserved for administrators), %d are open", what, free, limit, f.Reserved, f.Connections)
	fix := func(instances int) string {
		if most := free / (2 * instances * pools); most > 0 {
			return fmt.Sprintf("DB_MAX_CONNS=%d, or raise %s, or put a pooler in between and set DB_POOLER=true", most, limit)
		}
		return fmt.Sprintf("raise %s, or put a pooler in between and set DB_POOLER=true", limit)
	}
	switch n := d.MaxInstances; {
	case f.Pooled:
		return Okf("%s, through a pooler that has connections of its own", what)
	case n > 0 && n*pool > free:
		return Warnf(fix(n), "%s: %d instances want %d", seen, n, n*pool)
	case n > 0 && 2*n*pool > free:
		return Warnf(fix(n), "%s: %d instances want %d, and %d while a release runs", seen, n, n*pool, 2*n*pool)
	case n > 0:
		return Okf("%s: %d instances want %d, and %d while a release runs", seen, n, n*pool, 2*n*pool)
	case fit < 2:
		return Warnf(fix(1), "%s: there is no room for a second instance", seen)
	}
	return Okf("%s: room for %d instances, or %d while a release runs (--max-instances says how many there are)", seen, fit, fit/2)
}

// checkPacketSize compares the largest statement that the server takes with the
// largest task: quotes and backslashes are sent as two bytes each.
func (d *Diagnosis) checkPacketSize(context.Context) Finding {
	const rest = 64 << 10 // of a statement
	body, packet := uint64(max(0, d.config.Settings.TasksMaxBody)), d.facts.MaxPacket
	needs := 2*body + rest
	seen := fmt.Sprintf("max_allowed_packet is %s, TASKS_MAX_BODY %s", humanize.IBytes(packet), humanize.IBytes(body))
	if packet >= needs {
		return Okf("%s", seen)
	}
	return Warnf(fmt.Sprintf("SET GLOBAL max_allowed_packet = %d (and in my.cnf or the instance's flags), or a smaller TASKS_MAX_BODY", needs),
		"%s: the server refuses tasks and results of that size (413 at enqueue; a result that is too large fails its task)", seen)
}

func (d *Diagnosis) checkPooler(context.Context) Finding {
	switch pooled, set := d.facts.Pooled, d.config.Settings.DBPooler; {
	case pooled && !set:
		return Warnf("DB_POOLER=true", "a connection pooler sits in between; if it pools transactions, statements that are prepared get lost")
	case pooled:
		return Okf("one sits in between, and no statement is prepared")
	case set:
		return Okf("none was seen, yet DB_POOLER is true: statements are not prepared, which costs the server about twice the CPU")
	}
	return Okf("none sits in between; statements are prepared")
}
