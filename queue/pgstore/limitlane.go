package pgstore

import (
	"context"
	"slices"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/claimcheck-go/claimcheck/queue/internal/storekit"
)

// Rows that wait for a limit are in lanes: those of one backend, queue, task and limit
// key, which wait for the same limits. The keys take turns (storekit.Served). With many, a
// pull looks at laneWindow of them at a time, and at those of the first rows by priority;
// the next one goes on with others (storekit.Window). If none of them has room, it goes on to the next, up
// to laneWindows times.
const (
	laneWindow  = 64
	laneWindows = 32
)

// laneKey and laneOrder are the columns of claimcheck_tasks_limited.
const (
	laneKey     = `backend_name, queue_name, task_path, coalesce(limit_key, '')`
	laneOrder   = laneKey + `, priority DESC, enqueued_at, id`
	laneColumns = `backend_name, queue_name, task_path, coalesce(limit_key, '') AS lane_key`
)

// lanesQuery returns up to $5 lanes after one, in the order of their index, from which it
// reads one entry for each. Index: claimcheck_tasks_limited.
const lanesQuery = `
WITH RECURSIVE lanes AS (
	(SELECT ` + laneColumns + ` FROM claimcheck_tasks WHERE hold >= 3 AND (` + laneKey + `) > ($1::text, $2::text, $3::text, $4::text)
		ORDER BY ` + laneOrder + ` LIMIT 1)
	UNION ALL
	SELECT n.* FROM lanes AS l, LATERAL (SELECT ` + laneColumns + ` FROM claimcheck_tasks
		WHERE hold >= 3 AND (` + laneKey + `) > (l.backend_name, l.queue_name, l.task_path, l.lane_key)
		ORDER BY ` + laneOrder + ` LIMIT 1) AS n
)
SELECT * FROM lanes LIMIT $5::int8`

// topLanesQuery returns the lanes of the first rows by priority, unless all have the same
// one. Index: claimcheck_tasks_limited_first.
const topLanesQuery = `
SELECT DISTINCT * FROM (
	SELECT ` + laneColumns + ` FROM claimcheck_tasks
	WHERE hold > 2 AND priority > (SELECT priority FROM claimcheck_tasks WHERE hold > 2 ORDER BY priority, enqueued_at DESC, id DESC LIMIT 1)
	ORDER BY priority DESC, enqueued_at, id LIMIT 50) AS first`

// lanesOfKeyQuery returns the lanes of one task and limit key, in all queues of a backend:
// first those of the queues after $4. Index: claimcheck_tasks_limited.
const lanesOfKeyQuery = `
WITH RECURSIVE queues AS (
	(SELECT queue_name FROM claimcheck_tasks WHERE hold >= 3 AND backend_name = $1::text ORDER BY ` + laneOrder + ` LIMIT 1)
	UNION ALL
	SELECT n.* FROM queues AS q, LATERAL (SELECT queue_name FROM claimcheck_tasks WHERE hold >= 3 AND backend_name = $1::text AND queue_name > q.queue_name
		ORDER BY ` + laneOrder + ` LIMIT 1) AS n
)
SELECT $1::text, q.queue_name, $2::text, $3::text FROM queues AS q, LATERAL (
	SELECT FROM claimcheck_tasks AS t WHERE t.hold >= 3 AND t.backend_name = $1::text AND t.queue_name = q.queue_name AND t.task_path = $2::text AND coalesce(t.limit_key, '') = $3::text LIMIT 1) AS first
ORDER BY q.queue_name <= $4::text, q.queue_name`

// firstInLanesQuery returns the first $5 rows of each lane; notAdmittedQuery only those that
// are not admitted, and noTicketQuery only those that expect no delivery.
var (
	firstInLanesQuery = firstInLanesOf(`true`)
	notAdmittedQuery  = firstInLanesOf(`(hold = 3 OR dispatch_due_at <= now())`)
	noTicketQuery     = firstInLanesOf(hasNoTicket)
)

// hasNoTicket is the condition of the rows that wait for a limit and expect no delivery.
var hasNoTicket = `hold = 3 AND dispatch_due_at >= ` + limitedFrom

// firstInLanesOf is a statement that returns the first $5 rows of each lane for which a
// condition holds, and whose key is in $6, which knows returns. Index:
// claimcheck_tasks_limited.
func firstInLanesOf(condition string) string {
	return `
SELECT l.i, f.priority, f.id FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) WITH ORDINALITY AS l(backend, queue, task, key, i),
	LATERAL (SELECT priority, id FROM claimcheck_tasks
		WHERE hold >= 3 AND backend_name = l.backend AND queue_name = l.queue AND task_path = l.task AND coalesce(limit_key, '') = l.key
			AND attempts < max_attempts AND ` + hasKey(`$6::text[]`) + ` AND ` + condition + `
		ORDER BY ` + laneOrder + ` LIMIT $5::int8) AS f
ORDER BY l.i, f.priority DESC`
}

