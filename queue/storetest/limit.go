package storetest

import (
	"errors"
	"fmt"
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
	"an expired claim that no row waits behind is made claimable": func(f *fixture) {
		f.limit(queue.Limit{Kind: queue.LimitEach, Name: taskName, Running: 1})
		lost := f.claimed(expired, limitKey("a"))
		f.equal("pulled before", ids(f.claimLimited(10)), []uuid.UUID{})
		p := f.promote()
		f.equal("reclaimed", []any{p.Reclaimed, p.Claimable, p.Limits}, []any{1, true, true})
		f.equal("pulled", ids(f.claimLimited(10)), []uuid.UUID{lost.ID})
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
