package storetest

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

var (
	finalStatuses = []queue.Status{queue.StatusSuccessful, queue.StatusFailed, queue.StatusCancelled}
	allStatuses   = append([]queue.Status{queue.StatusReady, queue.StatusRunning}, finalStatuses...)
)

// purgeRequest is for many rows of the given statuses, whatever their age.
func purgeRequest(statuses ...queue.Status) queue.PurgeRequest {
	return queue.PurgeRequest{Statuses: statuses, Limit: 1000}
}

// purge purges, and expects CountPurgeable to have known how many.
func (f *fixture) purge(r queue.PurgeRequest) int {
	f.Helper()
	count, err := f.operator.CountPurgeable(f.ctx, r)
	f.must(err)
	result, err := f.operator.Purge(f.ctx, r)
	f.must(err)
	f.equal("deleted, against the count", result.Deleted, min(count, max(r.Limit, 0)))
	return result.Deleted
}

// gone reports whether a row has been deleted.
func (f *fixture) gone(id uuid.UUID) bool {
	f.Helper()
	_, err := f.store.Get(f.ctx, id)
	if err != nil && !errors.Is(err, queue.ErrNotFound) {
		f.Fatalf("Get: %v", err)
	}
	return err != nil
}

// finalRows makes a row of each final status, in the order of finalStatuses.
func (f *fixture) finalRows(changes ...func(*queue.NewRow)) []*queue.Row {
	f.Helper()
	successful, failed, cancelled := f.claimed(lease, changes...), f.claimed(lease, changes...), f.insert(changes...)
	f.finish(successful.Claim())
	f.fail(failed.Claim())
	f.cancel(cancelled.ID)
	return []*queue.Row{successful, failed, cancelled}
}

