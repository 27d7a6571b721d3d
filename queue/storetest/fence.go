package storetest

import (
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// refusesAll checks that nothing can be done under a claim, and that trying
// changes nothing.
func (f *fixture) refusesAll(claim queue.Claim) {
	f.Helper()
	before, _ := f.store.Get(f.ctx, claim.ID)
	for what, try := range map[string]func() error{
		"Finish, successful": func() error {
			_, err := f.store.Finish(f.ctx, claim, queue.Finish{Status: queue.StatusSuccessful})
			return err
		},
		"Finish, failed": func() error {
			_, err := f.store.Finish(f.ctx, claim, queue.Finish{Status: queue.StatusFailed, Errors: failures(1)})
			return err
		},
		"Retry":      func() error { return f.store.Retry(f.ctx, claim, queue.Retry{Errors: failures(1), In: time.Hour}) },
		"Release":    func() error { return f.store.Release(f.ctx, claim) },
		"NoteErrors": func() error { return f.store.NoteErrors(f.ctx, claim, failures(1)) },
	} {
		if err := try(); !errors.Is(err, queue.ErrLeaseLost) {
			f.Errorf("%s under a lost claim: %v", what, err)
		}
	}
	f.must(f.store.Unclaim(f.ctx, claim))
	renewed, lost, err := f.store.Heartbeat(f.ctx, time.Hour, claim)
	f.must(err)
	f.equal("lost", lost, []queue.Claim{claim})
	f.equal("renewed", renewed, []queue.Claim(nil))
	if before != nil {
		f.unchanged(before)
	}
}

var fenceTests = map[string]func(*fixture){
	"a zombie can do nothing once its row is stolen": func(f *fixture) {
		zombie := f.claimed(expired)
		owner := f.claim(zombie.ID, lease)
		f.refusesAll(zombie.Claim())
		f.finish(owner.Claim())
		f.refusesAll(zombie.Claim())
	},
	"nor when attempt numbers repeat after a refund": func(f *fixture) {
		zombie := f.claimed(lease)
		f.must(f.store.Release(f.ctx, zombie.Claim()))
		owner := f.claim(zombie.ID, lease)
		if owner.Attempts != zombie.Attempts {
			f.Fatalf("attempts %d and %d", zombie.Attempts, owner.Attempts)
		}
		f.refusesAll(zombie.Claim())
	},
	"nor when the row was reclaimed": func(f *fixture) {
		zombie := f.claimed(expired)
		f.promote()
		f.refusesAll(zombie.Claim())
	},
	"nor when the row was failed because it was lost": func(f *fixture) {
		zombie := f.claimed(expired, maxAttempts(1))
		f.promote()
		f.refusesAll(zombie.Claim())
		zombie = f.claimed(expired, maxAttempts(1))
		f.refused(zombie.ID, queue.ErrWorkerLost)
		f.refusesAll(zombie.Claim())
	},
	"nor when an operator reopened the row": func(f *fixture) {
		zombie := f.claimed(lease)
		f.fail(zombie.Claim())
		f.claim(zombie.ID, lease, allowRetry)
		f.refusesAll(zombie.Claim())
	},
	"nor on a row that is not there, or never was claimed": func(f *fixture) {
		f.refusesAll(queue.Claim{ID: uuid.New(), ClaimID: uuid.New()})
		f.refusesAll(queue.Claim{ID: f.insert().ID, ClaimID: uuid.New()})
		f.refusesAll(queue.Claim{ID: f.insert().ID})
	},
	"an expired lease that no claim took still holds": func(f *fixture) {
		row := f.claimed(expired)
		_, lost, err := f.store.Heartbeat(f.ctx, lease, row.Claim())
		f.must(err)
		f.equal("lost", lost, []queue.Claim(nil))
		f.refused(row.ID, queue.ErrLeased)
		f.finish(f.claimed(expired).Claim())
	},
	"a repeated finish succeeds and changes nothing": func(f *fixture) {
		row := f.claimed(lease)
		at := f.finish(row.Claim())
		before := f.get(row.ID)
		f.equal("time", f.finish(row.Claim()), at)
		f.unchanged(before)
		for _, other := range []queue.Status{queue.StatusFailed, queue.StatusCancelled} {
			if _, err := f.store.Finish(f.ctx, row.Claim(), queue.Finish{Status: other, Errors: failures(1)}); !errors.Is(err, queue.ErrLeaseLost) {
				f.Errorf("Finish as %s of what is SUCCESSFUL: %v", other, err)
			}
		}
		f.unchanged(before)
		if err := f.store.Retry(f.ctx, row.Claim(), queue.Retry{}); !errors.Is(err, queue.ErrLeaseLost) {
			f.Errorf("Retry after Finish: %v", err)
		}
	},
	"a repeated retry succeeds and changes nothing": func(f *fixture) {
		row := f.claimed(lease)
		f.must(f.store.Retry(f.ctx, row.Claim(), queue.Retry{Errors: failures(1), Refund: true}))
		before := f.get(row.ID)
		f.must(f.store.Retry(f.ctx, row.Claim(), queue.Retry{Errors: failures(2), Refund: true}))
		f.unchanged(before)
		if _, err := f.store.Finish(f.ctx, row.Claim(), queue.Finish{Status: queue.StatusSuccessful}); !errors.Is(err, queue.ErrLeaseLost) {
			f.Errorf("Finish after Retry: %v", err)
		}
		f.claim(row.ID, lease)
		f.refusesAll(row.Claim())
	},
	"a repeated release succeeds and changes nothing": func(f *fixture) {
		row := f.claimed(lease)
		f.must(f.store.Release(f.ctx, row.Claim()))
		before := f.get(row.ID)
		f.must(f.store.Release(f.ctx, row.Claim()))
		f.unchanged(before)
	},
	"a heartbeat extends those claims that hold": func(f *fixture) {
		kept, ended := f.claimed(lease), f.claimed(lease)
		stolen := f.claimed(expired)
		owner := f.claim(stolen.ID, lease)
		f.finish(ended.Claim())
		renewed, lost, err := f.store.Heartbeat(f.ctx, time.Hour, ended.Claim(), kept.Claim(), stolen.Claim(), owner.Claim())
		f.must(err)
		f.equal("lost", lost, []queue.Claim{ended.Claim(), stolen.Claim()})
		f.equal("renewed", renewed, []queue.Claim{kept.Claim(), owner.Claim()})
		f.between("lease", f.get(kept.ID).LeaseExpiresAt.Sub(f.now()), 59*time.Minute, time.Hour)
		_, _, err = f.store.Heartbeat(f.ctx, lease)
		f.must(err)
	},
}
