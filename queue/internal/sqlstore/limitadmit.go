package sqlstore

import (
	"context"
	"fmt"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/internal/storekit"
)

// Admit chooses rows that wait for a limit and may be claimed now.
func (s *Store) Admit(ctx context.Context, req queue.AdmitRequest) (rows []*queue.Row, err error) {
	if req.Row == nil {
		if err := s.returnLost(ctx); err != nil {
			return nil, err
		}
	}
	var chosen, rated []storekit.Waiting
	err = s.read(ctx, "admit limited tasks", func(conn querier) (err error) {
		chosen, rated, err = s.chooseAdmitted(ctx, conn, req)
		return err
	})
	condition, set := ` AND status = 'READY' AND hold = 3`, `hold = 4, dispatch_due_at = ?`
	if len(chosen) == 0 {
		chosen, condition, set = rated, hasNoTicket, `dispatch_due_at = ?`
	}
	if err != nil || len(chosen) == 0 {
		return nil, err
	}
	var ids []any
	for _, w := range chosen {
		ids = append(ids, w.ID)
	}
	err = s.write(ctx, "admit limited tasks", func(ctx context.Context, tx querier, now time.Time) error {
		rows, err = list(ctx, tx, `SELECT `+lightColumns+` FROM claimcheck_tasks`+s.dialect.byID+` WHERE id IN (`+marks(len(ids))+`)`+condition, ids...)
		if err != nil || len(rows) == 0 {
			return err
		}
		due := now.Add(queue.DispatchGrace)
		var locked []any
		for _, row := range rows {
			row.DispatchDueAt = due
			locked = append(locked, row.ID)
		}
		return update(ctx, tx, locked, set, micros(due))
	})
	return rows, err
}

// hasNoTicket follows a condition on rows, and leaves those that wait for a limit and expect
// no delivery.
var hasNoTicket = fmt.Sprintf(` AND status = 'READY' AND hold = 3 AND dispatch_due_at >= %d`, queue.LimitedFrom.UnixMicro())

// chooseAdmitted chooses rows to be admitted. If there are none, rated are some that only
// rates keep from being claimed.
func (s *Store) chooseAdmitted(ctx context.Context, q querier, req queue.AdmitRequest) (chosen, rated []storekit.Waiting, err error) {
	now, g, err := q.gated(ctx)
	if err != nil || req.Row != nil && len(g.limits) == 0 {
		return nil, nil, err
	}
	shares := func(storekit.Lane) bool { return true }
	if req.Row != nil {
		shares = g.limits.Sharing(storekit.LaneOf(req.Row))
	}
	accept := func(lane storekit.Lane) bool {
		return lane.Backend == req.Backend && req.Knows(lane.Task) && !g.isPaused(lane.Queue) && shares(lane)
	}
	err = s.walk(ctx, q, accept, func(lanes []storekit.Lane, window storekit.Window) (bool, error) {
		turn, _, err := rooms(ctx, q, g.limits, lanes, now, nil)
		if err == nil {
			err = eachAdmitted(ctx, q, reserved(now), func(_ string, lane storekit.Lane) { turn.TakeRoom(lane, 1) })
		}
		if err != nil {
			return false, err
		}
		turn.Limit, turn.Served = req.Limit, &s.lane.served
		open, wait := turn.Open(lanes)
		if chosen, err = s.pick(ctx, q, turn, open, window, ` AND hold = 3`, req.Keys); err != nil || len(chosen) > 0 {
			return false, err
		}
		if wait > 0 && len(rated) == 0 {
			rows, err := firstInLanes(ctx, q, lanes, turn.Limit, hasNoTicket, req.Keys)
			if err != nil {
				return false, err
			}
			rated = turn.ChooseForRate(rows)
		}
		return true, nil
	})
	return chosen, rated, err
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

// passesAdmitted reports whether there is room for a row besides those whose tickets are
// on their way. Such a row itself passes.
func passesAdmitted(ctx context.Context, tx querier, turn *storekit.Turn, row *queue.Row, now time.Time) (bool, error) {
	fits, admitted := true, false
	err := eachAdmitted(ctx, tx, reserved(now), func(id string, lane storekit.Lane) {
		admitted = admitted || id == row.ID.String()
		turn.TakeRoom(lane, 1)
	})
	if err == nil && !admitted {
		fits, _ = turn.Fits(storekit.LaneOf(row))
	}
	return fits, err
}

// reserved is after the dispatch_due_at of the admitted rows for which no room is kept any
// more.
func reserved(now time.Time) time.Time { return now.Add(queue.DispatchGrace - queue.AdmitGrace) }

// eachAdmitted calls do for the rows whose tickets are overdue after a time. Index:
// claimcheck_tasks_admitted.
func eachAdmitted(ctx context.Context, q querier, after time.Time, do func(id string, lane storekit.Lane)) error {
	return each(ctx, q, func(scan func(...any) error) error {
		var id string
		var lane storekit.Lane
		err := scan(&id, &lane.Backend, &lane.Queue, &lane.Task, &lane.Key)
		do(id, lane)
		return err
	}, q.store.dialect.admittedQuery(), micros(after))
}

func (d *Dialect) admittedQuery() string {
	return `SELECT id, backend_name, queue_name, task_path, coalesce(limit_key, '') FROM claimcheck_tasks` + d.useIndex("claimcheck_tasks_admitted") + `
		WHERE ` + d.admitted + ` AND ` + d.admittedUntil + ` > ?`
}
