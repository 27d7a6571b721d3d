package storetest

import (
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

func isInvalid(err error) bool { return errors.Is(err, queue.ErrInvalid) }

// act does an action until no row is left, two at a time, and returns the IDs.
// Before it counts them.
func (f *fixture) act(a queue.Action, s queue.Selection) []uuid.UUID {
	f.Helper()
	before := f.now() // which is a row too
	want, err := f.operator.CountMatching(f.ctx, a, s, time.Time{}, 100)
	f.must(err)
	var all []uuid.UUID
	for {
		rows, err := f.operator.Act(f.ctx, a, s, before, 2)
		f.must(err)
		for _, row := range rows {
			f.light(row)
		}
		all = append(all, ids(rows)...)
		if len(rows) < 2 {
			break
		}
	}
	f.equal("counted", want, len(all))
	return sorted(all)
}

// light checks a row as statements about many rows return it: without its
// arguments, its result and its errors, which may be long.
func (f *fixture) light(row *queue.Row) {
	f.Helper()
	want := *f.get(row.ID)
	want.Args, want.ReturnValue, want.Errors = nil, nil, nil
	f.equal("row", *row, want)
}

// oneOf is a row of each kind that actions tell apart.
func (f *fixture) oneOf() map[string]*queue.Row {
	done := f.claimed(lease)
	f.finish(done.Claim())
	cancelled := f.insert()
	f.cancel(cancelled.ID)
	return map[string]*queue.Row{
		"pending": f.insert(armed), "delayed": f.insert(delay(time.Hour)), "running": f.claimed(lease),
		"expired": f.claimed(expired), "failed": f.failed("x", "y", maxAttempts(1)), "done": f.get(done.ID), "cancelled": f.get(cancelled.ID),
	}
}

// actionTests are about what people do to many rows.
var actionTests = map[string]func(*fixture){
	"each action is for its rows": func(f *fixture) {
		for action, kinds := range map[queue.Action][]string{
			queue.ActionRun:     {"pending", "delayed"},
			queue.ActionRetry:   {"failed"},
			queue.ActionRequeue: {"expired"},
			queue.ActionCancel:  {"pending", "delayed", "running", "expired"},
		} {
			rows := f.oneOf()
			var chosen, want []uuid.UUID
			for _, row := range rows {
				chosen = append(chosen, row.ID)
			}
			for _, kind := range kinds {
				want = append(want, rows[kind].ID)
				delete(rows, kind)
			}
			f.equal(string(action), f.act(action, queue.Selection{IDs: chosen}), sorted(want))
			for _, row := range rows {
				f.unchanged(row)
			}
		}
	},
	"what is not RUNNING can be deleted": func(f *fixture) {
		rows := f.oneOf()
		var chosen []uuid.UUID
		for _, row := range rows {
			chosen = append(chosen, row.ID)
		}
		s, before := queue.Selection{IDs: chosen}, f.now()
		n, err := f.operator.CountMatching(f.ctx, queue.ActionDelete, s, time.Time{}, 100)
		f.must(err)
		deleted, err := f.operator.Act(f.ctx, queue.ActionDelete, s, before, 100)
		f.must(err)
		f.equal("deleted and counted", []int{len(deleted), n}, []int{5, 5})
		for kind, row := range rows {
			if running := kind == "running" || kind == "expired"; f.gone(row.ID) == running {
				f.Errorf("%s: gone %v", kind, !running)
			}
		}
		for _, row := range deleted {
			if len(row.Args)+len(row.ReturnValue)+len(row.Errors) > 0 || row.Task != taskName {
				f.Errorf("a deleted row is returned as %+v", *row)
			}
		}
	},
	"an operator's retry starts without interruptions": func(f *fixture) {
		spent := func() *queue.Row {
			row := f.insert(maxAttempts(1))
			for range queue.MaxInterruptions {
				f.must(f.store.Release(f.ctx, f.claim(row.ID, lease).Claim()))
			}
			f.fail(f.claim(row.ID, lease).Claim())
			return f.get(row.ID)
		}
		bulk, single := spent(), spent()
		f.equal("interruptions before", bulk.Interruptions, queue.MaxInterruptions)
		f.act(queue.ActionRetry, queue.Selection{IDs: []uuid.UUID{bulk.ID}})
		f.equal("bulk action", f.get(bulk.ID).Interruptions, 0)
		f.equal("claim that allows a retry", f.claim(single.ID, lease, allowRetry).Interruptions, 0)
		f.equal("as stored", f.get(single.ID).Interruptions, 0)
	},
	"run makes a row due": func(f *fixture) {
		row := f.insert(delay(time.Hour))
		f.act(queue.ActionRun, queue.Selection{View: queue.ViewDelayed})
		got := f.get(row.ID)
		if !got.RunAfter.IsZero() || got.RetryAt.Before(row.EnqueuedAt) || got.DispatchDueAt.Sub(row.EnqueuedAt) < queue.DispatchGrace {
			f.Errorf("%+v", got)
		}
		f.equal("waiting since", f.stats(queue.Filter{}).OldestPendingSince.Equal(got.RetryAt), true)
		f.equal("claimable", ids(f.claimNext(10)), []uuid.UUID{row.ID})
	},
	"run leaves alone what could not be dispatched since": func(f *fixture) {
		row, pending, before := f.insert(delay(time.Hour)), f.insert(), f.now()
		for want := []int{2, 0}; len(want) > 0; want = want[1:] {
			rows, err := f.operator.Act(f.ctx, queue.ActionRun, queue.Selection{IDs: []uuid.UUID{row.ID, pending.ID}}, before, 10)
			f.must(err)
			f.equal("made due", len(rows), want[0])
			f.must(f.store.DispatchFailed(f.ctx, "no", false, row.ID, pending.ID))
		}
		f.equal("chosen by another action", len(f.act(queue.ActionRun, queue.Selection{IDs: []uuid.UUID{row.ID, pending.ID}})), 2)
	},
	"run leaves alone what has run since": func(f *fixture) {
		row, before := f.insert(delay(time.Hour)), f.now()
		for want := []int{1, 0}; len(want) > 0; want = want[1:] {
			rows, err := f.operator.Act(f.ctx, queue.ActionRun, queue.Selection{IDs: []uuid.UUID{row.ID}}, before, 10)
			f.must(err)
			f.equal("made due", len(rows), want[0])
			if len(rows) > 0 {
				f.retried(row, queue.Retry{In: time.Hour})
			}
		}
	},
	"run takes what was swept and has long to wait": func(f *fixture) {
		row := f.insert()
		_, at := f.stranded()
		f.takeStranded("default", at, 1)
		f.equal("rows", f.act(queue.ActionRun, queue.Selection{View: queue.ViewPending}), []uuid.UUID{row.ID})
	},
	"retry gives an attempt and keeps the errors": func(f *fixture) {
		row := f.failed("x", "y", maxAttempts(1))
		f.act(queue.ActionRetry, queue.Selection{})
		got := f.get(row.ID)
		want := *row
		want.Status, want.MaxAttempts, want.FinishedAt, want.ClaimID, want.DispatchDueAt = queue.StatusReady, 2, time.Time{}, uuid.Nil, got.DispatchDueAt
		want.RetryAt = got.RetryAt
		f.between("due since", got.RetryAt.Sub(row.FinishedAt), 0, time.Minute)
		f.equal("row", *got, want)
		f.refusesAll(row.Claim())
		f.equal("claimable", ids(f.claimNext(10)), []uuid.UUID{row.ID})
	},
	"retry leaves alone what failed since": func(f *fixture) {
		before := f.now()
		row := f.failed("x", "y")
		rows, err := f.operator.Act(f.ctx, queue.ActionRetry, queue.Selection{}, before, 10)
		f.must(err)
		f.equal("rows", rows, []*queue.Row(nil))
		f.unchanged(row)
	},
	"requeue takes the claim and gives an attempt": func(f *fixture) {
		row := f.claimed(expired, maxAttempts(1))
		f.act(queue.ActionRequeue, queue.Selection{View: queue.ViewRunning})
		f.refusesAll(row.Claim())
		got := f.get(row.ID)
		f.equal("status and attempts", []any{got.Status, got.Attempts, got.MaxAttempts}, []any{queue.StatusReady, 1, 2})
	},
	"cancel takes the claim": func(f *fixture) {
		row := f.claimed(lease)
		f.act(queue.ActionCancel, queue.Selection{})
		f.refusesAll(row.Claim())
		f.equal("status", f.get(row.ID).Status, queue.StatusCancelled)
	},
	"cancel leaves alone what was enqueued since": func(f *fixture) {
		before := f.now()
		row := f.insert()
		rows, err := f.operator.Act(f.ctx, queue.ActionCancel, queue.Selection{IDs: []uuid.UUID{row.ID}}, before, 10)
		f.must(err)
		f.equal("rows", rows, []*queue.Row(nil))
		f.unchanged(row)
	},
	"only what is selected, and no more than counted": func(f *fixture) {
		for range 5 {
			f.failed("x", "y", onQueue("a"))
		}
		other := f.failed("x", "y", onQueue("b"))
		n, err := f.operator.CountMatching(f.ctx, queue.ActionRetry, queue.Selection{View: queue.ViewFailed, Queue: "a"}, time.Time{}, 3)
		f.must(err)
		f.equal("counted", n, 3)
		f.equal("acted", len(f.act(queue.ActionRetry, queue.Selection{View: queue.ViewFailed, Queue: "a", Error: "X: Y"})), 5)
		f.unchanged(other)
	},
	"unknown actions and views are refused": func(f *fixture) {
		_, err := f.operator.Act(f.ctx, "explode", queue.Selection{}, f.now(), 1)
		_, err2 := f.operator.CountMatching(f.ctx, queue.ActionRun, queue.Selection{View: "x"}, time.Time{}, 1)
		if !isInvalid(err) || !isInvalid(err2) {
			f.Errorf("%v, %v", err, err2)
		}
	},
}
