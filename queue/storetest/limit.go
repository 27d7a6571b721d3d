package storetest

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// limitTests are about limits on what runs and starts.
var limitTests = map[string]func(*fixture){
	"no more run than the limit of their queue": func(f *fixture) {
		f.limit(queue.Limit{Kind: queue.LimitQueue, Name: "emails", Running: 2})
		rows := f.insertMany(4, onQueue("emails"), armed)
		free := f.insert()
		f.equal("rows without a limit", ids(f.claimNext(10)), []uuid.UUID{free.ID})
		first, second := f.claim(rows[0].ID, lease), f.claim(rows[1].ID, lease)
		f.equal("limited", []bool{first.Limited, second.Limited, free.Limited}, []bool{true, true, false})
		waiting := f.refusedLimited(rows[2].ID, false)
		f.equal("attempts", []int{first.Attempts, waiting.Attempts}, []int{1, 0})
		f.equal("none is admitted", ids(f.admit(first, 10)), []uuid.UUID{})
		f.equal("none is pulled", ids(f.claimLimited(10)), []uuid.UUID{})
		f.finish(first.Claim())
		admitted := f.admit(first, 10)
		f.equal("admitted", ids(admitted), []uuid.UUID{rows[2].ID})
		f.light(admitted[0])
		f.letsPass(admitted[0], rows[3])
		f.equal("the admitted row", f.claim(rows[2].ID, lease).ID, rows[2].ID)
		f.finish(second.Claim())
		f.equal("pulled", ids(f.claimLimited(10)), []uuid.UUID{rows[3].ID})
	},
	"rows of a task, of a key and of each key have limits": func(f *fixture) {
		f.limit(queue.Limit{Kind: queue.LimitEach, Name: taskName, Running: 1})
		f.limit(queue.Limit{Kind: queue.LimitName, Name: "slow", Running: 2})
		f.limit(queue.Limit{Kind: queue.LimitName, Name: taskName, Running: 4})
		slow := f.insertMany(3, withTask("other"), limitKey("slow"))
		keys := []*queue.Row{f.insert(limitKey("a")), f.insert(limitKey("a")), f.insert(limitKey("b")), f.insert(limitKey("slow")), f.insert(), f.insert(), f.insert()}
		tasks := func(r *queue.ClaimNextRequest) { r.Tasks = []string{taskName, "other"} }
		f.equal("free rows", ids(f.claimNext(10, tasks)), []uuid.UUID{})
		got := f.claimLimited(10, func(r *queue.ClaimNextRequest) { r.Tasks = []string{"other"} })
		f.equal("of the key", ids(got), []uuid.UUID{slow[0].ID, slow[1].ID})
		f.refusedLimited(keys[3].ID, false)
		f.finish(got[0].Claim())
		f.equal("the others", sorted(ids(f.claimLimited(10, tasks))), sorted([]uuid.UUID{keys[0].ID, keys[2].ID, keys[4].ID, keys[3].ID}))
		f.refusedLimited(keys[1].ID, false)
		f.refusedLimited(keys[5].ID, false)
	},
	"pulls go by priority, then from key to key, then by time": func(f *fixture) {
		f.limit(queue.Limit{Kind: queue.LimitQueue, Name: "emails", Running: 100})
		var rows []*queue.Row
		for _, key := range []string{"a", "a", "a", "b", "c", "c"} {
			rows = append(rows, f.insert(onQueue("emails"), limitKey(key)))
		}
		urgent := f.insert(onQueue("emails"), limitKey("c"), priority(5))
		f.insert(onQueue("emails"), limitKey("d"), priority(-5))
		f.equal("first", ids(f.claimLimited(3)), []uuid.UUID{urgent.ID, rows[0].ID, rows[3].ID})
		f.equal("then", ids(f.claimLimited(3)), []uuid.UUID{rows[4].ID, rows[1].ID, rows[5].ID})
		f.equal("at last", ids(f.claimLimited(1)), []uuid.UUID{rows[2].ID})
	},
	"a pull leaves a share to rows without a limit": func(f *fixture) {
		f.limit(queue.Limit{Kind: queue.LimitQueue, Name: "emails", Running: 100})
		same := f.insertMany(8, onQueue("emails"))
		higher := f.insert(onQueue("emails"), priority(1))
		f.insert(onQueue("emails"), priority(-1))
		f.insertMany(8)
		share := func(r *queue.ClaimNextRequest) { r.Share = true }
		othersFirst := func(r *queue.ClaimNextRequest) { r.Share, r.OthersFirst = true, true }
		f.equal("half", ids(f.claimLimited(4, othersFirst)), []uuid.UUID{higher.ID, same[0].ID})
		f.equal("of one", len(f.claimLimited(1, othersFirst)), 0)
		f.equal("one of one", len(f.claimLimited(1, share)), 1)
		f.equal("of three", len(f.claimLimited(3, othersFirst)), 1)
		f.claimNext(10)
		f.equal("all", len(f.claimLimited(10, share)), 6)
	},
	"priorities decide between rows with and without a limit": func(f *fixture) {
		f.limit(queue.Limit{Kind: queue.LimitQueue, Name: "emails", Running: 100})
		f.insert(priority(5))
		f.insertMany(10)
		f.insertMany(4, onQueue("emails"), priority(3))
		f.insert(onQueue("emails"), priority(-1))
		othersFirst := func(r *queue.ClaimNextRequest) { r.Share, r.OthersFirst = true, true }
		f.equal("behind a higher one", len(f.claimLimited(1, othersFirst)), 0)
		f.equal("between higher and lower ones", len(f.claimLimited(4, othersFirst)), 3)
		f.claimNext(1)
		f.equal("before lower ones", len(f.claimLimited(1, othersFirst)), 1)
		f.equal("behind the same ones", len(f.claimLimited(10, othersFirst)), 0)
		f.claimNext(3)
		f.equal("what the others leave", len(f.claimLimited(8, othersFirst)), 1)
	},
	"keys take turns at each priority": func(f *fixture) {
		for i := range 3 {
			f.insertMany(4, limitKey(fmt.Sprint("m", i)))
		}
		f.equal("turns", f.besideHog(6), []string{"hog", "m0", "hog", "m1", "hog", "m2", "hog", "m0", "hog", "m1", "hog", "m2"})
	},
	"pulls of two processes do not keep each other from rows": func(f *fixture) {
		f.limit(queue.Limit{Kind: queue.LimitEach, Name: taskName, Running: 1})
		f.insertMany(20, limitKey("a"))
		f.insertMany(20, limitKey("b"))
		stores := []queue.Limiter{f.limiter(), f.other().(queue.Limiter)}
		for _, store := range stores { // each finds that limits concern the rows
			rows, _, err := store.ClaimLimited(f.ctx, nextRequest(1))
			f.must(err)
			f.equal("the first", len(rows), 1)
			f.finish(rows[0].Claim())
		}
		for range 18 {
			var rows [2][]*queue.Row
			var errs [2]error
			var group sync.WaitGroup
			for i, store := range stores {
				group.Go(func() { rows[i], _, errs[i] = store.ClaimLimited(f.ctx, nextRequest(1)) })
			}
			group.Wait()
			f.must(errors.Join(errs[:]...))
			claimed := append(rows[0], rows[1]...)
			f.equal("claimed", len(claimed), 2)
			for _, row := range claimed {
				f.finish(row.Claim())
			}
		}
	},
	"no key has a second turn before others had one, below a higher priority": func(f *fixture) {
		const keys = 210 // more than a pull looks at
		for i := range keys {
			f.insert(limitKey(fmt.Sprintf("m%03d", i)))
		}
		f.insertMany(10, limitKey("m000"))
		had := map[string]bool{}
		const turns = 50
		for _, key := range f.besideHog(turns) {
			had[key] = true
		}
		f.equal("keys", len(had), turns+1)
	},
	"no more start within a period than the limit": func(f *fixture) {
		f.limit(queue.Limit{Kind: queue.LimitName, Name: taskName, Starts: 2, Per: time.Hour})
		rows := f.insertMany(3, armed)
		f.finish(f.claim(rows[0].ID, lease).Claim())
		f.finish(f.claim(rows[1].ID, lease).Claim())
		refused := f.refused(rows[2].ID, queue.ErrLimited)
		f.between("wait", refused.Wait, 59*time.Minute, 3*time.Hour)
		f.between("dispatch due", f.get(rows[2].ID).DispatchDueAt.Sub(f.now()), refused.Wait, refused.Wait+queue.DispatchGrace+time.Second)
		_, wait, err := f.limiter().ClaimLimited(f.ctx, nextRequest(10))
		f.must(err)
		f.between("wait of a pull", wait, 59*time.Minute, time.Hour)
		f.equal("admitted", ids(f.admit(nil, 10)), []uuid.UUID{})
		f.limit(queue.Limit{Kind: queue.LimitName, Name: taskName, Starts: 3, Per: time.Hour})
		f.equal("with a higher limit", ids(f.claimLimited(10)), []uuid.UUID{rows[2].ID})
	},
	"starts are allowed again after the period": func(f *fixture) {
		f.limit(queue.Limit{Kind: queue.LimitName, Name: taskName, Starts: 1, Per: time.Millisecond})
		rows := f.insertMany(20)
		last := time.Time{}
		for range rows {
			var got []*queue.Row
			for len(got) == 0 {
				got = f.claimLimited(5)
			}
			f.equal("at once", len(got), 1)
			if since := got[0].LastAttemptedAt.Sub(last); since < time.Millisecond {
				f.Errorf("a start %s after the one before", since)
			}
			last = got[0].LastAttemptedAt
		}
	},
	"whatever ends a claim frees its slot": func(f *fixture) {
		f.limit(queue.Limit{Kind: queue.LimitQueue, Name: "emails", Running: 1})
		ends := map[string]func(*queue.Row){
			"Finish":  func(r *queue.Row) { f.finish(r.Claim()) },
			"Retry":   func(r *queue.Row) { f.must(f.store.Retry(f.ctx, r.Claim(), queue.Retry{In: time.Hour})) },
			"Release": func(r *queue.Row) { f.must(f.store.Release(f.ctx, r.Claim())) },
			"Unclaim": func(r *queue.Row) { f.must(f.store.Unclaim(f.ctx, r.Claim())) },
			"Cancel": func(r *queue.Row) {
				_, _, err := f.store.Cancel(f.ctx, r.ID)
				f.must(err)
			},
		}
		for name, end := range ends {
			row, next := f.claimed(lease, onQueue("emails")), f.insert(onQueue("emails"))
			f.refusedLimited(next.ID, false)
			end(row)
			f.equal("after "+name, ids(f.admit(row, 1)), []uuid.UUID{next.ID})
			f.finish(f.claim(next.ID, lease).Claim())
			_, _, err := f.store.Cancel(f.ctx, row.ID)
			f.must(err)
		}
	},
	"a claim whose lease has expired frees its slot": func(f *fixture) {
		f.limit(queue.Limit{Kind: queue.LimitQueue, Name: "emails", Running: 1})
		lost := f.claimed(expired, onQueue("emails"))
		next := f.insert(onQueue("emails"))
		f.equal("another row", f.claim(next.ID, lease).ID, next.ID)
		f.equal("the expired one", f.get(lost.ID).Status, queue.StatusReady)
		f.refusedLimited(lost.ID, false)
		f.finish(f.get(next.ID).Claim())
		last := f.claim(lost.ID, expired, func(r *queue.ClaimRequest) {})
		f.equal("again", f.claim(last.ID, lease).Attempts, 3)
		ended := f.claimed(lease, onQueue("else"), maxAttempts(1))
		f.finish(ended.Claim())
	},
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
	"a FAILED row is not retried over a limit": func(f *fixture) {
		failed := f.claimed(lease, onQueue("emails"))
		f.fail(failed.Claim())
		f.limit(queue.Limit{Kind: queue.LimitQueue, Name: "emails", Running: 1})
		running := f.claimed(lease, onQueue("emails"))
		again := func(r *queue.ClaimRequest) { r.AllowRetry = true }
		_, err := f.store.Claim(f.ctx, failed.ID, claimRequest(lease, again))
		if !errors.Is(err, queue.ErrLimited) {
			f.Errorf("over the limit: %v", err)
		}
		f.equal("status", f.get(failed.ID).Status, queue.StatusFailed)
		f.finish(running.Claim())
		f.equal("below it", f.claim(failed.ID, lease, again).Attempts, 2)
	},
	"a lost ticket of an admitted row blocks nothing": func(f *fixture) {
		f.limit(queue.Limit{Kind: queue.LimitQueue, Name: "emails", Running: 1})
		running, waiting := f.claimed(lease, onQueue("emails")), f.insert(onQueue("emails"))
		f.refusedLimited(waiting.ID, false)
		f.finish(running.Claim())
		f.equal("admitted", ids(f.admit(running, 10)), []uuid.UUID{waiting.ID})
		f.must(f.store.DispatchFailed(f.ctx, "quota", false, waiting.ID))
		next := f.insert(onQueue("emails"))
		f.equal("another row", f.claim(next.ID, lease).ID, next.ID)
		f.finish(f.get(next.ID).Claim())
		f.equal("the row again", ids(f.admit(nil, 10)), []uuid.UUID{waiting.ID})
	},
	"a repeated claim is recognized": func(f *fixture) {
		f.limit(queue.Limit{Kind: queue.LimitQueue, Name: "emails", Running: 1})
		row, req := f.insert(onQueue("emails")), claimRequest(lease)
		for range 2 {
			got, err := f.store.Claim(f.ctx, row.ID, req)
			f.must(err)
			f.equal("claim", []any{got.ClaimID, got.Attempts}, []any{req.ClaimID, 1})
		}
		f.must(f.store.Unclaim(f.ctx, queue.Claim{ID: row.ID, ClaimID: req.ClaimID}))
		if _, err := f.store.Claim(f.ctx, row.ID, req); !errors.Is(err, queue.ErrLeaseLost) {
			f.Errorf("of a claim that has ended: %v", err)
		}
	},
	"a pull whose answer was lost is found": func(f *fixture) {
		f.limit(queue.Limit{Kind: queue.LimitQueue, Name: "emails", Running: 3})
		f.insertMany(3, onQueue("emails"))
		fence := queue.NewClaimID()
		rows := f.claimLimited(10, func(r *queue.ClaimNextRequest) { r.Fence = fence })
		claims, err := f.store.Claimed(f.ctx, fence)
		f.must(err)
		f.equal("claims", len(claims), len(rows))
	},
	"an expired claim that no row waits behind is made claimable": func(f *fixture) {
		f.limit(queue.Limit{Kind: queue.LimitEach, Name: taskName, Running: 1})
		lost := f.claimed(expired, limitKey("a"))
		f.equal("pulled before", ids(f.claimLimited(10)), []uuid.UUID{})
		p := f.promote()
		f.equal("reclaimed", []any{p.Reclaimed, p.Claimable, p.Limits}, []any{1, true, true})
		f.equal("pulled", ids(f.claimLimited(10)), []uuid.UUID{lost.ID})
	},
	"queues with one key take turns": func(f *fixture) {
		f.limit(queue.Limit{Kind: queue.LimitEach, Name: taskName, Running: 1})
		var rows []*queue.Row
		for _, name := range []string{"one", "one", "one", "one", "two", "zero"} {
			rows = append(rows, f.insert(onQueue(name), limitKey("a")))
		}
		running := f.claim(rows[0].ID, lease)
		for _, row := range rows[1:] {
			f.refusedLimited(row.ID, false)
		}
		started := map[string]bool{}
		for range 3 {
			f.finish(running.Claim())
			next := f.admit(running, 2)
			f.equal("admitted", len(next), 1)
			running = f.claim(next[0].ID, lease)
			started[running.Queue] = true
		}
		f.equal("queues", started, map[string]bool{"one": true, "two": true, "zero": true})
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
	"the highest priority comes first among many keys": func(f *fixture) {
		f.limit(queue.Limit{Kind: queue.LimitEach, Name: taskName, Running: 1})
		for i := range 150 {
			f.insert(limitKey(fmt.Sprintf("k%03d", i)))
		}
		urgent := f.insert(limitKey("z"), priority(5))
		f.equal("first", ids(f.claimLimited(1)), []uuid.UUID{urgent.ID})
	},
	"only rows of tasks that the caller knows are admitted": func(f *fixture) {
		for kind, name := range map[queue.LimitKind]string{queue.LimitQueue: "emails", queue.LimitName: "a"} {
			f.limit(queue.Limit{Kind: kind, Name: name, Running: 1})
		}
		unknown := func(r *queue.ClaimRequest) { r.Tasks = []string{"newer"} }
		running := f.claimed(lease, onQueue("emails"), limitKey("a"))
		newer, waiting := f.insert(onQueue("emails"), limitKey("a"), withTask("newer"), priority(5)), f.insert(onQueue("emails"), limitKey("a"))
		f.refused(newer.ID, queue.ErrLimited, unknown)
		f.refusedLimited(waiting.ID, false)
		f.finish(running.Claim())
		f.equal("after a run", ids(f.admit(running, 10)), []uuid.UUID{waiting.ID})
		f.finish(f.claim(waiting.ID, lease).Claim())
		f.equal("by a sweep", ids(f.admit(nil, 10)), []uuid.UUID{})
		f.equal("it takes no slot", f.claimed(lease, onQueue("emails")).Status, queue.StatusRunning)
	},
	"a ticket that is late keeps no slot": func(f *fixture) {
		f.limit(queue.Limit{Kind: queue.LimitQueue, Name: "emails", Running: 1})
		running, waiting := f.claimed(lease, onQueue("emails")), f.insert(onQueue("emails"))
		f.refusedLimited(waiting.ID, false)
		f.finish(running.Claim())
		f.equal("admitted", ids(f.admit(running, 1)), []uuid.UUID{waiting.ID})
		next := f.insert(onQueue("emails"))
		for f.get(next.ID).Status != queue.StatusRunning {
			if _, err := f.store.Claim(f.ctx, next.ID, claimRequest(lease)); err != nil && !errors.Is(err, queue.ErrLimited) {
				f.Fatal(err)
			}
		}
		f.refusedLimited(waiting.ID, false)
		f.finish(f.get(next.ID).Claim())
		f.equal("admitted again", ids(f.admit(running, 1)), []uuid.UUID{waiting.ID})
	},
	"many claimers never exceed a limit": func(f *fixture) { f.raceForSlots(5, 120, 16) },
	"many claimers of keys never exceed their limits": func(f *fixture) {
		f.limit(queue.Limit{Kind: queue.LimitEach, Name: taskName, Running: 1})
		var running [10]atomic.Int64
		for i := range 100 {
			f.insert(limitKey(fmt.Sprint("k", i%len(running))))
		}
		f.drainLimited(8, 100, func(row *queue.Row, n int64) {
			var i int
			_, err := fmt.Sscanf(row.LimitKey, "k%d", &i)
			f.must(err)
			if now := running[i].Add(n); now > 1 {
				f.Errorf("%d of key %d run", now, i)
			}
		})
	},
}
