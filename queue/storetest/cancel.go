package storetest

import (
	"errors"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// cancel cancels a row and expects it to be so afterwards.
func (f *fixture) cancel(id uuid.UUID) *queue.Row {
	f.Helper()
	row, cancelled, err := f.store.Cancel(f.ctx, id)
	f.must(err)
	if !cancelled {
		f.Fatalf("a %s row was not cancelled", row.Status)
	}
	f.unchanged(row)
	return row
}

// wantCancelled is row, cancelled at a time taken from got.
func wantCancelled(row, got *queue.Row) queue.Row {
	want := *row
	want.Status, want.FinishedAt = queue.StatusCancelled, got.FinishedAt
	want.ClaimID, want.LeaseExpiresAt = uuid.Nil, time.Time{}
	return want
}

var cancelTests = map[string]func(*fixture){
	"a READY row is cancelled at once": func(f *fixture) {
		row := f.insert()
		got := f.cancel(row.ID)
		f.equal("row", *got, wantCancelled(row, got))
		f.between("finished", got.FinishedAt.Sub(row.EnqueuedAt), 0, time.Minute)
		f.equal("claimable", ids(f.claimNext(10)), []uuid.UUID{})
		f.refused(row.ID, queue.ErrFinal)
	},
	"a delayed row is cancelled, and nothing wakes it": func(f *fixture) {
		f.cancel(f.insert(delay(time.Hour)).ID)
		retried := f.claimed(lease)
		f.must(f.store.Retry(f.ctx, retried.Claim(), queue.Retry{Errors: failures(1), In: time.Hour}))
		f.equal("errors", f.cancel(retried.ID).Errors, failures(1))
		f.equal("promotion", f.promote(), queue.PromoteResult{})
	},
	"a RUNNING row is cancelled, and its claim is lost": func(f *fixture) {
		row := f.claimed(lease)
		got := f.cancel(row.ID)
		f.equal("row", *got, wantCancelled(row, got))
		f.refusesAll(row.Claim())
		f.equal("promotion", f.promote(), queue.PromoteResult{})
	},
	"a RUNNING row whose lease has expired, too": func(f *fixture) {
		row := f.claimed(expired, maxAttempts(1))
		f.cancel(row.ID)
		f.refusesAll(row.Claim())
		f.equal("promotion", f.promote(), queue.PromoteResult{})
	},
	"a row that is final stays as it is": func(f *fixture) {
		successful, failed, cancelled := f.claimed(lease), f.claimed(lease), f.insert()
		f.finish(successful.Claim())
		f.fail(failed.Claim())
		f.cancel(cancelled.ID)
		for _, id := range []uuid.UUID{successful.ID, failed.ID, cancelled.ID} {
			before := f.get(id)
			row, did, err := f.store.Cancel(f.ctx, id)
			f.must(err)
			if did {
				f.Errorf("a %s row was cancelled", before.Status)
			}
			f.equal("row", *row, *before)
			f.unchanged(before)
		}
	},
	"a row that is not there is not found": func(f *fixture) {
		row, cancelled, err := f.store.Cancel(f.ctx, uuid.New())
		if row != nil || cancelled || !errors.Is(err, queue.ErrNotFound) {
			f.Errorf("%+v, %v, %v", row, cancelled, err)
		}
	},
	"a cancelled row never reopens": func(f *fixture) {
		row := f.claimed(lease)
		f.cancel(row.ID)
		f.refused(row.ID, queue.ErrFinal, allowRetry)
	},
	"other claims of the process hold on": func(f *fixture) {
		kept, lostOne := f.claimed(lease), f.claimed(lease)
		f.cancel(lostOne.ID)
		_, lost, err := f.store.Heartbeat(f.ctx, lease, kept.Claim(), lostOne.Claim())
		f.must(err)
		f.equal("lost", lost, []queue.Claim{lostOne.Claim()})
		f.finish(kept.Claim())
	},
	"of a cancel and a finish one wins": func(f *fixture) {
		for range 30 {
			row := f.claimed(lease)
			finished, cancelled := f.race(
				func() error {
					_, err := f.store.Finish(f.ctx, row.Claim(), queue.Finish{Status: queue.StatusSuccessful})
					return err
				},
				func() (bool, error) {
					_, did, err := f.store.Cancel(f.ctx, row.ID)
					return did, err
				})
			if want := map[bool]queue.Status{true: queue.StatusSuccessful, false: queue.StatusCancelled}[finished]; finished == cancelled || f.get(row.ID).Status != want {
				f.Fatalf("finished: %v, cancelled: %v, it is %s", finished, cancelled, f.get(row.ID).Status)
			}
		}
	},
	"a cancel beside a claim leaves no claim": func(f *fixture) {
		for range 30 {
			row := f.insert()
			req := claimRequest(lease)
			claimed, cancelled := f.race(
				func() error {
					_, err := f.store.Claim(f.ctx, row.ID, req)
					if errors.Is(err, queue.ErrFinal) {
						err = queue.ErrLeaseLost
					}
					return err
				},
				func() (bool, error) {
					_, did, err := f.store.Cancel(f.ctx, row.ID)
					return did, err
				})
			got := f.get(row.ID)
			if !cancelled || got.Status != queue.StatusCancelled || claimed != (got.Attempts == 1) {
				f.Fatalf("claimed: %v, cancelled: %v, %+v", claimed, cancelled, got)
			}
			f.refusesAll(queue.Claim{ID: row.ID, ClaimID: req.ClaimID})
		}
	},
}

// race runs a step of a worker, which may lose its claim, beside one of an
// operator, and says which of them took effect.
func (f *fixture) race(worker func() error, operator func() (bool, error)) (worked, operated bool) {
	f.Helper()
	var group sync.WaitGroup
	start := make(chan struct{})
	group.Go(func() {
		<-start
		err := worker()
		worked = err == nil
		if err != nil && !errors.Is(err, queue.ErrLeaseLost) {
			f.Errorf("worker: %v", err)
		}
	})
	group.Go(func() {
		<-start
		did, err := operator()
		operated = did
		if err != nil {
			f.Errorf("operator: %v", err)
		}
	})
	close(start)
	group.Wait()
	return worked, operated
}
