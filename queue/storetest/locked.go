package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// LockedRows checks that rows which another transaction has locked delay no call
// that is about other rows, whatever the call is. lock locks rows until the test
// ends, in a transaction of a connection of its own; the store has few
// connections, and is a queue.Operator.
func LockedRows(t *testing.T, store queue.Store, lock func(*testing.T, ...uuid.UUID)) {
	f := newFixture(t, Harness{}, store)
	l := &lockedRows{fixture: f}
	l.fill()
	lock(t, l.locked...)
	before := make(map[uuid.UUID]*queue.Row)
	for _, id := range l.locked {
		before[id] = f.get(id)
	}
	for _, step := range l.steps() {
		began := time.Now()
		step.do()
		if took := time.Since(began); took > step.within {
			t.Errorf("%s took %s", step.what, took)
		}
	}
	for id, row := range before {
		f.equal("a locked row", f.get(id), row)
	}
}

// lockedRows are pairs of rows: the first of each is locked, the other free.
type lockedRows struct {
	*fixture
	locked []uuid.UUID

	expired, last, delayed, stranded, ready, running, unclaimed, noted, done, failed [2]*queue.Row
}

func (l *lockedRows) fill() {
	pair := func(into *[2]*queue.Row, make func() *queue.Row) {
		for i := range into {
			into[i] = make()
		}
		l.locked = append(l.locked, into[0].ID)
	}
	pair(&l.expired, func() *queue.Row { return l.claimed(expired, armed) })
	pair(&l.last, func() *queue.Row { return l.claimed(expired, armed, maxAttempts(1)) })
	pair(&l.delayed, func() *queue.Row { return l.insert(armed, delay(time.Millisecond)) })
	pair(&l.stranded, func() *queue.Row { return l.insert(onQueue("stranded")) })
	pair(&l.ready, func() *queue.Row { return l.insert(armed) })
	pair(&l.running, func() *queue.Row { return l.claimed(lease, armed) })
	pair(&l.unclaimed, func() *queue.Row { return l.claimed(lease, armed) })
	pair(&l.noted, func() *queue.Row { return l.claimed(lease, armed) })
	pair(&l.done, func() *queue.Row {
		row := l.claimed(lease, armed)
		l.finish(row.Claim())
		return row
	})
	pair(&l.failed, func() *queue.Row { return l.get(l.fixture.failed("x", "y", armed).ID) })
	for l.now().Before(l.delayed[1].RunAfter) {
		l.must(l.ctx.Err())
	}
}

// The times are long enough for a busy machine and far below any lock timeout.
const (
	atOnce       = 2 * time.Second
	withPatience = 5 * time.Second // the call retries the locked row for a while
)

type lockedStep struct {
	what   string
	within time.Duration
	do     func()
}

