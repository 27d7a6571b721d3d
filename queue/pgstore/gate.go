package pgstore

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/internal/storekit"
)

var _ queue.Gatekeeper = (*Store)(nil)

// Gates keep rows from being claimed: queues that are paused, and limits. Every statement
// that claims has a condition that reads the few rows of claimcheck_gates_closed once and
// not for each row: a look at one more table would cost a single claim as much again,
// some 5 us of 75. So there are two of them: see claimTexts.
//
// Parking a row and resuming its queue exclude each other: a statement that parks locks
// the gate, so that ResumeQueue waits for it, and a later one sees that the queue is not
// paused. Several may park at once. Rows are skipped if they are locked, so that neither
// waits for a row.

// notPaused is the condition of the rows whose queues are not paused. Index:
// claimcheck_gates_paused.
const notPaused = `queue_name <> ALL(ARRAY(SELECT name FROM claimcheck_gates WHERE kind = 'queue' AND paused_at IS NOT NULL))`

// The conditions of the rows that no gate keeps from being claimed. Index:
// claimcheck_gates_closed.
const (
	isLimit  = `(running IS NOT NULL OR starts IS NOT NULL)`
	isClosed = `(paused_at IS NOT NULL OR running IS NOT NULL OR starts IS NOT NULL)`
	// notGated is for as long as there are no limits. A limit is a NULL among the paused
	// queues, with which the condition is never true.
	notGated = `queue_name <> ALL(ARRAY(SELECT CASE WHEN running IS NULL AND starts IS NULL THEN name END FROM claimcheck_gates WHERE ` + isClosed + `))`
	// notLimited is the condition also where there are limits. No row that a limit
	// concerns is claimed so: its claim takes slots (limitclaim.go).
	notLimited = `queue_name <> ALL(ARRAY(SELECT name FROM claimcheck_gates WHERE kind = 'queue' AND ` + isClosed + `))
		AND task_path <> ALL(ARRAY(SELECT name FROM claimcheck_gates WHERE kind = 'name' AND ` + isClosed + `))
		AND (limit_key IS NULL OR limit_key <> ALL(ARRAY(SELECT name FROM claimcheck_gates WHERE kind = 'name' AND ` + isClosed + `))
			AND task_path <> ALL(ARRAY(SELECT name FROM claimcheck_gates WHERE kind = 'each' AND ` + isClosed + `)))`
)

var (
	parkedFrom = `timestamptz '` + queue.ParkedFrom.Format("2006-01-02") + ` 00:00:00+00'`
	// isParkedDue selects the parked rows, and not those that wait for a limit.
	isParkedDue = `>= ` + parkedFrom + ` AND t.dispatch_due_at < ` + limitedFrom
	setParked   = `hold = 2, dispatch_due_at = dispatch_due_at + ` + storekit.ParkInterval
	// parkedNow is the dispatch_due_at of a parked row that should be dispatched as soon
	// as its queue is resumed.
	parkedNow = `now() + ` + storekit.ParkInterval
)

// waitingBackends are the backends that have READY rows, each found by its first entry.
// Index: claimcheck_tasks_waiting. It needs WITH RECURSIVE.
const waitingBackends = `backends AS (
	(SELECT backend_name FROM claimcheck_tasks WHERE status = 'READY' ORDER BY backend_name LIMIT 1)
	UNION ALL
	SELECT (SELECT t.backend_name FROM claimcheck_tasks t WHERE t.status = 'READY' AND t.backend_name > b.backend_name
		ORDER BY t.backend_name LIMIT 1)
	FROM backends b WHERE b.backend_name IS NOT NULL
)`

// waitingIn are the READY rows of a queue, of all backends, that a condition on
// dispatch_due_at selects. Index: claimcheck_tasks_waiting, in its order.
func waitingIn(what, queueName, due, rest string) string {
	return `backends AS b, LATERAL (SELECT ` + what + ` FROM claimcheck_tasks AS t
		WHERE t.status = 'READY' AND t.backend_name = b.backend_name AND t.queue_name = ` + queueName + ` AND t.dispatch_due_at ` + due + rest + `) AS waiting`
}

// gatesNeedWork reports whether there are rows to be parked, or parked rows to be made
// claimable again. Without gates it reads nothing else.
var gatesNeedWork = `EXISTS (SELECT FROM claimcheck_gates AS g WHERE g.kind = 'queue' AND g.parked AND (g.paused_at IS NULL
		OR EXISTS (SELECT FROM ` + waitingIn(`1`, `g.name`, `< `+parkedFrom, ` LIMIT 1`) + `)))`

// pauseQuery: index: the primary key.
const pauseQuery = `
INSERT INTO claimcheck_gates AS g (kind, name, paused_at, paused_by, pause_reason, parked)
VALUES ('queue', $1::text, now(), $2::text, $3::text, true)
ON CONFLICT (kind, name) DO UPDATE SET paused_at = excluded.paused_at, paused_by = excluded.paused_by, pause_reason = excluded.pause_reason, parked = true
WHERE g.paused_at IS NULL
RETURNING name, paused_at, paused_by, pause_reason, parked`

