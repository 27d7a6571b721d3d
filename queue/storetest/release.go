package storetest

import (
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

var releaseTests = map[string]func(*fixture){
	"a plain retry is READY at once": func(f *fixture) {
		row := f.claimed(lease)
		f.must(f.store.Retry(f.ctx, row.Claim(), queue.Retry{Errors: failures(1)}))
		got := f.get(row.ID)
		want := *row
		want.Status, want.LeaseExpiresAt, want.Errors, want.DispatchDueAt = queue.StatusReady, time.Time{}, failures(1), got.DispatchDueAt
		want.ErrorGroup, want.ErrorText = queue.LastError(failures(1))
		f.equal("row", *got, want)
		f.equal("claimable", ids(f.claimNext(10)), []uuid.UUID{row.ID})
	},
	"a retry without errors keeps those there are": func(f *fixture) {
		row := f.claimed(lease)
		f.must(f.store.Retry(f.ctx, row.Claim(), queue.Retry{Errors: failures(2)}))
		f.must(f.store.Retry(f.ctx, f.claim(row.ID, lease).Claim(), queue.Retry{}))
		f.equal("errors", f.get(row.ID).Errors, failures(2))
	},
	"a hard time holds on every attempt": func(f *fixture) {
		row := f.claimed(lease)
		at := f.now().Add(time.Hour)
		f.must(f.store.Retry(f.ctx, row.Claim(), queue.Retry{RunAfter: at}))
		if got := f.get(row.ID); got.RunAfter != at || !got.RetryAt.IsZero() {
			f.Errorf("run_after %v, want %v; retry_at %v", got.RunAfter, at, got.RetryAt)
		}
		f.refused(row.ID, queue.ErrNotDue)
		f.equal("rows", ids(f.claimNext(10)), []uuid.UUID{})
	},
	"a hard time can be relative to now": func(f *fixture) {
		row := f.claimed(lease)
		f.must(f.store.Retry(f.ctx, row.Claim(), queue.Retry{RunIn: time.Hour}))
		f.between("wait", f.refused(row.ID, queue.ErrNotDue).Wait, 59*time.Minute, time.Hour)
	},
	"a hard time in the past is due": func(f *fixture) {
		row := f.claimed(lease)
		f.must(f.store.Retry(f.ctx, row.Claim(), queue.Retry{RunAfter: f.now().Add(-time.Hour)}))
		f.equal("rows", ids(f.claimNext(10)), []uuid.UUID{row.ID})
	},
	"a soft time is never before the hard one": func(f *fixture) {
		row := f.insert(delay(time.Hour))
		claim := f.claim(row.ID, lease, early(2*time.Hour)).Claim()
		f.must(f.store.Retry(f.ctx, claim, queue.Retry{In: time.Millisecond}))
		if got := f.get(row.ID); got.RetryAt != row.RunAfter || got.RunAfter != row.RunAfter {
			f.Errorf("retry_at %v, run_after %v", got.RetryAt, got.RunAfter)
		}
	},
	"a row that was claimed early goes back to its time": func(f *fixture) {
		for _, giveBack := range []func(queue.Claim) error{
			func(c queue.Claim) error { return f.store.Release(f.ctx, c) },
			func(c queue.Claim) error { return f.store.Retry(f.ctx, c, queue.Retry{}) },
		} {
			row := f.insert(delay(time.Hour))
			f.must(giveBack(f.claim(row.ID, lease, early(2*time.Hour)).Claim()))
			f.equal("rows", ids(f.claimNext(10)), []uuid.UUID{})
		}
	},
	"a refund takes the attempt back": func(f *fixture) {
		row := f.claimed(lease)
		f.must(f.store.Retry(f.ctx, row.Claim(), queue.Retry{Refund: true}))
		got := f.get(row.ID)
		if got.Attempts != 0 || len(got.WorkerIDs) != 0 || got.StartedAt != row.StartedAt {
			f.Errorf("%+v", got)
		}
		second := f.claim(row.ID, lease)
		f.must(f.store.Retry(f.ctx, second.Claim(), queue.Retry{}))
		third := f.claim(row.ID, lease, func(r *queue.ClaimRequest) { r.Worker = "other" })
		f.must(f.store.Retry(f.ctx, third.Claim(), queue.Retry{Refund: true}))
		got = f.get(row.ID)
		if got.Attempts != 1 || got.StartedAt != second.StartedAt {
			f.Errorf("%+v", got)
		}
		f.equal("workers", got.WorkerIDs, []string{"w"})
	},
	"a release does not count, twenty times": func(f *fixture) {
		row := f.insert(maxAttempts(2))
		for range queue.MaxInterruptions {
			f.must(f.store.Release(f.ctx, f.claim(row.ID, lease).Claim()))
		}
		got := f.get(row.ID)
		if got.Status != queue.StatusReady || got.Attempts != 0 || got.Interruptions != queue.MaxInterruptions || len(got.WorkerIDs) != 0 || !got.LeaseExpiresAt.IsZero() || got.Errors != nil {
			f.Errorf("%+v", got)
		}
		f.must(f.store.Release(f.ctx, f.claim(row.ID, lease).Claim()))
		got = f.get(row.ID)
		if got.Status != queue.StatusReady || got.Attempts != 1 || got.Interruptions != queue.MaxInterruptions+1 || len(got.WorkerIDs) != 1 {
			f.Errorf("%+v", got)
		}
	},
	"a release that leaves no attempt ends in FAILED": func(f *fixture) {
		row := f.insert(maxAttempts(1))
		for range queue.MaxInterruptions + 1 {
			f.must(f.store.Release(f.ctx, f.claim(row.ID, lease).Claim()))
		}
		f.equal("promotion", f.promote(), queue.PromoteResult{Failed: 1})
		if got := f.get(row.ID); !isLost(got) {
			f.Errorf("%+v", got)
		}
	},
	"a released row is due at once": func(f *fixture) {
		row := f.claimed(lease)
		f.must(f.store.Retry(f.ctx, row.Claim(), queue.Retry{In: time.Hour}))
		f.must(f.store.Release(f.ctx, f.claim(row.ID, lease).Claim()))
		f.equal("rows", ids(f.claimNext(10)), []uuid.UUID{row.ID})
	},
}
