package storetest

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// countFigures has the store count all that has ended some seconds ago.
func (f *fixture) countFigures(store queue.Store) {
	f.Helper()
	if counter, ok := store.(queue.Counter); ok {
		for more := true; more; {
			var err error
			more, err = counter.CountFinished(f.ctx)
			f.must(err)
		}
	}
	for more := true; more; {
		var err error
		more, err = store.(queue.FigureStore).CountFigures(f.ctx)
		f.must(err)
	}
}

// figures returns the figures of the last hours.
func (f *fixture) figures(changes ...func(*queue.FiguresRequest)) queue.Figures {
	f.Helper()
	hour := time.Now().UTC().Truncate(time.Hour)
	r := queue.FiguresRequest{Since: hour.Add(-6 * time.Hour), Until: hour.Add(2 * time.Hour)}
	for _, change := range changes {
		change(&r)
	}
	figures, err := f.store.(queue.FigureStore).Figures(f.ctx, r)
	f.must(err)
	return figures
}

// outcomesAre compares the counts of all figures, as succeeded, failed, cancelled and
// retried.
func (f *fixture) outcomesAre(what string, succeeded, failed, cancelled, retried int) {
	f.Helper()
	figures := f.figures()
	total := figures.Total()
	got := []int{total.Succeeded, total.Failed, total.Cancelled, total.Retried}
	f.equal(what, got, []int{succeeded, failed, cancelled, retried})
}

// ended makes rows older than what a store waits for before it counts them.
func (f *fixture) ended(ids ...uuid.UUID) {
	f.Helper()
	for _, id := range ids {
		f.setFinishedAt(f.T, f.store, id, f.get(id).FinishedAt.Add(-time.Minute))
	}
}

// succeeded returns a row that has succeeded some time ago.
func (f *fixture) succeeded(changes ...func(*queue.NewRow)) uuid.UUID {
	f.Helper()
	row := f.claimed(lease, changes...)
	f.finish(row.Claim())
	f.ended(row.ID)
	return row.ID
}

func (f *fixture) purgeAll() int {
	f.Helper()
	done, err := f.operator.Purge(f.ctx, queue.PurgeRequest{Statuses: []queue.Status{queue.StatusSuccessful, queue.StatusFailed, queue.StatusCancelled}, Limit: 1000})
	f.must(err)
	return done.Deleted
}

