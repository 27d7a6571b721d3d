package pgstore

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/internal/storekit"
)

// moveQuery makes the first rows that a request asks for, and that a limit concerns, wait
// in their lanes. Those behind them are found by later pulls. Indexes:
// claimcheck_tasks_claim, then the primary key.
var moveQuery = `
UPDATE claimcheck_tasks SET hold = 3
WHERE id = ANY(ARRAY(SELECT id FROM claimcheck_tasks WHERE hold = 0 AND id = ANY(ARRAY(
	SELECT id FROM (SELECT id, ` + limited + ` AS limited FROM claimcheck_tasks WHERE ` + wanted(notPaused, 1) + ` ORDER BY priority DESC, enqueued_at, id LIMIT 200) AS first
	WHERE limited)) FOR UPDATE SKIP LOCKED))`

// othersQuery returns the priorities of the first $4 rows that ClaimNext would claim.
// Index: claimcheck_tasks_claim.
var othersQuery = `SELECT priority FROM claimcheck_tasks WHERE ` + wanted(notLimited, 1) + ` ORDER BY priority DESC, enqueued_at, id LIMIT $4::int8`

// substitutes is how many more rows than a pull wants it tries to lock: others may pull
// the same ones at the same time.
const substitutes = 32

// chosen is what a pull or an admission found.
type chosen struct {
	limits storekit.Limits
	rows   []storekit.Waiting
	rated  []storekit.Waiting // of an admission without rows: only rates keep them from being claimed
	limit  int                // how many of the rows are wanted
	wait   time.Duration
	short  shortage
	next   *storekit.Lane // behind which the next pull begins to look at lanes; nil: as this one
}

// ClaimLimited claims up to req.Limit rows that limits concern.
func (s *Store) ClaimLimited(ctx context.Context, req queue.ClaimNextRequest) (rows []*queue.Row, wait time.Duration, err error) {
	if len(req.Tasks) == 0 || req.Limit < 1 {
		return nil, 0, nil
	}
	if req.Fence == uuid.Nil {
		req.Fence = queue.NewClaimID()
	}
	req.Fence[7] |= 1
	claim := claimOf{ClaimRequest: queue.ClaimRequest{Tasks: req.Tasks, Keys: req.Keys, Worker: req.Worker, Lease: req.Lease, ClaimID: req.Fence}}
	c := &limitedClaim{claimOf: claim}
	wait, err = s.claimChosen(ctx, "claim limited tasks", c, func(conn *pgx.Conn) (chosen, error) { return s.choosePull(ctx, conn, req) })
	return c.claimed, wait, err
}

// served returns the rows whose lanes have had their turn: those that were claimed, or if
// others have taken all, those that were to be.
func (c *limitedClaim) served() (rows []storekit.Waiting) {
	if len(c.claimed) == 0 {
		return c.rows[:c.limit]
	}
	for _, row := range c.claimed {
		rows = append(rows, storekit.Waiting{Lane: storekit.LaneOf(row), Priority: row.Priority})
	}
	return rows
}

// Admit chooses rows that wait for a limit and may be claimed now.
func (s *Store) Admit(ctx context.Context, req queue.AdmitRequest) ([]*queue.Row, error) {
	c := &limitedClaim{admitted: true}
	var rated []storekit.Waiting
	_, err := s.claimChosen(ctx, "admit limited tasks", c, func(conn *pgx.Conn) (found chosen, err error) {
		found, err = s.chooseAdmission(ctx, conn, req)
		rated = found.rated
		return found, err
	})
	if err != nil || len(c.claimed) > 0 || len(rated) == 0 {
		return c.claimed, err
	}
	return s.expectDelivery(ctx, rated)
}

// expectDeliveryQuery: index: the primary key.
var expectDeliveryQuery = `
UPDATE claimcheck_tasks SET dispatch_due_at = now() + ` + grace + `
WHERE id = ANY(ARRAY(SELECT id FROM claimcheck_tasks WHERE id = ANY($1::uuid[]) AND ` + hasNoTicket + ` FOR UPDATE SKIP LOCKED))
RETURNING ` + lightColumns