// laneCursor is from where the next pull looks at lanes, and whose turn it is among them.
type laneCursor struct {
	served storekit.Served
	mu     sync.Mutex
	lane   storekit.Lane
}

func (c *laneCursor) get() storekit.Lane {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lane
}

func (c *laneCursor) set(lane storekit.Lane) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lane = lane
}

// move sets the cursor unless lane is nil.
func (c *laneCursor) move(lane *storekit.Lane) {
	if lane != nil {
		c.set(*lane)
	}
}

// viewed are lanes that a pull looks at.
type viewed struct {
	lanes  []storekit.Lane
	window storekit.Window
}

// leave leaves lanes out.
func (v *viewed) leave(out func(storekit.Lane) bool) {
	n := len(v.lanes)
	v.lanes = slices.DeleteFunc(v.lanes, out)
	v.window.Part = v.window.Part || len(v.lanes) < n
}

// walk calls visit with lanes from the cursor on, a window of them at a time and in turn,
// until visit returns false or it has seen all lanes, or so many that the next call
// continues there. first queues what else the first round trip sends.
func (s *Store) walk(ctx context.Context, conn *pgx.Conn, first func(*pgx.Batch), visit func(viewed) (more bool, err error)) error {
	from := s.lane.get()
	after, wrapped := from, from == storekit.Lane{}
	for range laneWindows {
		var seen, again, top []storekit.Lane
		err := pipeline(ctx, conn, func(b *pgx.Batch) {
			if first != nil {
				first(b)
				b.Queue(topLanesQuery).Query(func(result pgx.Rows) error { return scanLanes(result, &top) })
			}
			lanesAfter(b, after, &seen)
			if !wrapped {
				lanesAfter(b, storekit.Lane{}, &again)
			}
		})
		if err != nil {
			return err
		}
		first = nil
		if len(seen) < laneWindow && !wrapped {
			if i := slices.IndexFunc(again, func(l storekit.Lane) bool { return slices.Contains(seen, l) }); i >= 0 {
				again = again[:i] // once around
			}
			seen, wrapped = append(seen, again[:min(len(again), laneWindow-len(seen))]...), true
		}
		last := wrapped && len(seen) < laneWindow
		if i := slices.Index(seen, from); wrapped && i >= 0 {
			seen, last = seen[:i+1], true
		}
		if len(seen) > 0 {
			after = seen[len(seen)-1]
			top = slices.DeleteFunc(top, func(l storekit.Lane) bool { return slices.Contains(seen, l) })
			window := storekit.Window{Lanes: slices.Clone(seen), Part: len(top) > 0}
			if more, err := visit(viewed{append(seen, top...), window}); err != nil || !more {
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

func lanesAfter(b *pgx.Batch, after storekit.Lane, lanes *[]storekit.Lane) {
	b.Queue(lanesQuery, after.Backend, after.Queue, after.Task, after.Key, laneWindow).Query(func(result pgx.Rows) error { return scanLanes(result, lanes) })
}

func scanLanes(result pgx.Rows, lanes *[]storekit.Lane) error {
	var lane storekit.Lane
	_, err := pgx.ForEachRow(result, []any{&lane.Backend, &lane.Queue, &lane.Task, &lane.Key}, func() error {
		*lanes = append(*lanes, lane)
		return nil
	})
	return err
}

// firstInLanes adds the first rows of each lane, by one of those statements, to rows.
func firstInLanes(b *pgx.Batch, query string, lanes []storekit.Lane, limit int, known []string, rows *[]storekit.Waiting) {
	var backends, queues, tasks, limitKeys []string
	for _, lane := range lanes {
		backends, queues, tasks, limitKeys = append(backends, lane.Backend), append(queues, lane.Queue), append(tasks, lane.Task), append(limitKeys, lane.Key)
	}
	b.Queue(query, backends, queues, tasks, limitKeys, limit, knows([]string{}, known)).Query(func(result pgx.Rows) error {
		var i int64
		var row storekit.Waiting
		_, err := pgx.ForEachRow(result, []any{&i, &row.Priority, (*id)(&row.ID)}, func() error {
			row.Lane = lanes[i-1]
			*rows = append(*rows, row)
			return nil
		})
		return err
	})
}
