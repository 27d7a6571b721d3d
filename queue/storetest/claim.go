package storetest

import (
	"errors"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// refused claims a row and expects a refusal, which it returns; the row must
// be as the refusal says.
func (f *fixture) refused(id uuid.UUID, reason error, changes ...func(*queue.ClaimRequest)) queue.NotClaimedError {
	f.Helper()
	_, err := f.store.Claim(f.ctx, id, claimRequest(lease, changes...))
	var refusal *queue.NotClaimedError
	if !errors.As(err, &refusal) || !errors.Is(err, reason) {
		f.Fatalf("Claim: got %v, want %v", err, reason)
	}
	f.equal("row of the refusal", *refusal.Row, *f.get(id))
	return *refusal
}

// between checks a duration that depends on when exactly the store looked.
func (f *fixture) between(what string, got, low, high time.Duration) {
	f.Helper()
	if got < low || got > high {
		f.Errorf("%s: got %v, want %v to %v", what, got, low, high)
	}
}

func allowRetry(r *queue.ClaimRequest) { r.AllowRetry = true }
func early(d time.Duration) func(*queue.ClaimRequest) {
	return func(r *queue.ClaimRequest) { r.Early = d }
}
func knowing(names ...string) func(*queue.ClaimRequest) {
	return func(r *queue.ClaimRequest) { r.Tasks = names }
}
func isLost(row *queue.Row) bool                         { return row.Status == queue.StatusFailed && row.ClaimID == uuid.Nil }
func lastError(row *queue.Row) (last queue.AttemptError) { return row.Errors[len(row.Errors)-1] }
func (f *fixture) unchanged(row *queue.Row)              { f.Helper(); f.equal("row", *f.get(row.ID), *row) }

var claimTests = map[string]func(*fixture){
	"a finished row is refused": func(f *fixture) {
		row := f.claimed(lease)
		f.finish(row.Claim())
		f.refused(row.ID, queue.ErrFinal)
		f.refused(row.ID, queue.ErrFinal, allowRetry)
	},
	"a failed row is refused": func(f *fixture) {
		row := f.claimed(lease)
		f.fail(row.Claim())
		f.refused(row.ID, queue.ErrFinal)
	},
	"a running row is refused until its lease ends": func(f *fixture) {
		row := f.claimed(lease)
		f.between("wait", f.refused(row.ID, queue.ErrLeased).Wait, lease/2, lease)
		f.unchanged(row)
	},
	"an expired lease can be taken": func(f *fixture) {
		row := f.claimed(expired)
		stolen := f.claim(row.ID, lease)
		if stolen.Attempts != 2 || stolen.ClaimID == row.ClaimID {
			f.Errorf("%+v", stolen)
		}
	},
	"a row is refused before its time": func(f *fixture) {
		row := f.insert(delay(time.Hour))
		f.between("wait", f.refused(row.ID, queue.ErrNotDue).Wait, 59*time.Minute, time.Hour)
		f.refused(row.ID, queue.ErrNotDue, early(59*time.Minute))
		f.unchanged(row)
	},
	"a row is given a little early": func(f *fixture) {
		row := f.insert(delay(time.Hour))
		f.claim(row.ID, lease, early(time.Hour))
	},
	"a time in the past is due": func(f *fixture) {
		row := f.insert(runAfter(time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)))
		f.claim(row.ID, lease)
	},
	"a time is reached by the database's clock": func(f *fixture) {
		row := f.insert(delay(20 * time.Millisecond))
		for {
			got, err := f.store.Claim(f.ctx, row.ID, claimRequest(lease))
			if err == nil {
				if got.StartedAt.Before(row.RunAfter) {
					f.Errorf("started %v, due %v", got.StartedAt, row.RunAfter)
				}
				return
			}
			if !errors.Is(err, queue.ErrNotDue) {
				f.Fatal(err)
			}
		}
	},
	"an unknown name is refused and costs no attempt": func(f *fixture) {
		row := f.insert()
		f.refused(row.ID, queue.ErrUnknownTask, knowing("other"))
		f.refused(row.ID, queue.ErrUnknownTask, knowing())
		f.unchanged(row)
		row = f.claimed(expired)
		f.refused(row.ID, queue.ErrUnknownTask, knowing("other"))
		f.unchanged(row)
	},
	"one of several known names is claimed": func(f *fixture) {
		f.claim(f.insert().ID, lease, knowing("other", taskName, "{a,b}"))
	},
	"a worker lost on the last attempt fails the row": func(f *fixture) {
		row := f.claimed(expired, maxAttempts(2))
		f.must(f.store.Retry(f.ctx, row.Claim(), queue.Retry{Errors: failures(1)}))
		row = f.claim(row.ID, expired)
		lost := f.refused(row.ID, queue.ErrWorkerLost).Row
		if !isLost(lost) || lost.FinishedAt.IsZero() || !lost.LeaseExpiresAt.IsZero() || lost.Attempts != 2 {
			f.Errorf("%+v", lost)
		}
		f.equal("errors before", lost.Errors[:1], failures(1))
		last := lastError(lost)
		if last.ExceptionClassPath != "WorkerLost" || last.Attempt != 2 || !strings.Contains(last.Message, "lease of worker w expired") {
			f.Errorf("error: %+v", last)
		}
		f.refused(row.ID, queue.ErrFinal)
	},
	"a READY row without attempts is failed, not run": func(f *fixture) {
		row := f.claimed(lease, maxAttempts(1))
		f.must(f.store.Retry(f.ctx, row.Claim(), queue.Retry{}))
		if lost := f.refused(row.ID, queue.ErrWorkerLost).Row; !isLost(lost) {
			f.Errorf("%+v", lost)
		}
	},
	"a live last attempt is let be": func(f *fixture) {
		row := f.claimed(lease, maxAttempts(1))
		f.refused(row.ID, queue.ErrLeased)
		f.unchanged(row)
	},
	"an operator reopens a failed row": func(f *fixture) {
		row := f.claimed(lease, maxAttempts(1))
		f.fail(row.Claim())
		f.refused(row.ID, queue.ErrUnknownTask, allowRetry, knowing("other"))
		again := f.claim(row.ID, lease, allowRetry)
		if again.Attempts != 2 || again.MaxAttempts != 2 || !again.FinishedAt.IsZero() || again.Status != queue.StatusRunning {
			f.Errorf("%+v", again)
		}
		f.equal("errors", again.Errors, failures(1))
		f.finish(again.Claim())
	},
	"reopening does not raise a limit that leaves room": func(f *fixture) {
		row := f.claimed(lease, maxAttempts(5))
		f.fail(row.Claim())
		if got := f.claim(row.ID, lease, allowRetry).MaxAttempts; got != 5 {
			f.Errorf("max_attempts %d", got)
		}
	},
	"allowing a retry changes nothing for live rows": func(f *fixture) {
		f.refused(f.claimed(lease).ID, queue.ErrLeased, allowRetry)
		f.refused(f.insert(delay(time.Hour)).ID, queue.ErrNotDue, allowRetry)
		f.refused(f.claimed(expired, maxAttempts(1)).ID, queue.ErrWorkerLost, allowRetry)
	},
}
