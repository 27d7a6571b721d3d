package storetest

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// twins are a FAILED row and a live one that has taken its key.
func (f *fixture) twins(key string) (failed, live *queue.Row) {
	f.Helper()
	row := f.isNew(keyed(key))
	end["failed"](f, row)
	return f.get(row.ID), f.isNew(keyed(key))
}

// reopenTests are about FAILED rows with keys that run again.
var reopenTests = map[string]func(*fixture){
	"a claim takes the key again": func(f *fixture) {
		row := f.isNew(keyed("a"))
		end["failed"](f, row)
		f.claim(row.ID, lease, allowRetry)
		f.meets(row.ID, keyed("a"))
	},
	"a claim is refused while a twin lives": func(f *fixture) {
		failed, live := f.twins("a")
		refused := func() {
			f.Helper()
			_, err := f.store.Claim(f.ctx, failed.ID, claimRequest(lease, allowRetry))
			var refusal *queue.NotClaimedError
			if !errors.Is(err, queue.ErrDuplicate) || !errors.As(err, &refusal) || refusal.Holder == nil || refusal.Holder.ID != live.ID || refusal.Row.ID != failed.ID {
				f.Fatalf("Claim: %v", err)
			}
			f.unchanged(failed)
		}
		refused()
		running := f.claim(live.ID, lease)
		refused()
		f.finish(running.Claim())
		f.claim(failed.ID, lease, allowRetry)
	},
	"a claim takes the key of a twin that has expired": func(f *fixture) {
		if _, canExpire := f.store.(queue.Lifecycle); !canExpire {
			return
		}
		row := f.isNew(keyed("a"))
		end["failed"](f, row)
		twin := f.isNew(keyed("a"), past)
		f.claim(row.ID, lease, allowRetry)
		f.expired(twin.ID)
		f.meets(row.ID, keyed("a"))
	},
	"a row that never lost its key is claimed": func(f *fixture) {
		kept, over := f.isNew(keyed("a"), whileKept), f.isNew(keyed("b"), periodIsOver)
		for _, row := range []*queue.Row{kept, over} {
			end["failed"](f, row)
		}
		next := f.isNew(keyed("b"))
		f.claim(kept.ID, lease, allowRetry)
		f.claim(over.ID, lease, allowRetry)
		f.meets(next.ID, keyed("b"))
	},
	"of a claim and an enqueue at once one gets the key": func(f *fixture) {
		for n := range 10 {
			row := f.isNew(keyed(fmt.Sprint(n)))
			end["failed"](f, row)
			var group sync.WaitGroup
			var claimErr error
			next := request(keyed(fmt.Sprint(n)))
			group.Go(func() { _, claimErr = f.store.Claim(f.ctx, row.ID, claimRequest(lease, allowRetry)) })
			group.Go(func() {
				if err := f.store.Insert(f.ctx, next); err != nil {
					f.Errorf("Insert: %v", err)
				}
			})
			group.Wait()
			if (claimErr == nil) != next.Existed || claimErr != nil && !errors.Is(claimErr, queue.ErrDuplicate) {
				f.Errorf("claim: %v; the enqueue found a row: %t", claimErr, next.Existed)
			}
		}
	},
}