var figureTests = map[string]func(*fixture){
	"with nothing there, there are none": func(f *fixture) {
		f.countFigures(f.store)
		f.equal("figures", len(f.figures().Hours), 0)
	},
	"each end is counted, under its names": func(f *fixture) {
		f.finish(f.claimed(lease).Claim())
		f.fail(f.claimed(lease, onQueue("a")).Claim())
		f.cancel(f.insert(withTask("b"), onBackend("c")).ID)
		retried := f.claimed(lease)
		f.must(f.store.Retry(f.ctx, retried.Claim(), queue.Retry{}))
		f.finish(f.claim(retried.ID, lease).Claim())
		f.insert()
		f.claimed(lease)
		check := func(what string) {
			f.Helper()
			var got []string
			for _, h := range f.figures().Hours {
				got = append(got, fmt.Sprintf("%s %s %s: %d succeeded, %d failed, %d cancelled, %d retried; %d waits, %d runs, %d with attempts",
					h.Task, h.Queue, h.Backend, h.Succeeded, h.Failed, h.Cancelled, h.Retried, h.Wait.Count(), h.Run.Count(), h.Attempts.Count()))
			}
			slices.Sort(got)
			f.equal(what, strings.Join(got, "\n"), `b default c: 0 succeeded, 0 failed, 1 cancelled, 0 retried; 0 waits, 0 runs, 0 with attempts
emails.send a default: 0 succeeded, 1 failed, 0 cancelled, 0 retried; 1 waits, 1 runs, 1 with attempts
emails.send default default: 2 succeeded, 0 failed, 0 cancelled, 1 retried; 2 waits, 2 runs, 2 with attempts`)
		}
		check("before they are counted")
		for _, id := range f.listed(queue.ListRequest{Limit: 100}) {
			if f.get(id).Status.Final() {
				f.ended(id)
			}
		}
		f.countFigures(f.store)
		check("afterwards")
		f.countFigures(f.store)
		check("after another time")
		f.purgeAll()
		check("after a purge")
	},
	"waits are from when a row is due, and attempts are counted": func(f *fixture) {
		row := f.claimed(lease, runAfter(f.now().Add(-time.Hour))) // enqueued now
		f.finish(row.Claim())
		snoozed := f.claimed(lease)
		f.must(f.store.Retry(f.ctx, snoozed.Claim(), queue.Retry{RunIn: time.Hour}))
		f.cancel(snoozed.ID)
		figures := f.figures()
		total := figures.Total()
		f.equal("waits that are known", total.Wait.Count(), 1)
		if wait := total.Wait.Duration(1); wait > time.Minute {
			f.Errorf("it waited for %s", wait)
		}
		f.equal("attempts", total.Attempts.Quantile(1), 1)
		again := f.claimed(lease)
		for range 3 {
			f.must(f.store.Retry(f.ctx, again.Claim(), queue.Retry{}))
			again = f.claim(again.ID, lease)
		}
		f.finish(again.Claim())
		figures = f.figures()
		f.equal("more attempts", figures.Total().Attempts.Quantile(1), 4)
	},
	"a request selects by name and hour": func(f *fixture) {
		f.finish(f.claimed(lease).Claim())
		f.cancel(f.insert(withTask("other"), onQueue("q"), onBackend("b")).ID)
		old := f.succeeded()
		f.setFinishedAt(f.T, f.store, old, f.now().Add(-3*time.Hour))
		for _, when := range []string{"before they are counted", "afterwards"} {
			for what, r := range map[string]struct {
				change func(*queue.FiguresRequest)
				want   int
			}{
				"all":       {func(*queue.FiguresRequest) {}, 3},
				"a task":    {func(r *queue.FiguresRequest) { r.Task = taskName }, 2},
				"a queue":   {func(r *queue.FiguresRequest) { r.Queue = "q" }, 1},
				"a backend": {func(r *queue.FiguresRequest) { r.Backend = "b" }, 1},
				"none":      {func(r *queue.FiguresRequest) { r.Task = "none" }, 0},
				"later":     {func(r *queue.FiguresRequest) { r.Since = r.Since.Add(4 * time.Hour) }, 2},
				"earlier":   {func(r *queue.FiguresRequest) { r.Until = r.Since.Add(4 * time.Hour) }, 1},
			} {
				figures := f.figures(r.change)
				f.equal(what+" "+when, figures.Total().Ended(), r.want)
			}
			f.countFigures(f.store)
		}
	},
	"they are complete until now": func(f *fixture) {
		now := f.now()
		f.finish(f.claimed(lease).Claim())
		if through := f.figures().Through; through.Before(now) || through.After(f.now().Add(time.Minute)) {
			f.Errorf("through %s at %s", through, now)
		}
		until := now.Truncate(time.Hour).Add(-time.Hour)
		figures := f.figures(func(r *queue.FiguresRequest) { r.Until = until })
		f.equal("in the past", figures.Through, until)
	},
	"rows from before figures are kept are not counted": func(f *fixture) {
		id := f.succeeded()
		f.setFinishedAt(f.T, f.store, id, f.now().Add(-queue.FiguresKept-48*time.Hour))
		f.succeeded()
		f.countFigures(f.store)
		f.countFigures(f.store)
		f.outcomesAre("outcomes", 1, 0, 0, 0)
	},
}