// resumeQuery: index: the primary key. It returns the gate as it was.
const resumeQuery = `
UPDATE claimcheck_gates AS g SET paused_at = NULL, paused_by = NULL, pause_reason = NULL
FROM (SELECT * FROM claimcheck_gates WHERE kind = 'queue' AND name = $1::text AND paused_at IS NOT NULL FOR UPDATE) AS was
WHERE g.kind = was.kind AND g.name = was.name
RETURNING was.name, was.paused_at, was.paused_by, was.pause_reason, was.parked`

const gatesQuery = `SELECT name, paused_at, coalesce(paused_by, ''), coalesce(pause_reason, ''), parked FROM claimcheck_gates
WHERE kind = 'queue' AND (paused_at IS NOT NULL OR parked)`

func gateFields(g *queue.Gate) []any {
	return []any{&g.Queue, (*moment)(&g.PausedAt), &g.PausedBy, &g.PauseReason, &g.Parked}
}

// PauseQueue keeps rows of a queue from being claimed.
func (s *Store) PauseQueue(ctx context.Context, name, by, reason string) (g queue.Gate, changed bool, err error) {
	err = s.on(ctx, "pause queue", func(conn *pgx.Conn) error {
		for { // until it is paused: it may be resumed between the two statements
			err := conn.QueryRow(ctx, pauseQuery, name, by, reason).Scan(gateFields(&g)...)
			if changed = err == nil; !errors.Is(err, pgx.ErrNoRows) {
				return err
			}
			err = conn.QueryRow(ctx, gatesQuery+` AND name = $1::text AND paused_at IS NOT NULL`, name).Scan(gateFields(&g)...)
			if !errors.Is(err, pgx.ErrNoRows) {
				return err
			}
		}
	})
	return g, changed, err
}

// ResumeQueue lets rows of a queue be claimed again. It waits for statements that park
// rows.
func (s *Store) ResumeQueue(ctx context.Context, name string) (g queue.Gate, changed bool, err error) {
	g.Queue = name
	err = s.on(ctx, "resume queue", func(conn *pgx.Conn) error {
		err := conn.QueryRow(ctx, resumeQuery, name).Scan(gateFields(&g)...)
		if changed = err == nil; errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		return err
	})
	return g, changed, err
}

// Gates returns the queues that are paused, and those that may have parked rows.
func (s *Store) Gates(ctx context.Context) (gates []queue.Gate, err error) {
	err = s.on(ctx, "read gates", func(conn *pgx.Conn) error {
		gates = nil
		result, err := conn.Query(ctx, gatesQuery+` ORDER BY name COLLATE "C"`)
		if err != nil {
			return err
		}
		var g queue.Gate
		_, err = pgx.ForEachRow(result, gateFields(&g), func() error {
			gates = append(gates, g)
			return nil
		})
		return err
	})
	return gates, err
}

// lockedGate is the gate of queue $1 in a state, locked until the end of the statement's
// transaction; no row if it is in another one, or about to be.
func lockedGate(state string) string {
	return `gate AS MATERIALIZED (SELECT name FROM claimcheck_gates WHERE kind = 'queue' AND name = $1::text AND paused_at ` + state + ` FOR SHARE SKIP LOCKED)`
}

// parkSome is the change of up to $2 rows of queue $1, if its gate is in a state.
func parkSome(state, set, due string) string {
	return `
WITH RECURSIVE ` + waitingBackends + `, ` + lockedGate(state) + `
UPDATE claimcheck_tasks SET ` + set + `
WHERE id = ANY(ARRAY(
	SELECT id FROM ` + waitingIn(`t.id`, `$1::text`, due, ` ORDER BY t.dispatch_due_at LIMIT $2::int8 FOR UPDATE SKIP LOCKED`) + `
	WHERE (SELECT count(*) FROM gate) > 0
	LIMIT $2::int8))`
}

// unparked is the dispatch_due_at of a row that is no longer parked. What should have been
// claimed by now, or was refused a delivery, is dispatched by the caller, and later by
// the sweeper. Any other row still has its ticket.
var unparked = `CASE WHEN dispatch_due_at <= ` + parkedNow + ` THEN now() + ` + grace + ` ELSE dispatch_due_at - ` + storekit.ParkInterval + ` END`

