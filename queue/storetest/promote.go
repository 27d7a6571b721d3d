package storetest

import (
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

var promoteTests = map[string]func(*fixture){
	"with nothing there, nothing is seen": func(f *fixture) {
		f.equal("promotion", f.promote(), queue.PromoteResult{})
	},
	"a claimable row is seen": func(f *fixture) {
		f.insert(withTask("unknown"))
		f.equal("promotion", f.promote(), queue.PromoteResult{Claimable: true})
	},
	"the next time is seen": func(f *fixture) {
		f.insert(delay(2 * time.Hour))
		f.between("delayed", f.promote().Next, 119*time.Minute, 2*time.Hour)
		f.claimed(time.Hour)
		f.between("leased", f.promote().Next, 59*time.Minute, time.Hour)
		row := f.claimed(lease)
		f.must(f.store.Retry(f.ctx, row.Claim(), queue.Retry{In: 30 * time.Minute}))
		p := f.promote()
		f.between("retried", p.Next, 29*time.Minute, 30*time.Minute)
		if p.Claimable {
			f.Error("claimable")
		}
	},
	"a delayed row is released": func(f *fixture) {
		row := f.insert(delay(time.Millisecond))
		var p queue.PromoteResult
		for p.Released == 0 {
			f.must(f.ctx.Err())
			p = f.promote()
		}
		f.equal("promotion", p, queue.PromoteResult{Released: 1, Claimable: true})
		f.unchanged(row)
	},
	"an expired row is READY again": func(f *fixture) {
		row := f.claimed(expired)
		before := f.now()
		p := f.promote()
		f.equal("promotion", p, queue.PromoteResult{Reclaimed: 1, Claimable: true, Next: p.Next})
		got := f.get(row.ID)
		want := *row
		want.Status, want.ClaimID, want.LeaseExpiresAt, want.DispatchDueAt = queue.StatusReady, uuid.Nil, time.Time{}, got.DispatchDueAt
		f.equal("row", *got, want)
		f.between("dispatch due", got.DispatchDueAt.Sub(before), 0, time.Minute)
		f.equal("claimed again", ids(f.claimNext(10)), []uuid.UUID{row.ID})
	},
	"an expired row that was claimed early waits for its time": func(f *fixture) {
		row := f.insert(delay(time.Hour))
		f.claim(row.ID, expired, early(2*time.Hour))
		f.promote()
		f.refused(row.ID, queue.ErrNotDue)
		f.equal("too early", ids(f.claimNext(10)), []uuid.UUID{})
	},
	"an expired row without attempts is FAILED": func(f *fixture) {
		row := f.claimed(expired, maxAttempts(1))
		f.equal("promotion", f.promote(), queue.PromoteResult{Failed: 1})
		got := f.get(row.ID)
		if !isLost(got) || got.FinishedAt.IsZero() || !got.LeaseExpiresAt.IsZero() || lastError(got).ExceptionClassPath != "WorkerLost" {
			f.Errorf("%+v", got)
		}
	},
	"a live lease is let be": func(f *fixture) {
		row := f.claimed(lease)
		p := f.promote()
		f.equal("promotion", p, queue.PromoteResult{Next: p.Next})
		f.unchanged(row)
	},
	"the limit holds for each kind": func(f *fixture) {
		for range 3 {
			f.claimed(expired)
			f.claimed(expired, maxAttempts(1))
		}
		first, err := f.store.Promote(f.ctx, 2)
		f.must(err)
		f.equal("first", first, queue.PromoteResult{Reclaimed: 2, Failed: 2, Claimable: true, Next: time.Microsecond})
		second, err := f.store.Promote(f.ctx, 2)
		f.must(err)
		f.equal("second", second, queue.PromoteResult{Reclaimed: 1, Failed: 1, Claimable: true})
	},
}
