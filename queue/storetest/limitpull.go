package storetest

import (
	"errors"
	"fmt"
	"sync"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// limitPullTests are about the order in which rows that limits concern are pulled.
var limitPullTests = map[string]func(*fixture){
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
	"a pull whose answer was lost is found": func(f *fixture) {
		f.limit(queue.Limit{Kind: queue.LimitQueue, Name: "emails", Running: 3})
		f.insertMany(3, onQueue("emails"))
		fence := queue.NewClaimID()
		rows := f.claimLimited(10, func(r *queue.ClaimNextRequest) { r.Fence = fence })
		claims, err := f.store.Claimed(f.ctx, fence)
		f.must(err)
		f.equal("claims", len(claims), len(rows))
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
	"the highest priority comes first among many keys": func(f *fixture) {
		f.limit(queue.Limit{Kind: queue.LimitEach, Name: taskName, Running: 1})
		for i := range 150 {
			f.insert(limitKey(fmt.Sprintf("k%03d", i)))
		}
		urgent := f.insert(limitKey("z"), priority(5))
		f.equal("first", ids(f.claimLimited(1)), []uuid.UUID{urgent.ID})
	},
}