// uniqueActionTests are about keys and the actions of operators.
var uniqueActionTests = map[string]func(*fixture){
	"a retry skips rows whose keys are taken": func(f *fixture) {
		failed, live := f.twins("a")
		free, plain := f.isNew(keyed("b")), f.insert()
		end["failed"](f, free)
		end["failed"](f, plain)
		all := queue.Selection{IDs: []uuid.UUID{failed.ID, free.ID, plain.ID, live.ID}}
		taken, err := f.operator.CountTaken(f.ctx, all, f.now(), 100)
		f.must(err)
		f.equal("taken", taken, 1)
		for id, want := range map[uuid.UUID]uuid.UUID{failed.ID: live.ID, free.ID: uuid.Nil, plain.ID: uuid.Nil, live.ID: uuid.Nil} {
			holder, err := f.operator.KeyHolder(f.ctx, f.get(id))
			f.must(err)
			got := uuid.Nil
			if holder != nil {
				got = holder.ID
			}
			f.equal("the holder of the key", got, want)
		}
		f.equal("retried", f.act(queue.ActionRetry, all), sorted([]uuid.UUID{free.ID, plain.ID}))
		f.unchanged(failed)
		f.meets(free.ID, keyed("b"))
		f.cancel(live.ID)
		f.equal("retried", f.act(queue.ActionRetry, all), []uuid.UUID{failed.ID})
	},
	"counts regard the key of a row that has expired as free, and change nothing": func(f *fixture) {
		if _, canExpire := f.store.(queue.Lifecycle); !canExpire {
			return
		}
		failed, live := f.twins("a")
		all := queue.Selection{IDs: []uuid.UUID{failed.ID}}
		counted := func(matching, taken int) {
			f.Helper()
			n, err := f.operator.CountMatching(f.ctx, queue.ActionRetry, all, time.Time{}, 10)
			f.must(err)
			f.equal("counted for a retry", n, matching)
			n, err = f.operator.CountTaken(f.ctx, all, f.now(), 10)
			f.must(err)
			f.equal("taken", n, taken)
		}
		counted(0, 1)
		f.cancel(live.ID)
		over, lost := f.isNew(keyed("a"), past), f.insert()
		f.claim(lost.ID, expired)
		lost = f.get(lost.ID)
		counted(1, 0)
		for _, row := range []*queue.Row{failed, over, lost} {
			f.unchanged(row)
		}
		f.equal("expired", f.promote().Expired, 1)
		f.equal("retried", f.act(queue.ActionRetry, all), []uuid.UUID{failed.ID})
	},
	"what has started keeps its key when its expiry is over": func(f *fixture) {
		if _, canExpire := f.store.(queue.Lifecycle); !canExpire {
			return
		}
		failed := f.isNew(keyed("a"))
		end["failed"](f, failed)
		var started *queue.Row
		for started == nil { // it expires before its claim on a slow machine
			row := f.isNew(keyed("a"), expiresIn(100*time.Millisecond))
			claimed, err := f.store.Claim(f.ctx, row.ID, claimRequest(lease))
			if !errors.Is(err, queue.ErrExpired) {
				f.must(err)
				started = claimed
			}
		}
		f.passed(started)
		counted := func() {
			f.Helper()
			n, err := f.operator.CountMatching(f.ctx, queue.ActionRetry, queue.Selection{IDs: []uuid.UUID{failed.ID}}, time.Time{}, 10)
			f.must(err)
			f.equal("counted for a retry", n, 0)
		}
		counted()
		f.must(f.store.Retry(f.ctx, started.Claim(), queue.Retry{}))
		counted()
	},
	"a row that keeps its key after its end is its holder when it has expired": func(f *fixture) {
		if _, canExpire := f.store.(queue.Lifecycle); !canExpire {
			return
		}
		failed := f.isNew(keyed("a"))
		end["failed"](f, failed)
		f.isNew(keyed("a"), whileKept, past)
		all := queue.Selection{IDs: []uuid.UUID{failed.ID}}
		for range 2 {
			n, err := f.operator.CountMatching(f.ctx, queue.ActionRetry, all, time.Time{}, 10)
			f.must(err)
			f.equal("counted for a retry", n, 0)
			f.promote()
		}
	},
	"of several failed rows with one key one is retried": func(f *fixture) {
		var failed []uuid.UUID
		for range 5 {
			row := f.isNew(keyed("a"))
			end["failed"](f, row)
			failed = append(failed, row.ID)
		}
		other := f.isNew(keyed("b"))
		end["failed"](f, other)
		before, all := f.now(), queue.Selection{IDs: append(failed, other.ID)}
		rows, err := f.operator.Act(f.ctx, queue.ActionRetry, all, before, 10)
		f.must(err)
		f.equal("retried", len(rows), 2)
		taken, err := f.operator.CountTaken(f.ctx, all, before, 3)
		f.must(err)
		f.equal("taken, of at most 3", taken, 3)
		left, err := f.operator.CountMatching(f.ctx, queue.ActionRetry, all, before, 10)
		f.must(err)
		f.equal("left to do", left, 0)
	},
	"a purge frees the key": func(f *fixture) {
		row := f.isNew(keyed("a"), whileKept)
		end["successful"](f, row)
		f.meets(row.ID, keyed("a"))
		f.purge(purgeRequest(queue.StatusSuccessful))
		f.isNew(keyed("a"))
	},
	"a requeue keeps it": func(f *fixture) {
		row := f.isNew(keyed("a"))
		f.claim(row.ID, expired)
		_, err := f.operator.Requeue(f.ctx, queue.RequeueRequest{Limit: 10})
		f.must(err)
		f.meets(row.ID, keyed("a"))
	},
}
