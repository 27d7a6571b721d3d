package storetest

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// everyCall tries each method with ctx.
func (f *fixture) everyCall(ctx context.Context, claim queue.Claim) map[string]error {
	errs := make(map[string]error)
	errs["Insert"] = f.store.Insert(ctx, request())
	errs["Insert many"] = f.store.Insert(ctx, request(), request())
	_, errs["Get"] = f.store.Get(ctx, claim.ID)
	_, errs["Claim"] = f.store.Claim(ctx, claim.ID, claimRequest(lease))
	_, errs["ClaimNext"] = f.store.ClaimNext(ctx, queue.ClaimNextRequest{Tasks: []string{taskName}, Limit: 1, Worker: "w", Lease: lease})
	_, errs["Promote"] = f.store.Promote(ctx, 10)
	_, _, errs["Heartbeat"] = f.store.Heartbeat(ctx, expired, claim)
	_, errs["Finish"] = f.store.Finish(ctx, claim, queue.Finish{Status: queue.StatusSuccessful})
	errs["Retry"] = f.store.Retry(ctx, claim, queue.Retry{})
	errs["Release"] = f.store.Release(ctx, claim)
	errs["Unclaim"] = f.store.Unclaim(ctx, claim)
	errs["NoteErrors"] = f.store.NoteErrors(ctx, claim, failures(1))
	_, errs["Claimed"] = f.store.Claimed(ctx, uuid.New())
	errs["DispatchFailed"] = f.store.DispatchFailed(ctx, "no", false, claim.ID)
	_, errs["StrandedQueues"] = f.store.StrandedQueues(ctx, "default")
	_, errs["TakeStranded"] = f.store.TakeStranded(ctx, queue.StrandedQueue{Backend: "default", Queue: "default", At: time.Now()}, 1)
	_, _, errs["Cancel"] = f.store.Cancel(ctx, claim.ID)
	errs["Ping"] = f.store.Ping(ctx)
	if f.operator != nil {
		f.everyOperatorCall(ctx, claim, errs)
	}
	return errs
}

func (f *fixture) everyOperatorCall(ctx context.Context, claim queue.Claim, errs map[string]error) {
	_, errs["List"] = f.operator.List(ctx, queue.ListRequest{Limit: 1})
	_, errs["CountMatching"] = f.operator.CountMatching(ctx, queue.ActionCancel, queue.Selection{}, time.Time{}, 1)
	_, errs["Act"] = f.operator.Act(ctx, queue.ActionCancel, queue.Selection{}, time.Now(), 1)
	_, errs["Queues"] = f.operator.Queues(ctx)
	_, errs["Failures"] = f.operator.Failures(ctx, time.Now(), 1)
	errs["Mark"] = f.operator.Touch(ctx, "x")
	_, errs["Marks"] = f.operator.Touched(ctx)
	_, errs["Note"] = f.operator.RecordAudit(ctx, queue.AuditEntry{ID: claim.ID})
	_, errs["Notes"] = f.operator.AuditLog(ctx, claim.ID, time.Time{}, 1)
	_, errs["Stats"] = f.operator.Stats(ctx, queue.Filter{})
	_, errs["CountPurgeable"] = f.operator.CountPurgeable(ctx, purgeRequest(finalStatuses...))
	_, errs["Purge"] = f.operator.Purge(ctx, purgeRequest(finalStatuses...))
	_, errs["Requeue"] = f.operator.Requeue(ctx, queue.RequeueRequest{Limit: 1, DryRun: true})
	_, errs["Requeue, in earnest"] = f.operator.Requeue(ctx, queue.RequeueRequest{Limit: 1})
}

func (f *fixture) allAre(errs map[string]error, want error) {
	f.Helper()
	for call, err := range errs {
		if !errors.Is(err, want) {
			f.Errorf("%s: got %v, want %v", call, err, want)
		}
	}
}

var failureTests = map[string]func(*fixture){
	"a cancelled context stops every call before it does anything": func(f *fixture) {
		row := f.claimed(lease)
		waiting := f.insert()
		ctx, cancel := context.WithCancel(f.ctx)
		cancel()
		f.allAre(f.everyCall(ctx, row.Claim()), context.Canceled)
		f.unchanged(row)
		f.equal("claimable", ids(f.claimNext(10)), []uuid.UUID{waiting.ID})
	},
	"a context that ends on the way leaves all or nothing": func(f *fixture) {
		for range 20 {
			ctx, cancel := context.WithCancel(f.ctx)
			rows := []*queue.NewRow{request(), request(), request()}
			var group sync.WaitGroup
			group.Go(cancel)
			err := f.store.Insert(ctx, rows...)
			group.Wait()
			if err != nil && !errors.Is(err, context.Canceled) {
				f.Fatalf("Insert: %v", err)
			}
			found := f.countStored(rows)
			for range 100 { // a commit under way may take effect between two reads
				if found == 0 || found == len(rows) {
					break
				}
				found = f.countStored(rows)
			}
			if found != 0 && found != len(rows) || err == nil && found == 0 {
				f.Fatalf("%d of %d rows are stored; Insert: %v", found, len(rows), err)
			}
		}
	},
	"a closed store says so": func(f *fixture) {
		row := f.claimed(lease)
		closer, ok := f.store.(io.Closer)
		if !ok {
			f.Skip("the store has no Close")
		}
		f.must(closer.Close())
		f.allAre(f.everyCall(f.ctx, row.Claim()), queue.ErrClosed)
		f.must(closer.Close())
	},
}

func (f *fixture) countStored(rows []*queue.NewRow) (found int) {
	for _, row := range rows {
		if _, err := f.store.Get(f.ctx, row.ID); err == nil {
			found++
		}
	}
	return found
}

func testUnmigrated(f *fixture) {
	errs := f.everyCall(f.ctx, queue.Claim{ID: uuid.New(), ClaimID: uuid.New()})
	if err := errs["Ping"]; err != nil {
		f.Errorf("Ping: %v", err)
	}
	delete(errs, "Ping")
	f.allAre(errs, queue.ErrSchema)
}