// expectDelivery returns those of the rows that expected no delivery, and do now.
func (s *Store) expectDelivery(ctx context.Context, rows []storekit.Waiting) (expecting []*queue.Row, err error) {
	ids := make([]uuid.UUID, len(rows))
	for i, row := range rows {
		ids[i] = row.ID
	}
	err = s.on(ctx, "admit limited tasks", func(conn *pgx.Conn) error {
		result, err := conn.Query(ctx, expectDeliveryQuery, uuidValues(ids))
		if err != nil {
			return err
		}
		expecting, err = many(result, nil)
		return err
	})
	return expecting, err
}

// claimChosen claims or admits what choose returns. It chooses again if others have taken
// all of that meanwhile.
func (s *Store) claimChosen(ctx context.Context, op string, c *limitedClaim, choose func(*pgx.Conn) (chosen, error)) (wait time.Duration, err error) {
	for range 3 {
		var found chosen
		err := s.on(ctx, op, func(conn *pgx.Conn) (err error) {
			if found, err = choose(conn); err == nil && found.short.any() {
				if err = found.short.end(ctx, conn); err == nil && (found.short.expired || found.short.above) {
					found, err = choose(conn)
				}
			}
			return err
		})
		if err != nil || len(found.rows) == 0 {
			s.lane.move(found.next)
			return found.wait, err
		}
		c.limits, c.rows, c.limit = found.limits, found.rows, found.limit
		err = s.with(ctx, op, use{ownTransaction: true}, func(conn *pgx.Conn) error { return s.claimLimited(ctx, conn, c) })
		s.lane.move(found.next)
		if s.lane.served.Add(c.served()); err != nil || len(c.claimed) > 0 {
			return found.wait, err
		}
	}
	return 0, nil
}

// choosePull chooses rows for a pull.
func (s *Store) choosePull(ctx context.Context, conn *pgx.Conn, req queue.ClaimNextRequest) (found chosen, err error) {
	queues := append([]string{}, req.Queues...)
	turn := &storekit.Turn{Limit: req.Limit, Substitutes: substitutes, OthersFirst: req.OthersFirst, Served: &s.lane.served}
	var g gates
	first := func(b *pgx.Batch) {
		b.Queue(moveQuery, knows(req.Tasks, req.Keys), queues, req.Backend)
		queueGates(b, &g)
		if req.Share {
			b.Queue(othersQuery, knows(req.Tasks, req.Keys), queues, req.Backend, req.Limit).Query(func(result pgx.Rows) (err error) {
				turn.Others, err = pgx.CollectRows(result, pgx.RowTo[int])
				return err
			})
		}
	}
	err = s.walk(ctx, conn, first, func(lanes viewed) (more bool, err error) {
		turn.Limits = g.limits
		lanes.leave(func(l storekit.Lane) bool {
			return g.paused[l.Queue] || !slices.Contains(req.Tasks, l.Task) || len(req.Queues) > 0 && !slices.Contains(req.Queues, l.Queue) || req.Backend != "" && req.Backend != l.Backend
		})
		err = s.pick(ctx, conn, turn, lanes, firstInLanesQuery, req.Keys, &found)
		return len(found.rows) == 0 && !turn.Left, err
	})
	return found, err
}

func queueGates(b *pgx.Batch, g *gates) {
	b.Queue(gatesOf + isClosed).Query(func(result pgx.Rows) (err error) {
		*g, err = scanGates(result)
		return err
	})
}