// The statements find their rows by claimcheck_tasks_waiting, and change them by the
// primary key.
var (
	parkQuery   = parkSome(`IS NOT NULL`, setParked, `< `+parkedFrom)
	unparkQuery = parkSome(`IS NULL`, `hold = CASE WHEN coalesce(retry_at, run_after) > now() THEN 1 ELSE 0 END, dispatch_due_at = `+unparked, isParkedDue) + `
RETURNING dispatch_due_at = now() + ` + grace + `, ` + lightColumns
	// noneParkedQuery reports whether queue $1 has no parked rows.
	noneParkedQuery = `WITH RECURSIVE ` + waitingBackends + ` SELECT NOT EXISTS (SELECT FROM ` + waitingIn(`1`, `$1::text`, isParkedDue, ` LIMIT 1`) + `)`
)

const (
	lockGateQuery  = `SELECT paused_at IS NULL AND parked FROM claimcheck_gates WHERE kind = 'queue' AND name = $1::text FOR UPDATE`
	clearGateQuery = `UPDATE claimcheck_gates SET parked = false WHERE kind = 'queue' AND name = $1::text`
)

// Park moves READY rows of a paused queue out of the indexes of claims and of the
// sweeper.
func (s *Store) Park(ctx context.Context, name string, limit int) (n int, err error) {
	err = s.on(ctx, "park tasks", func(conn *pgx.Conn) error {
		n, err = count(conn.Exec(ctx, parkQuery, name, limit))
		return err
	})
	return n, err
}

// Unpark makes parked rows of a queue that is not paused claimable again.
func (s *Store) Unpark(ctx context.Context, name string, limit int) (n int, due []*queue.Row, err error) {
	defer s.hints.forget()
	err = s.on(ctx, "unpark tasks", func(conn *pgx.Conn) error {
		n, due = 0, nil
		result, err := conn.Query(ctx, unparkQuery, name, limit)
		if err != nil {
			return err
		}
		var r scanned
		var isDue bool
		_, err = pgx.ForEachRow(result, append([]any{&isDue}, r.fields()...), func() error {
			if n++; isDue {
				due = append(due, r.row())
			}
			return nil
		})
		return err
	})
	if err != nil || n == limit {
		return n, due, err
	}
	return n, due, s.clearGate(ctx, name)
}

// clearGate records that a queue which is not paused has no parked rows. It looks for
// them while it has locked the gate, so that none is parked meanwhile.
func (s *Store) clearGate(ctx context.Context, name string) error {
	return s.with(ctx, "unpark tasks", use{ownTransaction: true}, func(conn *pgx.Conn) error {
		return pgx.BeginTxFunc(ctx, conn, readCommitted, func(tx pgx.Tx) error {
			var wanted, none bool
			err := tx.QueryRow(ctx, lockGateQuery, name).Scan(&wanted)
			if errors.Is(err, pgx.ErrNoRows) || err == nil && !wanted {
				return nil
			}
			if err == nil {
				err = tx.QueryRow(ctx, noneParkedQuery, name).Scan(&none)
			}
			if err == nil && none {
				_, err = tx.Exec(ctx, clearGateQuery, name)
			}
			return err
		})
	})
}

// parkDeliveredQuery parks a row whose delivery comes while its queue is paused: the
// delivery was its ticket, so it is due for another one as soon as the queue is resumed.
// An expired claim ends. It reports whether the queue is paused, and returns the
// dispatch_due_at of the row if it is parked. Index: the primary key.
var parkDeliveredQuery = `
WITH ` + lockedGate(`IS NOT NULL`) + `, parked AS (
	UPDATE claimcheck_tasks SET status = 'READY', hold = 2, dispatch_due_at = ` + parkedNow + `,
		claim_id = CASE WHEN status = 'RUNNING' THEN NULL ELSE claim_id END, lease_expires_at = NULL
	WHERE id = ` + freeRow(`id = $2::uuid AND queue_name = $1::text AND (SELECT count(*) FROM gate) > 0
		AND (`+isReady+` OR `+isRunning+` AND lease_expires_at <= now() AND attempts < max_attempts)`) + `
	RETURNING dispatch_due_at)
SELECT EXISTS (SELECT FROM gate), (SELECT dispatch_due_at FROM parked)`

// refusePaused returns the refusal of a claim whose row, as it was read, was not claimed
// because its queue is paused; nil if it is not.
func refusePaused(ctx context.Context, q querier, row *queue.Row) error {
	var paused bool
	var parked moment
	if err := q.QueryRow(ctx, parkDeliveredQuery, row.Queue, uuidValue(row.ID)).Scan(&paused, &parked); err != nil || !paused {
		return err
	}
	switch {
	case row.Status == queue.StatusFailed: // an operator wanted to retry it
	case time.Time(parked).IsZero():
		return nil // it is locked, or has just changed
	case row.Status == queue.StatusRunning:
		row.Status, row.ClaimID, row.LeaseExpiresAt = queue.StatusReady, uuid.Nil, time.Time{}
		fallthrough
	default:
		row.DispatchDueAt = time.Time(parked)
	}
	return &queue.NotClaimedError{Reason: queue.ErrPaused, Row: row}
}