var purgeTests = map[string]func(*fixture){
	"a store with a RUNNING row is working": func(f *fixture) {
		working := func(want bool) {
			f.Helper()
			got, err := f.operator.Working(f.ctx)
			f.must(err)
			f.equal("working", got, want)
		}
		working(false)
		row := f.insert()
		f.finalRows()
		working(false)
		claim := f.claim(row.ID, lease).Claim()
		working(true)
		f.finish(claim)
		working(false)
	},
	"with nothing there, nothing is deleted": func(f *fixture) {
		f.equal("deleted", f.purge(purgeRequest(finalStatuses...)), 0)
	},
	"the statuses that are asked for go": func(f *fixture) {
		for i, status := range finalStatuses {
			rows := f.finalRows()
			f.equal("deleted", f.purge(purgeRequest(status)), 1)
			for j, row := range rows {
				if f.gone(row.ID) != (i == j) {
					f.Errorf("purge of %s: the %s row: %v", status, finalStatuses[j], f.gone(row.ID))
				}
			}
			f.equal("the others", f.purge(purgeRequest(finalStatuses...)), 2)
		}
	},
	"a status that is named twice counts once": func(f *fixture) {
		for range 2 {
			f.finalRows()
		}
		r := purgeRequest(queue.StatusFailed, queue.StatusFailed)
		r.Limit = 2
		f.equal("deleted", f.purge(r), 2)
	},
	"live rows stay, whatever is asked": func(f *fixture) {
		reopened := f.claimed(lease)
		f.fail(reopened.Claim())
		live := []*queue.Row{
			f.insert(), f.insert(delay(time.Hour)), f.insert(runAfter(time.Unix(0, 0))),
			f.claimed(lease), f.claimed(expired), f.claim(reopened.ID, lease, allowRetry),
		}
		f.equal("deleted", f.purge(purgeRequest(allStatuses...)), 0)
		f.equal("deleted", f.purge(purgeRequest(queue.StatusReady, queue.StatusRunning)), 0)
		f.equal("deleted", f.purge(purgeRequest("", "x", "ready")), 0)
		f.equal("deleted", f.purge(purgeRequest()), 0)
		old := purgeRequest(allStatuses...)
		old.Age = -time.Hour
		f.equal("deleted", f.purge(old), 0)
		for _, row := range live {
			f.unchanged(row)
		}
	},
	"rows that are younger stay": func(f *fixture) {
		f.finalRows()
		r := purgeRequest(finalStatuses...)
		r.Age = time.Hour
		f.equal("after an hour", f.purge(r), 0)
		r.Age = 20 * time.Millisecond
		for deleted := 0; deleted < 3; { // the database's clock says when
			result, err := f.operator.Purge(f.ctx, r)
			f.must(err)
			deleted += result.Deleted
		}
	},
	"rows without an age go at once": func(f *fixture) {
		f.finalRows()
		f.equal("deleted", f.purge(purgeRequest(finalStatuses...)), 3)
	},
	"age counts from the finish, not from the enqueue": func(f *fixture) {
		row := f.claimed(lease)
		r := purgeRequest(queue.StatusSuccessful)
		for f.now().Sub(row.EnqueuedAt) < 20*time.Millisecond {
			f.must(f.ctx.Err())
		}
		r.Age = f.finish(row.Claim()).Sub(row.EnqueuedAt) + time.Hour
		f.equal("deleted", f.purge(r), 0)
	},
	"rows of other tasks stay": func(f *fixture) {
		kept := f.finalRows()
		f.cancel(f.insert(withTask(taskName + ".x")).ID)
		r := purgeRequest(finalStatuses...)
		r.Task = "unknown"
		f.equal("deleted", f.purge(r), 0)
		r.Task = taskName + ".x"
		f.equal("deleted", f.purge(r), 1)
		for _, row := range kept {
			if f.gone(row.ID) {
				f.Error("a row of another task is gone")
			}
		}
	},
	"those that finished first go first, whatever their status": func(f *fixture) {
		var rows []*queue.Row
		for i := range 4 {
			row := f.claimed(lease)
			if i%2 == 0 {
				f.finish(row.Claim())
			} else {
				f.fail(row.Claim())
			}
			rows = append(rows, f.get(row.ID), f.cancel(f.insert().ID))
		}
		r := purgeRequest(queue.StatusCancelled, queue.StatusFailed, queue.StatusSuccessful)
		r.Limit = 3
		for done := 0; done < len(rows); done += r.Limit {
			f.equal("deleted", f.purge(r), min(r.Limit, len(rows)-done))
			for i, row := range rows {
				if f.gone(row.ID) != (i < done+r.Limit) {
					f.Errorf("after %d: row %d, %s: gone %v", done+r.Limit, i, row.Status, f.gone(row.ID))
				}
			}
		}
	},
	"the limit holds": func(f *fixture) {
		const total = 30
		for range total {
			f.cancel(f.insert().ID)
		}
		r := purgeRequest(queue.StatusCancelled)
		for _, step := range []struct{ limit, deleted int }{{0, 0}, {-1, 0}, {1, 1}, {20, 20}, {20, 9}, {20, 0}} {
			r.Limit = step.limit
			f.equal("deleted", f.purge(r), step.deleted)
		}
	},
	"a batch reads no more rows than its window": func(f *fixture) {
		const others = 7
		for range others {
			f.cancel(f.insert(withTask("other")).ID)
		}
		row := f.cancel(f.insert().ID)
		r := purgeRequest(queue.StatusCancelled)
		r.Task, r.Window = taskName, 3
		deleted, batches := 0, 0
		for next := true; next; batches++ {
			if batches > others {
				f.Fatalf("there is no end after %d batches", batches)
			}
			result, err := f.operator.Purge(f.ctx, r)
			f.must(err)
			next = !result.Next.IsZero()
			if next && !result.Next.After(r.After) || batches == 0 && result.Deleted > 0 {
				f.Fatalf("batch %d after %s: %+v", batches, r.After, result)
			}
			deleted, r.After = deleted+result.Deleted, result.Next
		}
		f.equal("deleted", deleted, 1)
		if !f.gone(row.ID) {
			f.Error("the row of the task is there")
		}
		f.equal("the others", f.purge(purgeRequest(queue.StatusCancelled)), others)
	},
	"a batch continues where the one before has ended": func(f *fixture) {
		const total = 5
		for range 2 { // rows that finished at the same time, and others
			for range total {
				f.insert()
			}
			_, err := f.operator.Act(f.ctx, queue.ActionCancel, queue.Selection{}, f.now().Add(time.Hour), total)
			f.must(err)
		}
		r := purgeRequest(queue.StatusCancelled)
		r.Limit = 2
		for _, want := range []int{2, 2, 2, 2, 2, 0} {
			result, err := f.operator.Purge(f.ctx, r)
			f.must(err)
			f.equal("deleted", result.Deleted, want)
			f.equal("more", !result.Next.IsZero(), want > 0)
			r.After = result.Next
		}
	},
	"many rows go, too": func(f *fixture) {
		const total = 1200 // more than a store deletes at once
		rows := make([]*queue.NewRow, total)
		for i := range rows {
			rows[i] = request()
		}
		f.must(f.store.Insert(f.ctx, rows...))
		for _, row := range f.claimNext(total) {
			f.finish(row.Claim())
		}
		r := purgeRequest(finalStatuses...)
		r.Limit = total - 1
		f.equal("deleted", f.purge(r), total-1)
		r.Limit = total
		f.equal("deleted", f.purge(r), 1)
	},
	"a purged ID can be used again": func(f *fixture) {
		row := f.claimed(lease)
		f.finish(row.Claim())
		f.purge(purgeRequest(finalStatuses...))
		f.claim(f.insert(withID(row.ID)).ID, lease)
		f.refusesAll(row.Claim())
	},
	"beside workers every row is run once, and purged once": func(f *fixture) {
		const total = 300
		rows := make([]*queue.NewRow, total)
		for i := range rows {
			rows[i] = request()
		}
		f.must(f.store.Insert(f.ctx, rows...))
		keep := f.insert(withTask("unregistered"))
		var finished, deleted atomic.Int64
		var workers, purgers sync.WaitGroup
		for range 3 {
			workers.Go(func() {
				for finished.Load() < total && f.ctx.Err() == nil {
					rows, err := f.store.ClaimNext(f.ctx, queue.ClaimNextRequest{Tasks: []string{taskName}, Limit: 5, Worker: "w", Lease: lease})
					if err != nil {
						f.Errorf("ClaimNext: %v", err)
						return
					}
					for _, row := range rows {
						if _, err := f.store.Finish(f.ctx, row.Claim(), queue.Finish{Status: queue.StatusSuccessful}); err != nil {
							f.Errorf("Finish: %v", err)
						}
						finished.Add(1)
					}
				}
			})
		}
		for range 2 {
			purgers.Go(func() {
				r := queue.PurgeRequest{Statuses: allStatuses, Limit: 7}
				for deleted.Load() < total && f.ctx.Err() == nil && !f.Failed() {
					result, err := f.operator.Purge(f.ctx, r)
					if err != nil {
						f.Errorf("Purge: %v", err)
					}
					deleted.Add(int64(result.Deleted))
				}
			})
		}
		workers.Wait()
		purgers.Wait()
		f.equal("finished", finished.Load(), int64(total))
		f.equal("deleted", deleted.Load(), int64(total))
		f.unchanged(keep)
	},
	"a failed row is purged or reopened, not both": func(f *fixture) {
		for range 30 {
			row := f.claimed(lease)
			f.fail(row.Claim())
			req := claimRequest(lease, allowRetry)
			reopened, purged := f.race(
				func() error {
					_, err := f.store.Claim(f.ctx, row.ID, req)
					if errors.Is(err, queue.ErrNotFound) {
						err = queue.ErrLeaseLost
					}
					return err
				},
				func() (bool, error) {
					result, err := f.operator.Purge(f.ctx, purgeRequest(allStatuses...))
					return result.Deleted == 1, err
				})
			if reopened == purged || purged != f.gone(row.ID) {
				f.Fatalf("reopened: %v, purged: %v", reopened, purged)
			}
		}
	},
}