// chooseAdmission chooses rows to be admitted.
func (s *Store) chooseAdmission(ctx context.Context, conn *pgx.Conn, req queue.AdmitRequest) (found chosen, err error) {
	var g gates
	row := req.Row
	turn := &storekit.Turn{Limit: req.Limit, Substitutes: substitutes, Served: &s.lane.served}
	shares := func(storekit.Lane) bool { return true }
	admit := func(lanes viewed) (more bool, err error) {
		if turn.Limits = g.limits; row != nil {
			shares = g.limits.Sharing(storekit.LaneOf(row))
		}
		lanes.leave(func(l storekit.Lane) bool {
			return l.Backend != req.Backend || !req.Knows(l.Task) || g.paused[l.Queue] || !shares(l)
		})
		err = s.pick(ctx, conn, turn, lanes, notAdmittedQuery, req.Keys, &found)
		if err == nil && len(found.rows) == 0 && len(found.rated) == 0 && found.wait > 0 {
			err = s.pickForRate(ctx, conn, turn, lanes, req.Keys, &found)
		}
		return len(found.rows) == 0, err
	}
	if row != nil && row.LimitKey != "" {
		lane := storekit.LaneOf(row)
		var same []storekit.Lane
		err := pipeline(ctx, conn, func(b *pgx.Batch) {
			queueGates(b, &g)
			b.Queue(lanesOfKeyQuery, req.Backend, lane.Task, lane.Key, lane.Queue).Query(func(result pgx.Rows) error { return scanLanes(result, &same) })
		})
		if err != nil {
			return found, err
		}
		if g.limits.OnlyEach(lane) {
			_, err = admit(viewed{lanes: same})
			return found, err
		}
	}
	err = s.walk(ctx, conn, func(b *pgx.Batch) { queueGates(b, &g) }, admit)
	return found, err
}

// pick chooses, of the rows that a statement returns, those of lanes that have room.
func (s *Store) pick(ctx context.Context, conn *pgx.Conn, turn *storekit.Turn, view viewed, query string, keys []string, found *chosen) error {
	lanes := view.lanes
	if len(lanes) == 0 {
		return nil
	}
	var needs []need
	for _, lane := range lanes {
		needs = append(needs, needsOf(turn.Limits.Of(lane))...)
	}
	slices.SortFunc(needs, func(a, b need) int { return a.Compare(b.Scope) })
	needs = slices.Compact(needs)
	var rows []storekit.Waiting
	states := make(map[need]slotsState, len(needs))
	err := pipeline(ctx, conn, func(b *pgx.Batch) {
		queueSlotsState(b, needs, nil, states)
		firstInLanes(b, query, lanes, 2*(turn.Limit+turn.Substitutes)/len(lanes)+2, keys, &rows)
	})
	if err != nil {
		return err
	}
	found.short.see(states)
	turn.Rooms = make(map[storekit.Scope]*storekit.Room)
	for _, n := range needs {
		room := turn.Rooms[n.Scope]
		if room == nil {
			room = &storekit.Room{}
			turn.Rooms[n.Scope] = room
		}
		if n.part == storekit.PartRunning {
			room.Running = n.bound - states[n].taken
		} else {
			room.Starts, room.Next = n.bound-states[n].taken, states[n].next
		}
	}
	if _, wait := turn.Open(lanes); wait > 0 && (found.wait == 0 || wait < found.wait) {
		found.wait = wait
	}
	found.limits = turn.Limits
	found.rows, found.limit = turn.Choose(rows)
	if len(view.window.Lanes) > 0 && (found.limit > 0 || turn.Left) {
		next := view.window.Next(rows, found.rows[:found.limit])
		found.next = &next
	}
	for _, row := range found.rows {
		for _, n := range needsOf(turn.Limits.Of(row.Lane)) {
			if states[n].made < n.bound && !slices.Contains(found.short.missing, n) {
				found.short.missing = append(found.short.missing, n)
			}
		}
	}
	return nil
}

// pickForRate chooses rows of lanes that only rates keep from having room.
func (s *Store) pickForRate(ctx context.Context, conn *pgx.Conn, turn *storekit.Turn, view viewed, keys []string, found *chosen) error {
	var rows []storekit.Waiting
	err := pipeline(ctx, conn, func(b *pgx.Batch) { firstInLanes(b, noTicketQuery, view.lanes, turn.Limit, keys, &rows) })
	found.rated = turn.ChooseForRate(rows)
	return err
}
