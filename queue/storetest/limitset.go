package storetest

import (
	"errors"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// limitSetTests are about limits that change, or begin to concern other rows, while rows wait.
var limitSetTests = map[string]func(*fixture){
	"a limit counts what was running before": func(f *fixture) {
		rows := f.insertMany(5, onQueue("emails"))
		claimed := f.claimNext(3)
		f.limit(queue.Limit{Kind: queue.LimitQueue, Name: "emails", Running: 2})
		f.refusedLimited(rows[3].ID, false)
		f.finish(claimed[0].Claim())
		f.refusedLimited(rows[3].ID, false)
		f.equal("pulled", ids(f.claimLimited(10)), []uuid.UUID{})
		f.finish(claimed[1].Claim())
		f.equal("pulled", len(f.claimLimited(10)), 1)
		f.equal("pulled again", len(f.claimLimited(10)), 0)
	},
	"a limit can be lowered, raised and removed": func(f *fixture) {
		set := func(n int) { f.limit(queue.Limit{Kind: queue.LimitQueue, Name: "emails", Running: n}) }
		set(4)
		rows := f.insertMany(10, onQueue("emails"))
		claimed := f.claimLimited(10)
		f.equal("of 4", len(claimed), 4)
		set(2)
		f.finish(claimed[0].Claim())
		f.finish(claimed[1].Claim())
		f.equal("of 2", len(f.claimLimited(10)), 0)
		f.finish(claimed[2].Claim())
		f.equal("of 2, with 1", len(f.claimLimited(10)), 1)
		set(5)
		f.equal("of 5", len(f.claimLimited(10)), 3)
		f.refusedLimited(rows[9].ID, false)
		set(0)
		f.equal("limits", f.limits(), []queue.Limit(nil))
		f.equal("work is left", f.promote().Limits, true)
		f.equal("those that waited", ids(f.admit(nil, 10)), []uuid.UUID{rows[8].ID, rows[9].ID})
		f.equal("claimed", f.claim(rows[9].ID, lease).Limited, false)
		f.equal("pulled", ids(f.claimLimited(10)), []uuid.UUID{rows[8].ID})
		f.must(f.limiter().TidyLimits(f.ctx))
		p := f.promote()
		f.equal("nothing is left", []bool{p.Limits, p.Claimable}, []bool{false, false})
	},
	"an operator's limit is not changed by the code": func(f *fixture) {
		code := queue.Limit{Kind: queue.LimitEach, Name: taskName, Running: 3, Starts: 5, Per: time.Minute, Code: true}
		f.equal("of the code", f.limit(code), code)
		code.Running = 4
		f.equal("changed by it", f.limit(code), code)
		f.equal("limits", f.limits(), []queue.Limit{code})
		own := queue.Limit{Kind: queue.LimitEach, Name: taskName, Running: 1}
		f.equal("of an operator", f.limit(own), own)
		f.equal("of the code again", f.limit(code), own)
		f.equal("limits", f.limits(), []queue.Limit{own})
		for _, bad := range []queue.Limit{
			{Kind: "x", Name: "a", Running: 1}, {Kind: queue.LimitQueue, Name: "a b", Running: 1}, {Kind: queue.LimitName, Running: 1},
			{Kind: queue.LimitQueue, Name: "a", Running: -1}, {Kind: queue.LimitQueue, Name: "a", Running: queue.MaxLimit + 1}, {Kind: queue.LimitQueue, Name: "a", Starts: 1},
		} {
			if _, err := f.limiter().SetLimit(f.ctx, bad.Change()); !errors.Is(err, queue.ErrInvalid) {
				f.Errorf("%+v: %v", bad, err)
			}
		}
	},
	"a paused queue with a limit": func(f *fixture) {
		f.limit(queue.Limit{Kind: queue.LimitQueue, Name: "emails", Running: 1})
		running, waiting := f.claimed(lease, onQueue("emails")), f.insert(onQueue("emails"))
		f.refusedLimited(waiting.ID, false)
		f.pause("emails")
		f.finish(running.Claim())
		f.equal("admitted", ids(f.admit(running, 10)), []uuid.UUID{})
		f.equal("pulled", ids(f.claimLimited(10)), []uuid.UUID{})
		f.refusedPaused(waiting.ID)
		f.resume("emails")
		n, _ := f.unpark("emails", 10)
		f.equal("unparked", n, 1)
		f.open()
		f.equal("claimed", f.claim(waiting.ID, lease).ID, waiting.ID)
	},
	"rows that a limit concerns are moved out of the way of others": func(f *fixture) {
		hold := func(backends ...string) int {
			f.Helper()
			n, err := f.limiter().HoldLimited(f.ctx, backends, 500)
			f.must(err)
			return n
		}
		tasks := func(r *queue.ClaimNextRequest) { r.Tasks = []string{taskName, "other"} }
		free := f.insertMany(3)
		f.insert(limitKey("a"), runAfter(f.now().Add(time.Hour)))
		queued, named := f.insertMany(2, onQueue("emails")), f.insert(withTask("other"))
		tenant, each := f.insert(limitKey("tenant")), f.insert(limitKey("a"))
		parked := f.insert(onQueue("paused"), limitKey("a"))
		f.equal("without limits", []any{f.promote().Unheld, hold("default")}, []any{false, 0})
		for _, l := range []queue.Limit{{Kind: queue.LimitQueue, Name: "emails"}, {Kind: queue.LimitName, Name: "other"}, {Kind: queue.LimitName, Name: "tenant"}, {Kind: queue.LimitEach, Name: taskName}} {
			l.Running = 10
			f.limit(l)
		}
		f.pause("paused")
		f.equal("to be done", f.promote().Unheld, true)
		f.equal("of no and another backend", []int{hold(), hold("else")}, []int{0, 0})
		before := f.get(queued[0].ID)
		f.equal("moved", hold("else", "default"), 5)
		f.equal("nothing else", *f.get(queued[0].ID), *before)
		f.equal("done", []any{f.promote().Unheld, hold("default")}, []any{false, 0})
		f.equal("not limited", sorted(ids(f.claimNext(20, tasks))), sorted(ids(free)))
		f.equal("limited", sorted(ids(f.claimLimited(20, tasks))), sorted([]uuid.UUID{queued[0].ID, queued[1].ID, named.ID, tenant.ID, each.ID}))
		f.refusedPaused(parked.ID)
	},
	"rows are moved while their limit is set and removed": func(f *fixture) {
		rows := f.insertMany(60, onQueue("emails"))
		free := f.insertMany(60)
		var moving sync.WaitGroup
		stop := make(chan struct{})
		for range 3 {
			moving.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					if _, err := f.limiter().HoldLimited(f.ctx, []string{"default"}, 7); err != nil {
						f.Errorf("HoldLimited: %v", err)
						return
					}
				}
			})
		}
		for range 5 {
			f.limit(queue.Limit{Kind: queue.LimitQueue, Name: "emails", Running: 1})
			f.limit(queue.Limit{Kind: queue.LimitQueue, Name: "emails"})
		}
		got := ids(f.claimLimited(200)) // those that were moved, and since the limit is gone no more become such
		got = append(got, ids(f.claimNext(200))...)
		close(stop)
		moving.Wait()
		f.equal("all but once", sorted(got), sorted(ids(append(rows, free...))))
		f.must(f.limiter().TidyLimits(f.ctx))
		f.equal("nothing is left", f.promote().Unheld, false)
	},
	"a row that is replaced counts under its new limit key": func(f *fixture) {
		f.limit(queue.Limit{Kind: queue.LimitEach, Name: taskName, Running: 1})
		first := f.claimed(lease, limitKey("a"))
		row := f.isNew(keyed("u"), limitKey("a"))
		f.refusedLimited(row.ID, false)
		replaced := func(key string) {
			f.Helper()
			got := f.meets(row.ID, keyed("u"), onConflict(queue.ReplaceExisting), limitKey(key))
			f.equal("limit key", []any{got.LimitKey, got.WaitsForLimit()}, []any{key, false})
		}
		replaced("b")
		f.equal("of a free key", f.claim(row.ID, lease).Limited, true)
		f.must(f.store.Unclaim(f.ctx, f.get(row.ID).Claim()))
		replaced("a")
		f.equal("pulled", len(f.claimLimited(10)), 0)
		f.refusedLimited(row.ID, false)
		replaced("")
		f.equal("of no key", f.claim(row.ID, lease).Limited, false)
		f.finish(first.Claim())
		other := f.isNew(keyed("v"), limitKey("a"), func(r *queue.NewRow) { r.ExpiresIn = time.Hour })
		f.must(f.store.Insert(f.ctx, request(keyed("v"), onConflict(queue.ReplaceExisting), limitKey("c")), request(keyed("w"), limitKey("c"))))
		f.equal("one of several", f.get(other.ID).LimitKey, "c")
	},
	"another process finds out that there are limits": func(f *fixture) {
		other := f.other().(queue.Store)
		limited, first, second := f.insert(onQueue("emails")), f.insert(), f.insert()
		f.limit(queue.Limit{Kind: queue.LimitQueue, Name: "emails", Running: 1})
		got, err := other.Claim(f.ctx, first.ID, claimRequest(lease))
		f.must(err)
		f.equal("delivered", got.Limited, false)
		_, err = other.Promote(f.ctx, 10)
		f.must(err)
		rows, err := other.ClaimNext(f.ctx, nextRequest(10))
		f.must(err)
		f.equal("pulled", ids(rows), []uuid.UUID{second.ID})
		got, err = other.Claim(f.ctx, limited.ID, claimRequest(lease))
		f.must(err)
		f.equal("limited", got.Limited, true)
		f.limit(queue.Limit{Kind: queue.LimitQueue, Name: "emails"})
		_, err = f.store.Promote(f.ctx, 10)
		f.must(err)
		last := f.insert()
		f.equal("without limits", ids(f.claimNext(10)), []uuid.UUID{last.ID})
	},
}