// steps are calls in an order in which each finds the rows that it is about.
func (l *lockedRows) steps() []lockedStep {
	return []lockedStep{
		{"Heartbeat", atOnce, func() {
			renewed, lost, err := l.store.Heartbeat(l.ctx, lease, l.running[0].Claim(), l.running[1].Claim())
			l.must(err)
			l.equal("renewed", renewed, []queue.Claim{l.running[1].Claim()})
			l.equal("lost", lost, []queue.Claim(nil))
		}},
		{"Actions", atOnce, func() {
			rows, err := l.operator.Act(l.ctx, queue.ActionRetry, queue.Selection{View: queue.ViewFailed}, l.now(), 10)
			l.must(err)
			l.equal("retried", ids(rows), []uuid.UUID{l.failed[1].ID})
			l.finish(l.claim(l.failed[1].ID, lease).Claim())
		}},
		{"Promote", atOnce, func() {
			p := l.promote()
			l.equal("promotion", p, queue.PromoteResult{Failed: 1, Reclaimed: 1, Released: 1, Claimable: true, Next: p.Next})
			l.failedAsLost(l.last[1].ID, "")
		}},
		{"Requeue", atOnce, func() {
			l.expired[1] = l.claim(l.expired[1].ID, expired)
			done, err := l.operator.Requeue(l.ctx, queue.RequeueRequest{Limit: 10})
			l.must(err)
			l.equal("requeued", done, queue.RequeueResult{Ready: 1})
		}},
		{"TakeStranded", atOnce, func() {
			rows, err := l.store.TakeStranded(l.ctx, queue.StrandedQueue{Backend: "default", Queue: "stranded", At: l.now()}, 10)
			l.must(err)
			l.equal("taken", ids(rows), []uuid.UUID{l.stranded[1].ID})
		}},
		{"DispatchFailed", atOnce, func() {
			l.must(l.store.DispatchFailed(l.ctx, "refused", false, l.stranded[0].ID, l.stranded[1].ID))
			l.equal("dispatch_error", l.get(l.stranded[1].ID).DispatchError, "refused")
		}},
		{"ClaimNext", atOnce, func() {
			free := []uuid.UUID{l.expired[1].ID, l.delayed[1].ID, l.stranded[1].ID, l.ready[1].ID}
			l.equal("claimed", sorted(ids(l.claimNext(20))), sorted(free))
		}},
		{"Purge", atOnce, func() {
			result, err := l.operator.Purge(l.ctx, queue.PurgeRequest{Statuses: []queue.Status{queue.StatusSuccessful}, Limit: 10})
			l.must(err)
			l.equal("purged", result.Deleted, 2) // done[1] and failed[1]
		}},
		{"Unclaim", withPatience, func() {
			wrong(l.fixture, "Unclaim", l.store.Unclaim(l.ctx, l.unclaimed[0].Claim(), l.unclaimed[1].Claim()))
			l.equal("status", l.get(l.unclaimed[1].ID).Status, queue.StatusReady)
		}},
		{"NoteErrors", withPatience, func() {
			l.must(l.store.NoteErrors(l.ctx, l.noted[1].Claim(), failures(1)))
			wrong(l.fixture, "NoteErrors", l.store.NoteErrors(l.ctx, l.noted[0].Claim(), failures(1)))
		}},
		{"Park and Unpark", withPatience, func() {
			if _, ok := l.store.(queue.Gatekeeper); !ok {
				return
			}
			l.insert(onQueue("stranded"))
			l.pause("stranded")
			l.equal("parked", l.park("stranded", 10), 1)
			_, err := l.store.Claim(l.ctx, l.stranded[0].ID, claimRequest(lease))
			wrong(l.fixture, "Claim", err)
			l.resume("stranded")
			n, _ := l.unpark("stranded", 10)
			l.equal("unparked", n, 1)
		}},
		{"what waits for its row, all at once, and a heartbeat in between", withPatience, l.crowd},
	}
}

// crowd has more calls wait for locked rows than the pool has connections, and
// heartbeats and inserts in between.
func (l *lockedRows) crowd() {
	claim := l.running[0].Claim()
	calls := map[string]func(context.Context) error{
		"Claim": func(ctx context.Context) error {
			_, err := l.store.Claim(ctx, l.ready[0].ID, claimRequest(lease))
			return err
		},
		"Claim of an expired row": func(ctx context.Context) error {
			_, err := l.store.Claim(ctx, l.last[0].ID, claimRequest(lease))
			return err
		},
		"Cancel": func(ctx context.Context) error {
			_, _, err := l.store.Cancel(ctx, l.ready[0].ID)
			return err
		},
		"Finish": func(ctx context.Context) error {
			_, err := l.store.Finish(ctx, claim, queue.Finish{Status: queue.StatusSuccessful})
			return err
		},
		"Retry":      func(ctx context.Context) error { return l.store.Retry(ctx, claim, queue.Retry{}) },
		"Release":    func(ctx context.Context) error { return l.store.Release(ctx, claim) },
		"Unclaim":    func(ctx context.Context) error { return l.store.Unclaim(ctx, claim) },
		"NoteErrors": func(ctx context.Context) error { return l.store.NoteErrors(ctx, claim, nil) },
	}
	type answer struct {
		call string
		err  error
	}
	answers := make(chan answer)
	for call, do := range calls {
		for range 3 {
			go func() { answers <- answer{call, do(l.ctx)} }()
		}
	}
	for waiting := 3 * len(calls); waiting > 0; {
		select {
		case a := <-answers:
			waiting--
			wrong(l.fixture, a.call, a.err)
		default:
		}
		began := time.Now()
		_, _, err := l.store.Heartbeat(l.ctx, lease, l.running[1].Claim())
		l.must(err)
		beat := time.Since(began)
		l.insert(armed)
		if insert := time.Since(began) - beat; beat > atOnce || insert > atOnce {
			l.Errorf("with calls waiting for locked rows, a heartbeat took %s and an insert %s", beat, insert)
		}
	}
}

// wrong reports an error that is not queue.ErrLocked.
func wrong(f *fixture, call string, err error) {
	f.Helper()
	if !errors.Is(err, queue.ErrLocked) || !errors.Is(err, queue.ErrUnavailable) && call != "Claim" && call != "Claim of an expired row" {
		f.Errorf("%s of a locked row: %v", call, err)
	}
}
