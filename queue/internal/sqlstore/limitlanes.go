package sqlstore

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
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
func (d *Dialect) firstInLane(hold string) string {
	return `SELECT ` + d.lane + ` AS lane, priority, id FROM claimcheck_tasks` + d.useIndex("claimcheck_tasks_limited") + `
		WHERE ` + d.limited + ` AND ` + d.lane + ` = ? AND attempts < max_attempts` + hold + ` ORDER BY ` + d.laneOrder + ` LIMIT ?`
}

// firstInLanes returns the first rows of each lane.
func firstInLanes(ctx context.Context, q querier, lanes []storekit.Lane, limit int, hold string) (rows []storekit.Waiting, err error) {
	d := q.store.dialect
	for some := range slices.Chunk(lanes, 50) {
		var parts []string
		var args []any
		for _, lane := range some {
			parts = append(parts, `SELECT * FROM (`+d.firstInLane(hold)+`) AS f`)
			args = append(args, laneText(lane), limit)
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

// ClaimLimited claims up to req.Limit rows that limits concern.
func (s *Store) ClaimLimited(ctx context.Context, req queue.ClaimNextRequest) (rows []*queue.Row, wait time.Duration, err error) {
	if len(req.Tasks) == 0 || req.Limit < 1 {
		return nil, 0, nil
	}
	if req.Fence == uuid.Nil {
		req.Fence = queue.NewClaimID()
	}
	for range 3 {
		rows, wait, err = s.pullLimited(ctx, req)
		if err != nil || len(rows) > 0 || wait != taken {
			return rows, wait, err
		}
	}
	return nil, 0, nil
}

// taken is the wait after a pull whose rows others have claimed, or the room for them.
const taken = time.Duration(-1)

func (s *Store) pullLimited(ctx context.Context, req queue.ClaimNextRequest) (rows []*queue.Row, wait time.Duration, err error) {
	var chosen []storekit.Waiting
	for range 2 {
		var expired bool
		if err := s.moveLimited(ctx, req); err != nil {
			return nil, 0, err
		}
		err = s.read(ctx, "claim limited tasks", func(conn querier) (err error) {
			chosen, wait, expired, err = s.choose(ctx, conn, req)
			return err
		})
		if err != nil || len(chosen) > 0 || !expired {
			break
		}
		if err := s.reclaimExpired(ctx); err != nil {
			return nil, 0, err
		}
	}
	if err != nil || len(chosen) == 0 {
		return nil, wait, err
	}
	err = s.transaction(ctx, "claim limited tasks", func(ctx context.Context, tx querier) (err error) {
		rows, err = claimChosen(ctx, tx, req, chosen)
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	if len(rows) == 0 {
		wait = taken
	}
	return rows, wait, nil
}

// reclaimExpired ends claims whose leases have expired.
func (s *Store) reclaimExpired(ctx context.Context) error {
	_, lost := s.inBatches(ctx, lostBatch, lostBatch, loseWorkers)
	_, reclaimed := s.inBatches(ctx, manyRows, manyRows, reclaimAll)
	return storekit.JoinErrors(lost, reclaimed)
}

// moveWindow is how many of the first rows that a request asks for are looked at for those
// that a limit concerns. Those behind them are found by later pulls.
const moveWindow = 200

// moveLimited makes the first rows that a request asks for, and that a limit concerns,
// wait in their lanes.
func (s *Store) moveLimited(ctx context.Context, req queue.ClaimNextRequest) error {
	var found []any
	err := s.read(ctx, "claim limited tasks", func(conn querier) error {
		now, g, err := conn.gated(ctx)
		if found = nil; err != nil || len(g.limits) == 0 {
			return err
		}
		query, args := s.dialect.wanted(`id, backend_name, queue_name, task_path, coalesce(limit_key, '')`, req, gates{paused: g.paused}, now)
		return each(ctx, conn, func(scan func(...any) error) error {
			var id string
			var lane storekit.Lane
			err := scan(&id, &lane.Backend, &lane.Queue, &lane.Task, &lane.Key)
			if len(g.limits.Of(lane)) > 0 {
				found = append(found, id)
			}
			return err
		}, query, append(args, moveWindow)...)
	})
	if err != nil || len(found) == 0 {
		return err
	}
	return s.transaction(ctx, "claim limited tasks", func(ctx context.Context, tx querier) error {
		ids, err := lockedIDs(ctx, tx, s.dialect.readyQuery(len(found))+` AND hold = 0`, found...)
		if err != nil || len(ids) == 0 {
			return err
		}
		return update(ctx, tx, ids, `hold = 3`)
	})
}

// choose chooses rows for a pull.
func (s *Store) choose(ctx context.Context, q querier, req queue.ClaimNextRequest) (chosen []storekit.Waiting, wait time.Duration, expired bool, err error) {
	now, g, err := q.gated(ctx)
	if err != nil {
		return nil, 0, false, err
	}
	turn := &storekit.Turn{Limits: g.limits, Limit: req.Limit, OthersFirst: req.OthersFirst, Served: &s.lane.served}
	if req.Share {
		query, args := s.dialect.wanted(`priority`, req, g, now)
		err := each(ctx, q, func(scan func(...any) error) error {
			turn.Others = append(turn.Others, 0)
			return scan(&turn.Others[len(turn.Others)-1])
		}, query, append(args, req.Limit)...)
		if err != nil {
			return nil, 0, false, err
		}
	}
	accept := func(lane storekit.Lane) bool {
		return !g.isPaused(lane.Queue) && slices.Contains(req.Tasks, lane.Task) && (len(req.Queues) == 0 || slices.Contains(req.Queues, lane.Queue)) && (req.Backend == "" || req.Backend == lane.Backend)
	}
	err = s.walk(ctx, q, accept, func(lanes []storekit.Lane, window storekit.Window) (bool, error) {
		left, lost, err := rooms(ctx, q, g.limits, lanes, now, nil)
		if err != nil {
			return false, err
		}
		turn.Rooms, expired = left.Rooms, expired || lost
		open, until := turn.Open(lanes)
		if until > 0 && (wait == 0 || until < wait) {
			wait = until
		}
		chosen, err = s.pick(ctx, q, turn, open, window, ``)
		return len(chosen) == 0 && !turn.Left, err
	})
	return chosen, wait, expired, err
}

// pick chooses rows of lanes that have room, and moves the cursor.
func (s *Store) pick(ctx context.Context, q querier, turn *storekit.Turn, open []storekit.Lane, window storekit.Window, hold string) ([]storekit.Waiting, error) {
	if len(open) == 0 {
		return nil, nil
	}
	rows, err := firstInLanes(ctx, q, open, 2*turn.Limit/len(open)+1, hold)
	if err != nil {
		return nil, err
	}
	chosen, _ := turn.Choose(rows)
	s.lane.served.Add(chosen)
	if len(chosen) > 0 || turn.Left {
		s.lane.set(laneText(window.Next(rows, chosen)))
	}
	return chosen, nil
}

// claimChosen claims those of the chosen rows that fit.
func claimChosen(ctx context.Context, tx querier, req queue.ClaimNextRequest, chosen []storekit.Waiting) (claimed []*queue.Row, err error) {
	var ids []any
	order := make(map[uuid.UUID]int)
	var lanes []storekit.Lane
	for i, row := range chosen {
		ids, lanes, order[row.ID] = append(ids, row.ID), append(lanes, row.Lane), i
	}
	d := tx.store.dialect
	rows, err := list(ctx, tx, `SELECT `+columns+` FROM claimcheck_tasks`+d.byID+` WHERE id IN (`+marks(len(ids))+`) AND status = 'READY' AND hold >= 3 AND attempts < max_attempts`, ids...)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(rows, func(a, b *queue.Row) int { return order[a.ID] - order[b.ID] })
	now, g, err := tx.gated(ctx)
	if err == nil {
		err = lockScopes(ctx, tx, g.limits, lanes, now)
	}
	if err == nil {
		now, err = tx.now(ctx)
	}
	if err != nil {
		return nil, err
	}
	turn, _, err := rooms(ctx, tx, g.limits, lanes, now, nil)
	if err != nil {
		return nil, err
	}
	for _, row := range rows {
		lane := storekit.LaneOf(row)
		if fits, _ := turn.Fits(lane); !fits || g.isPaused(row.Queue) || row.RunAfter.After(now) || row.Expired(now) {
			continue
		}
		turn.TakeRoom(lane, 1)
		if err := recordStart(ctx, tx, g.limits, lane, now); err != nil {
			return nil, err
		}
		claim(row, now, queue.PullClaimID(req.Fence, row.ID), req.Worker, req.Lease)
		row.Limited = true
		claimed = append(claimed, row)
	}
	return claimed, inChunks(claimed, func(some []*queue.Row) error { return saveClaims(ctx, tx, some, now) })
}

// Admit chooses rows that wait for a limit and may be claimed now.
func (s *Store) Admit(ctx context.Context, req queue.AdmitRequest) (rows []*queue.Row, err error) {
	if req.Row == nil {
		if err := s.returnLost(ctx); err != nil {
			return nil, err
		}
	}
	var chosen []storekit.Waiting
	err = s.read(ctx, "admit limited tasks", func(conn querier) (err error) {
		chosen, err = s.chooseAdmitted(ctx, conn, req)
		return err
	})
	if err != nil || len(chosen) == 0 {
		return nil, err
	}
	var ids []any
	for _, w := range chosen {
		ids = append(ids, w.ID)
	}
	err = s.write(ctx, "admit limited tasks", func(ctx context.Context, tx querier, now time.Time) error {
		rows, err = list(ctx, tx, `SELECT `+lightColumns+` FROM claimcheck_tasks`+s.dialect.byID+` WHERE id IN (`+marks(len(ids))+`) AND status = 'READY' AND hold = 3`, ids...)
		if err != nil || len(rows) == 0 {
			return err
		}
		due := now.Add(queue.DispatchGrace)
		var locked []any
		for _, row := range rows {
			row.DispatchDueAt = due
			locked = append(locked, row.ID)
		}
		return update(ctx, tx, locked, `hold = 4, dispatch_due_at = ?`, micros(due))
	})
	return rows, err
}

func (s *Store) chooseAdmitted(ctx context.Context, q querier, req queue.AdmitRequest) ([]storekit.Waiting, error) {
	now, g, err := q.gated(ctx)
	if err != nil || req.Row != nil && len(g.limits) == 0 {
		return nil, err
	}
	shares := func(storekit.Lane) bool { return true }
	if req.Row != nil {
		shares = g.limits.Sharing(storekit.LaneOf(req.Row))
	}
	accept := func(lane storekit.Lane) bool {
		return lane.Backend == req.Backend && req.Knows(lane.Task) && !g.isPaused(lane.Queue) && shares(lane)
	}
	var chosen []storekit.Waiting
	err = s.walk(ctx, q, accept, func(lanes []storekit.Lane, window storekit.Window) (bool, error) {
		turn, _, err := rooms(ctx, q, g.limits, lanes, now, nil)
		if err == nil {
			err = eachAdmitted(ctx, q, reserved(now), func(_ string, lane storekit.Lane) { turn.TakeRoom(lane, 1) })
		}
		if err != nil {
			return false, err
		}
		turn.Limit, turn.Served = req.Limit, &s.lane.served
		open, _ := turn.Open(lanes)
		chosen, err = s.pick(ctx, q, turn, open, window, ` AND hold = 3`)
		return len(chosen) == 0, err
	})
	return chosen, err
}

// returnLost makes admitted rows wait again whose tickets were lost, or refused by
// processes that do not know their tasks.
func (s *Store) returnLost(ctx context.Context) error {
	return s.write(ctx, "admit limited tasks", func(ctx context.Context, tx querier, now time.Time) error {
		ids, err := lockedIDs(ctx, tx, s.dialect.lostTickets(), micros(now), manyRows)
		if err != nil || len(ids) == 0 {
			return err
		}
		return update(ctx, tx, ids, `hold = 3`)
	})
}

func (d *Dialect) lostTickets() string {
	return `SELECT id FROM claimcheck_tasks` + d.useIndex("claimcheck_tasks_admitted") + ` WHERE ` + d.admitted + ` AND ` + d.admittedUntil + ` <= ? ORDER BY ` + d.admittedUntil + ` LIMIT ?`
}
