package pgstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/internal/storekit"
)

// limitedClaim is a claim of rows that limits concern, or their admission: one
// transaction, in two round trips. The first locks the rows, and for each a free slot of
// each of its limits; the second takes them. The transaction waits for the disk.
type limitedClaim struct {
	claimOf  // its id is zero for a pull, and its ClaimID then the fence
	admitted bool

	limits storekit.Limits
	rows   []storekit.Waiting // in order of preference
	limit  int                // of how many of them

	claimed []*queue.Row
	refused *queue.NotClaimedError
}

// lockedOf is a statement that locks up to $9 of the rows $8 for which a condition holds,
// in this order, and the slots that they need: the row $7 each of the needs. It returns
// the rows and the slots. Indexes: the primary keys.
func lockedOf(condition string) string {
	return `
WITH mine AS MATERIALIZED (
	SELECT id FROM claimcheck_tasks JOIN unnest($8::uuid[]) WITH ORDINALITY AS c(wanted, place) ON id = wanted
	WHERE ` + condition + `
	ORDER BY place LIMIT $9::int8 FOR UPDATE OF claimcheck_tasks SKIP LOCKED),
u AS MATERIALIZED (
	SELECT kind, name, key, part, bound, per, count(*) AS want FROM mine JOIN unnest(` + needsColumns + `, $7::uuid[]) AS n(kind, name, key, part, bound, per, needed_by) ON id = needed_by
	GROUP BY kind, name, key, part, bound, per)
SELECT id, '', '', '', '', 0 FROM mine
UNION ALL
SELECT NULL, free.kind, free.name, free.key, free.part, free.n FROM u, LATERAL (
	` + lockedSlots(freeSlots(`ARRAY(SELECT id FROM mine)`), `u.want`) + `) AS free`
}

var (
	lockClaimedQuery = lockedOf(`claim_id IS DISTINCT FROM $10::uuid AND ` +
		claimable(notPaused, `$11::text[]`, `$12::interval`, ` OR $13::bool AND status = 'FAILED' AND keep_failed IS DISTINCT FROM 0 AND `+keyIsFree))
	// lockAdmittedQuery locks rows that wait, also those whose tickets were lost.
	lockAdmittedQuery = lockedOf(`(hold = 3 OR hold = 4 AND dispatch_due_at <= now())`)

	// Indexes: the primary keys.
	takeClaimedQuery = `
WITH ` + takeSlots(5, `now()`) + `
UPDATE claimcheck_tasks SET ` + setClaimed + notEnded + `, claim_id = c.fence
FROM unnest($3::uuid[], $4::uuid[]) AS c(task, fence)
WHERE id = c.task
RETURNING ` + claimedColumns
	takeAdmittedQuery = `
WITH ` + takeSlots(2, `CASE s.part WHEN 'starts' THEN s.used_at ELSE now() END`) + `
UPDATE claimcheck_tasks SET hold = 4, dispatch_due_at = now() + ` + grace + `
WHERE id = ANY($1::uuid[])
RETURNING ` + lightColumns
)

// rateTicketAt is the dispatch_due_at of a row that waits for $2 microseconds.
var rateTicketAt = `now() + $2::int8 * interval '1 microsecond' + ` + grace

// waitQuery makes a row wait for a limit: without a delivery, or if $2 is positive, for
// one in so many microseconds, or the one for which it waits, if that is between $5 and $3
// and the delivery was not by that ($4): see queue.ClaimRequest.Kept. A row that does not
// keep it gets another time, since the ticket of that name is used up. An expired claim
// ends. Index: the primary key.
var waitQuery = `
UPDATE claimcheck_tasks SET status = 'READY', hold = 3,
	dispatch_due_at = CASE WHEN $2::int8 > 0 AND status = 'READY' AND dispatch_due_at > now() + $5::int8 * interval '1 microsecond' + ` + grace + ` AND dispatch_due_at <= now() + $3::int8 * interval '1 microsecond' + ` + grace + `
		AND dispatch_due_at IS DISTINCT FROM $4::timestamptz THEN dispatch_due_at WHEN $2::int8 > 0 THEN ` + rateTicketAt + ` + CASE dispatch_due_at WHEN ` + rateTicketAt + ` THEN interval '1 ms' ELSE interval '0' END ELSE now() + ` + storekit.LimitedInterval + ` END,
	claim_id = CASE WHEN status = 'RUNNING' THEN NULL ELSE claim_id END, lease_expires_at = NULL
WHERE id = $1::uuid AND status IN ('READY', 'RUNNING')
RETURNING ` + columns