var figuresOnceTests = map[string]func(*fixture){
	"by several at once": func(f *fixture) {
		stores := []queue.Store{f.store, f.store, f.store}
		if f.second != nil {
			stores = append(stores, f.second(f.T, f.store), f.second(f.T, f.store))
		}
		for range 20 {
			f.succeeded()
		}
		var working sync.WaitGroup
		for _, store := range stores {
			working.Go(func() {
				for range 3 {
					if _, err := store.(queue.FigureStore).CountFigures(f.ctx); err != nil {
						f.Error(err)
					}
					if counter, ok := store.(queue.Counter); ok {
						if _, err := counter.CountFinished(f.ctx); err != nil {
							f.Error(err)
						}
					}
				}
			})
		}
		working.Wait()
		f.countFigures(f.store)
		f.outcomesAre("outcomes", 20, 0, 0, 0)
		f.purgeAll()
		f.outcomesAre("after a purge", 20, 0, 0, 0)
	},
	"although a purge deletes them first": func(f *fixture) {
		f.succeeded()
		f.countFigures(f.store)
		f.finish(f.claimed(lease, onQueue("a")).Claim())
		f.finish(f.claimed(lease).Claim())
		f.fail(f.claimed(lease).Claim())
		f.cancel(f.insert().ID)
		f.equal("purged", f.purgeAll(), 5)
		f.outcomesAre("outcomes", 3, 1, 1, 0)
		f.countFigures(f.store)
		f.outcomesAre("afterwards", 3, 1, 1, 0)
	},
	"although an operator deletes them first": func(f *fixture) {
		row := f.claimed(lease)
		f.finish(row.Claim())
		unfinished := f.insert()
		_, err := f.operator.Act(f.ctx, queue.ActionDelete, queue.Selection{IDs: []uuid.UUID{row.ID, unfinished.ID}}, f.now(), 10)
		f.must(err)
		f.outcomesAre("outcomes", 1, 0, 0, 0)
	},
	"although their Keep is over first": func(f *fixture) {
		if _, ok := f.store.(queue.Lifecycle); !ok {
			return
		}
		row := f.claimed(lease, keep(0, 0))
		f.finish(row.Claim())
		f.overdue(row.ID)
		f.equal("deleted", f.deleteKept(10), 1)
		f.outcomesAre("outcomes", 1, 0, 0, 0)
		f.countFigures(f.store)
		f.outcomesAre("afterwards", 1, 0, 0, 0)
	},
	"and each end of a row that is retried": func(f *fixture) {
		failed := func(old bool) uuid.UUID {
			row := f.claimed(lease)
			f.fail(row.Claim())
			if old {
				f.ended(row.ID)
			}
			return row.ID
		}
		retry := func(id uuid.UUID) {
			changed, err := f.operator.Act(f.ctx, queue.ActionRetry, queue.Selection{IDs: []uuid.UUID{id}}, f.now(), 1)
			f.must(err)
			f.equal("retried", len(changed), 1)
			f.finish(f.claim(id, lease).Claim())
		}
		allowRetry := func(r *queue.ClaimRequest) { r.AllowRetry = true }
		first := failed(true)
		f.countFigures(f.store)
		retry(first)
		f.outcomesAre("counted before", 1, 1, 0, 1)
		retry(failed(false))
		f.outcomesAre("not counted before", 2, 2, 0, 2)
		f.finish(f.claim(failed(false), lease, allowRetry).Claim())
		f.outcomesAre("claimed again", 3, 3, 0, 3)
		f.countFigures(f.store)
		f.purgeAll()
		f.countFigures(f.store)
		f.outcomesAre("at the end", 3, 3, 0, 3)
	},
	"although another transaction has not committed them": func(f *fixture) {
		f.succeeded()
		row := f.claimed(lease)
		tx := f.begin(f.T, f.store)
		_, err := f.store.FinishTx(f.ctx, tx, row.Claim(), queue.Finish{Status: queue.StatusSuccessful})
		f.must(err)
		if !f.oneWriter {
			f.countFigures(f.store)
		}
		f.must(tx.Commit(f.ctx))
		f.countFigures(f.store)
		f.outcomesAre("outcomes", 2, 0, 0, 0)
		f.purgeAll()
		f.outcomesAre("after a purge", 2, 0, 0, 0)
	},
}
