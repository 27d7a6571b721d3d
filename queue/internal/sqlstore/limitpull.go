package sqlstore

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/internal/storekit"
)

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
		chosen, err = s.pick(ctx, q, turn, open, window, ``, req.Keys)
		return len(chosen) == 0 && !turn.Left, err
	})
	return chosen, wait, expired, err
}

// pick chooses rows of lanes that have room, and moves the cursor.
func (s *Store) pick(ctx context.Context, q querier, turn *storekit.Turn, open []storekit.Lane, window storekit.Window, hold string, keys []string) ([]storekit.Waiting, error) {
	if len(open) == 0 {
		return nil, nil
	}
	rows, err := firstInLanes(ctx, q, open, 2*turn.Limit/len(open)+1, hold, keys)
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