// waitingQuery returns how many rows besides $4 wait that a limit concerns, up to a thousand
// of each task in a queue. It goes through these, and reads one entry of the index for each.
// Written with an order, the condition does not make the planner read the whole table.
// Indexes: claimcheck_tasks_limited, the primary key.
const waitingQuery = `
WITH RECURSIVE places AS (
	(SELECT backend_name, queue_name, task_path FROM claimcheck_tasks WHERE hold >= 3 ORDER BY ` + laneOrder + ` LIMIT 1)
	UNION ALL
	SELECT n.* FROM places AS p, LATERAL (SELECT backend_name, queue_name, task_path FROM claimcheck_tasks
		WHERE hold >= 3 AND (backend_name, queue_name, task_path) > (p.backend_name, p.queue_name, p.task_path)
		ORDER BY ` + laneOrder + ` LIMIT 1) AS n
)
SELECT greatest(coalesce(sum(n), 0) - (SELECT count(*) FILTER (WHERE hold >= 3) FROM claimcheck_tasks WHERE id = $4::uuid), 0)::int8 FROM (
	SELECT a.n FROM places AS p, LATERAL (SELECT count(*) AS n FROM (SELECT FROM claimcheck_tasks AS t
		WHERE t.hold >= 3 AND t.backend_name = p.backend_name AND t.queue_name = p.queue_name AND t.task_path = p.task_path
		ORDER BY ` + laneOrder + ` LIMIT 1000) AS counted) AS a
	WHERE $1::text = 'queue' AND p.queue_name = $2::text OR $1::text = 'name' AND p.task_path = $2::text
	UNION ALL
	SELECT k.n FROM places AS p, LATERAL (SELECT count(*) AS n FROM (SELECT FROM claimcheck_tasks AS t
		WHERE t.hold >= 3 AND t.backend_name = p.backend_name AND t.queue_name = p.queue_name AND t.task_path = p.task_path
			AND coalesce(t.limit_key, '') = CASE $1::text WHEN 'name' THEN $2::text ELSE $3::text END
		ORDER BY ` + laneOrder + ` LIMIT 1000) AS counted) AS k
	WHERE $1::text = 'name' AND p.task_path <> $2::text OR $1::text = 'each' AND p.task_path = $2::text
) AS counts`

// slotsAt are the numbers of the slots of a part of a scope that are locked.
type slotsAt map[slotPart][]int64

type slotPart struct {
	storekit.Scope
	part string
}

// pipeline sends statements in one round trip.
func pipeline(ctx context.Context, conn *pgx.Conn, queue func(*pgx.Batch)) error {
	batch := &pgx.Batch{}
	queue(batch)
	return conn.SendBatch(ctx, batch).Close()
}

// once makes the claim, or returns a shortage of slots that can be ended. With last, a
// delivery is refused nevertheless.
func (c *limitedClaim) once(ctx context.Context, conn *pgx.Conn, last bool) (short shortage, err error) {
	defer func() {
		const idle = 'I'
		if !conn.IsClosed() && conn.PgConn().TxStatus() != idle {
			_, _ = conn.Exec(ctx, `ROLLBACK`) // if that fails too, the pool closes the connection
		}
	}()
	locked, free, err := c.lock(ctx, conn)
	if err != nil || len(locked) == 0 {
		return short, err
	}
	ids, taken := c.assign(locked, free)
	switch {
	case len(ids) > 0:
		return short, c.take(ctx, conn, ids, taken)
	case c.id == uuid.Nil:
		return short, nil
	}
	return c.refuse(ctx, conn, c.rows[0], free, last)
}

// lock begins the transaction, and locks rows and slots.
func (c *limitedClaim) lock(ctx context.Context, conn *pgx.Conn) (locked map[uuid.UUID]bool, free slotsAt, err error) {
	var needs []need
	var ids, neededBy []uuid.UUID
	for _, row := range c.rows {
		ids = append(ids, row.ID)
		for _, n := range needsOf(c.limits.Of(row.Lane)) {
			needs, neededBy = append(needs, n), append(neededBy, row.ID)
		}
	}
	query, args := lockAdmittedQuery, append(needParams(needs), uuidValues(neededBy), uuidValues(ids), c.limit)
	if !c.admitted {
		query, args = lockClaimedQuery, append(args, uuidValue(c.ClaimID), knows(c.Tasks, c.Keys), c.Early, c.AllowRetry)
	}
	locked, free = make(map[uuid.UUID]bool), make(slotsAt)
	err = pipeline(ctx, conn, func(b *pgx.Batch) {
		b.Queue(`BEGIN ISOLATION LEVEL READ COMMITTED`)
		if c.AllowRetry { // the row may take its key again, which another one may be taking
			b.Queue(`SET LOCAL lock_timeout = '` + keyWait + `'`)
		}
		b.Queue(query, args...).Query(func(result pgx.Rows) error {
			var row uuid.UUID
			var at slotPart
			var n int64
			_, err := pgx.ForEachRow(result, []any{(*id)(&row), &at.Kind, &at.Name, &at.Key, &at.part, &n}, func() error {
				if row != uuid.Nil {
					locked[row] = true
				} else {
					free[at] = append(free[at], n)
				}
				return nil
			})
			return err
		})
	})
	return locked, free, err
}

