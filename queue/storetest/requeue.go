package storetest

import (
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// requeue requeues, and expects a dry run to have known what it would do.
func (f *fixture) requeue(r queue.RequeueRequest) queue.RequeueResult {
	f.Helper()
	dry := r
	dry.DryRun = true
	would, err := f.operator.Requeue(f.ctx, dry)
	f.must(err)
	done, err := f.operator.Requeue(f.ctx, r)
	f.must(err)
	f.equal("done, against the dry run", done, would)
	return done
}

// failedAsLost checks that a row was failed because its worker was lost.
func (f *fixture) failedAsLost(id uuid.UUID, message string) {
	f.Helper()
	row := f.get(id)
	if !isLost(row) || row.FinishedAt.IsZero() || !row.LeaseExpiresAt.IsZero() {
		f.Fatalf("%+v", row)
	}
	last := lastError(row)
	if last.ExceptionClassPath != "WorkerLost" || last.Attempt != row.Attempts || row.FinishedAt.Sub(last.At).Abs() > time.Minute || !strings.Contains(last.Message, message) {
		f.Errorf("error: %+v", last)
	}
}

var requeueTests = map[string]func(*fixture){
	"with nothing there, nothing is requeued": func(f *fixture) {
		f.equal("requeued", f.requeue(queue.RequeueRequest{Limit: 10}), queue.RequeueResult{})
	},
	"a row whose worker is gone is READY and due at once": func(f *fixture) {
		row := f.claimed(expired)
		before := f.now()
		f.equal("requeued", f.requeue(queue.RequeueRequest{Limit: 10}), queue.RequeueResult{Ready: 1})
		got := f.get(row.ID)
		want := *row
		want.Status, want.ClaimID, want.LeaseExpiresAt, want.DispatchDueAt = queue.StatusReady, uuid.Nil, time.Time{}, got.DispatchDueAt
		f.equal("row", *got, want)
		f.between("dispatch due", got.DispatchDueAt.Sub(before), 0, time.Minute)
		f.refusesAll(row.Claim())
		f.equal("claimable", ids(f.claimNext(10)), []uuid.UUID{row.ID})
	},
	"one without attempts is FAILED because its worker was lost": func(f *fixture) {
		row := f.claimed(lease, maxAttempts(2))
		f.must(f.store.Retry(f.ctx, row.Claim(), queue.Retry{Errors: failures(1)}))
		row = f.claim(row.ID, expired)
		f.equal("requeued", f.requeue(queue.RequeueRequest{Limit: 10}), queue.RequeueResult{Failed: 1})
		f.failedAsLost(row.ID, "during attempt 2 of 2, and no result was stored")
		f.equal("errors before", f.get(row.ID).Errors[:1], failures(1))
		f.refusesAll(row.Claim())
	},
	"rows whose workers are not lost stay as they are": func(f *fixture) {
		live := []*queue.Row{f.insert(), f.insert(delay(time.Hour)), f.claimed(lease), f.claimed(lease, maxAttempts(1)), f.cancel(f.claimed(expired).ID)}
		for _, r := range []queue.RequeueRequest{{Limit: 10}, {Limit: 10, MarkFailed: true}, {Limit: 10, MaxAttempts: 100, OlderThan: -time.Hour}} {
			f.equal("requeued", f.requeue(r), queue.RequeueResult{})
		}
		for _, row := range live {
			f.unchanged(row)
		}
	},
	"those that were claimed too recently wait": func(f *fixture) {
		row := f.claimed(expired)
		r := queue.RequeueRequest{Limit: 10, OlderThan: time.Hour}
		f.equal("after an hour", f.requeue(r), queue.RequeueResult{})
		f.unchanged(row)
		r.OlderThan = 20 * time.Millisecond
		for ready := 0; ready == 0; { // the database's clock says when
			done, err := f.operator.Requeue(f.ctx, r)
			f.must(err)
			ready = done.Ready
		}
	},
	"it is the last claim whose age counts": func(f *fixture) {
		row := f.claimed(expired)
		for f.now().Sub(row.StartedAt) < 20*time.Millisecond {
			f.must(f.ctx.Err())
		}
		row = f.claim(row.ID, expired)
		age := row.LastAttemptedAt.Sub(row.StartedAt) + time.Hour
		f.equal("requeued", f.requeue(queue.RequeueRequest{Limit: 10, OlderThan: age}), queue.RequeueResult{})
	},
	"only what the filter chooses is requeued": func(f *fixture) {
		a := f.claimed(expired, onQueue("a"), onBackend("one"))
		b := f.claimed(expired, onQueue("b"), onBackend("one"))
		c := f.claimed(expired, onQueue("b"), onBackend("two"), maxAttempts(1))
		for _, step := range []struct {
			filter queue.Filter
			want   queue.RequeueResult
		}{
			{queue.Filter{Queue: "c"}, queue.RequeueResult{}},
			{queue.Filter{Queue: "a", Backend: "two"}, queue.RequeueResult{}},
			{queue.Filter{Backend: "two"}, queue.RequeueResult{Failed: 1}},
			{queue.Filter{Queue: "b"}, queue.RequeueResult{Ready: 1}},
			{queue.Filter{Queue: "a", Backend: "one"}, queue.RequeueResult{Ready: 1}},
		} {
			f.equal("requeued", f.requeue(queue.RequeueRequest{Filter: step.filter, Limit: 10}), step.want)
		}
		f.equal("statuses", []queue.Status{f.get(a.ID).Status, f.get(b.ID).Status, f.get(c.ID).Status},
			[]queue.Status{queue.StatusReady, queue.StatusReady, queue.StatusFailed})
	},
	"a higher limit gives one attempt more": func(f *fixture) {
		row := f.claimed(expired, maxAttempts(1))
		f.equal("requeued", f.requeue(queue.RequeueRequest{Limit: 10, MaxAttempts: 5}), queue.RequeueResult{Ready: 1})
		if got := f.get(row.ID); got.MaxAttempts != 2 || got.Attempts != 1 || got.Errors != nil {
			f.Errorf("%+v", got)
		}
		f.equal("claimable", ids(f.claimNext(10)), []uuid.UUID{row.ID})
		roomy := f.claimed(expired, maxAttempts(3))
		f.requeue(queue.RequeueRequest{Limit: 10, MaxAttempts: 5})
		if got := f.get(roomy.ID); got.MaxAttempts != 3 {
			f.Errorf("max_attempts %d", got.MaxAttempts)
		}
	},
	"a lower limit fails those that have used it up": func(f *fixture) {
		once := f.claimed(expired)
		twice := f.claim(f.claimed(expired).ID, expired)
		f.equal("requeued", f.requeue(queue.RequeueRequest{Limit: 10, MaxAttempts: 2}), queue.RequeueResult{Ready: 1, Failed: 1})
		f.failedAsLost(twice.ID, "attempt 2 of 10")
		if got := f.get(once.ID); got.Status != queue.StatusReady || got.MaxAttempts != 10 {
			f.Errorf("%+v", got)
		}
	},
	"all are FAILED if that is asked for": func(f *fixture) {
		row := f.claimed(expired)
		f.equal("requeued", f.requeue(queue.RequeueRequest{Limit: 10, MarkFailed: true, MaxAttempts: 9}), queue.RequeueResult{Failed: 1})
		f.failedAsLost(row.ID, "attempt 1 of 10")
		f.refused(row.ID, queue.ErrFinal)
	},
	"a dry run changes nothing": func(f *fixture) {
		rows := []*queue.Row{f.claimed(expired), f.claimed(expired), f.claimed(expired, maxAttempts(1))}
		for _, c := range []struct {
			request queue.RequeueRequest
			want    queue.RequeueResult
		}{
			{queue.RequeueRequest{Limit: 10}, queue.RequeueResult{Ready: 2, Failed: 1}},
			{queue.RequeueRequest{Limit: 10, MarkFailed: true}, queue.RequeueResult{Failed: 3}},
			{queue.RequeueRequest{Limit: 10, MaxAttempts: 2}, queue.RequeueResult{Ready: 3}},
			{queue.RequeueRequest{Limit: 2}, queue.RequeueResult{Ready: 2}},
			{queue.RequeueRequest{}, queue.RequeueResult{}},
		} {
			c.request.DryRun = true
			f.equal("would be requeued", f.requeue(c.request), c.want)
		}
		for _, row := range rows {
			f.unchanged(row)
		}
	},
	"the leases that expired first come first, up to the limit": func(f *fixture) {
		var rows []*queue.Row
		for _, ago := range []time.Duration{2, 4, 1, 3} {
			rows = append(rows, f.claimed(-ago*time.Hour, maxAttempts(1+int(ago)%2)))
		}
		f.equal("no limit, none", f.requeue(queue.RequeueRequest{}), queue.RequeueResult{})
		f.equal("first", f.requeue(queue.RequeueRequest{Limit: 3}), queue.RequeueResult{Ready: 1, Failed: 2})
		f.unchanged(rows[2])
		f.equal("second", f.requeue(queue.RequeueRequest{Limit: 3}), queue.RequeueResult{Ready: 1})
	},
	"many rows are requeued, too": func(f *fixture) {
		const total = 250 // more than a store changes at once
		rows := make([]*queue.NewRow, total)
		for i := range rows {
			rows[i] = request(maxAttempts(1 + i%2))
		}
		f.must(f.store.Insert(f.ctx, rows...))
		f.claimNext(total, func(r *queue.ClaimNextRequest) { r.Lease = expired })
		f.equal("requeued", f.requeue(queue.RequeueRequest{Limit: total}), queue.RequeueResult{Ready: total / 2, Failed: total / 2})
	},
	"a row that was claimed early goes back to its time": func(f *fixture) {
		row := f.insert(delay(time.Hour))
		f.claim(row.ID, expired, early(2*time.Hour))
		f.equal("requeued", f.requeue(queue.RequeueRequest{Limit: 10}), queue.RequeueResult{Ready: 1})
		f.refused(row.ID, queue.ErrNotDue)
		f.equal("too early", ids(f.claimNext(10)), []uuid.UUID{})
	},
	"of a requeue and a finish one wins": func(f *fixture) {
		for i := range 30 {
			row := f.claimed(expired, maxAttempts(1+i%2))
			finished, requeued := f.race(
				func() error {
					_, err := f.store.Finish(f.ctx, row.Claim(), queue.Finish{Status: queue.StatusSuccessful})
					return err
				},
				func() (bool, error) {
					done, err := f.operator.Requeue(f.ctx, queue.RequeueRequest{Limit: 10})
					return done.Ready+done.Failed == 1, err
				})
			if finished == requeued || finished != (f.get(row.ID).Status == queue.StatusSuccessful) {
				f.Fatalf("finished: %v, requeued: %v, %+v", finished, requeued, f.get(row.ID))
			}
			if requeued {
				f.refusesAll(row.Claim())
			}
		}
	},
	"two requeues and a promotion at once are one": func(f *fixture) {
		const total = 50
		for i := range total {
			f.claimed(expired, maxAttempts(1+i%2))
		}
		var ready, failed atomic.Int64
		var group sync.WaitGroup
		for range 2 {
			group.Go(func() {
				done, err := f.operator.Requeue(f.ctx, queue.RequeueRequest{Limit: total})
				if err != nil {
					f.Errorf("Requeue: %v", err)
				}
				ready.Add(int64(done.Ready))
				failed.Add(int64(done.Failed))
			})
		}
		group.Go(func() {
			p, err := f.store.Promote(f.ctx, total)
			if err != nil {
				f.Errorf("Promote: %v", err)
			}
			ready.Add(int64(p.Reclaimed))
			failed.Add(int64(p.Failed))
		})
		group.Wait()
		if ready.Load() != total/2 || failed.Load() != total/2 {
			f.Errorf("%d READY, %d FAILED, of %d each", ready.Load(), failed.Load(), total/2)
		}
		f.equal("stats", counts(f.stats(queue.Filter{})), queue.Stats{Pending: total / 2, Failed: total / 2})
	},
}