// assign gives slots to rows, in order of preference.
func (c *limitedClaim) assign(locked map[uuid.UUID]bool, free slotsAt) (ids []uuid.UUID, taken slots) {
	for _, row := range c.rows {
		needs := needsOf(c.limits.Of(row.Lane))
		none := func(n need) bool { return len(free[slotPart{n.Scope, n.part}]) == 0 }
		if !locked[row.ID] || slices.ContainsFunc(needs, none) {
			continue
		}
		ids = append(ids, row.ID)
		for _, n := range needs {
			at := slotPart{n.Scope, n.part}
			taken.add(n, free[at][0], row.ID, c.fence(row.ID))
			free[at] = free[at][1:]
		}
	}
	return ids, taken
}

// fence is the claim ID of a row; none if it is admitted.
func (c *limitedClaim) fence(row uuid.UUID) uuid.UUID {
	switch {
	case c.admitted:
		return uuid.Nil
	case c.id == uuid.Nil:
		return queue.PullClaimID(c.ClaimID, row)
	}
	return c.ClaimID
}

// take takes the slots for the rows, and commits.
func (c *limitedClaim) take(ctx context.Context, conn *pgx.Conn, ids []uuid.UUID, taken slots) error {
	var more []*queue.Row
	err := pipeline(ctx, conn, func(b *pgx.Batch) {
		if c.admitted {
			b.Queue(takeAdmittedQuery, append([]any{uuidValues(ids)}, taken.params()...)...).Query(func(result pgx.Rows) (err error) {
				c.claimed, err = many(result, nil)
				return err
			})
		} else {
			fences := make([]uuid.UUID, len(ids))
			for i, row := range ids {
				fences[i] = c.fence(row)
			}
			args := append([]any{c.Worker, c.Lease, uuidValues(ids), uuidValues(fences)}, taken.params()...)
			b.Queue(takeClaimedQuery, args...).Query(func(result pgx.Rows) (err error) {
				more, err = scanClaimed(result, func(r *scanned) *queue.Row {
					row := r.claimed(c.fence(r.ID), c.Lease)
					row.Limited = true
					c.claimed = append(c.claimed, row)
					return row
				})
				return err
			})
		}
		b.Queue(`COMMIT`)
	})
	slices.SortFunc(c.claimed, func(a, b *queue.Row) int { return slices.Index(ids, a.ID) - slices.Index(ids, b.ID) })
	if err == nil {
		err = loadClaimedExtras(ctx, conn, more)
	}
	if err != nil {
		c.claimed = nil // it is not known whether they are, or they are not complete
	}
	return err
}

// refuse makes the row of a delivery wait, unless a shortage can be ended. A limit without
// a slot among free is reached: if it is not yet, other claims have locked its slots.
func (c *limitedClaim) refuse(ctx context.Context, conn *pgx.Conn, row storekit.Waiting, free slotsAt, last bool) (short shortage, err error) {
	needs := needsOf(c.limits.Of(row.Lane))
	states := make(map[need]slotsState)
	err = pipeline(ctx, conn, func(b *pgx.Batch) { queueSlotsState(b, needs, []uuid.UUID{row.ID}, states) })
	if err != nil {
		return short, err
	}
	short.see(states)
	var wait, longest time.Duration
	var running bool
	full := make(map[storekit.Scope]bool)
	for _, n := range needs {
		state := states[n]
		if state.made < n.bound {
			short.missing = append(short.missing, n)
		}
		reached := state.taken >= n.bound || len(free[slotPart{n.Scope, n.part}]) == 0
		full[n.Scope] = full[n.Scope] || reached
		switch {
		case !reached:
		case n.part == storekit.PartRunning:
			running = true
		default:
			until, share, err := waitForStart(ctx, conn, n, row.ID, state.next)
			if err != nil {
				return short, err
			}
			wait, longest = max(wait, until+rand.N(share)), max(longest, until+share+time.Millisecond)
		}
	}
	if short.any() && !last {
		return short, nil
	}
	if running {
		wait = 0 // a task has to end first
	}
	c.refused = &queue.NotClaimedError{Reason: queue.ErrLimited, Wait: wait, Limits: c.limits.Reached(row.Lane, func(b storekit.Bound) bool { return full[b.Scope] })}
	return shortage{}, c.wait(ctx, conn, row, needs, longest)
}

// wait makes the row wait, for as long as the refusal says or the ticket that it keeps, at
// most for longest, commits, and looks whether there is room then.
func (c *limitedClaim) wait(ctx context.Context, conn *pgx.Conn, row storekit.Waiting, needs []need, longest time.Duration) error {
	states := make(map[need]slotsState)
	var now moment
	err := pipeline(ctx, conn, func(b *pgx.Batch) {
		b.Queue(waitQuery, uuidValue(row.ID), c.refused.Wait.Microseconds(), longest.Microseconds(), timeValue(c.Ticket), c.KeptFrom().Microseconds()).QueryRow(func(result pgx.Row) (err error) {
			c.refused.Row, err = one(result)
			if errors.Is(err, pgx.ErrNoRows) { // an operator wanted to retry a FAILED row
				return nil
			}
			return err
		})
		b.Queue(`SELECT now()`).QueryRow(func(result pgx.Row) error { return result.Scan(&now) })
		b.Queue(`COMMIT`)
		queueSlotsState(b, needs, nil, states)
	})
	if err == nil && c.refused.Row != nil && c.refused.Wait > 0 {
		c.refused.Wait = c.refused.Row.DispatchDueAt.Sub(time.Time(now)) - queue.DispatchGrace
	}
	c.refused.Room = true
	for _, n := range needs {
		c.refused.Room = c.refused.Room && states[n].taken < n.bound
	}
	if err == nil && c.refused.Row == nil {
		c.refused.Row, _, err = load(ctx, conn, row.ID)
	}
	return err
}

// waitForStart is how long a row waits that only a rate keeps from being claimed: until
// the next start, and for a part of the share that the other rows take which wait.
func waitForStart(ctx context.Context, q querier, n need, row uuid.UUID, next time.Duration) (until, share time.Duration, err error) {
	var waiting int64
	if err := q.QueryRow(ctx, waitingQuery, string(n.Kind), n.Name, n.Key, uuidValue(row)).Scan(&waiting); err != nil {
		return 0, 0, err
	}
	if next <= 0 { // the slots are being taken
		next = n.per / time.Duration(n.bound)
	}
	share = time.Duration(float64(n.per) * float64(waiting) / float64(n.bound))
	return max(next, time.Microsecond), max(share, time.Millisecond), nil
}

// claimLimited makes a claim, and tries again after it has ended a shortage of slots.
func (s *Store) claimLimited(ctx context.Context, conn *pgx.Conn, c *limitedClaim) error {
	for tries := 2; ; tries-- {
		short, err := c.once(ctx, conn, tries == 0)
		if err != nil || !short.any() {
			return err
		}
		if err := short.end(ctx, conn); err != nil {
			return err
		}
	}
}

// claimLimitedOne claims a row that limits concern, for a delivery.
func (s *Store) claimLimitedOne(ctx context.Context, of claimOf, concerns *limitConcerns) (row *queue.Row, err error) {
	waiting := storekit.Waiting{Lane: storekit.LaneOf(concerns.row), ID: of.id}
	err = storekit.RetryLocked(ctx, storekit.ClaimPatience, func() error {
		c := &limitedClaim{claimOf: of, limits: concerns.limits, rows: []storekit.Waiting{waiting}, limit: 1}
		err := s.with(ctx, "claim task", use{ownTransaction: true}, func(conn *pgx.Conn) error {
			if err := s.claimLimited(ctx, conn, c); err != nil {
				return err
			}
			switch {
			case len(c.claimed) > 0:
				row = c.claimed[0]
				return nil
			case c.refused != nil:
				return c.refused
			}
			row, err = s.whyNot(ctx, conn, of.id, of.ClaimRequest)
			if again := (*limitConcerns)(nil); errors.As(err, &again) {
				err = &queue.NotClaimedError{Reason: queue.ErrLocked, Row: again.row, Wait: storekit.LockedRetryAfter}
			}
			return err
		})
		if isCode(err, pgerrcode.UniqueViolation) || of.AllowRetry && isCode(err, pgerrcode.LockNotAvailable) {
			return fmt.Errorf("claim task %s: %w", of.id, queue.ErrLocked)
		}
		return err
	})
	return row, err
}
