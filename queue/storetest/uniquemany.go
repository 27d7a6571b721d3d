package storetest

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// stores are the store, and another one on its database if there can be one.
func (f *fixture) stores() []queue.Store {
	if f.second == nil {
		return []queue.Store{f.store}
	}
	return []queue.Store{f.store, f.second(f.T, f.store)}
}

// atOnce inserts batches from as many callers, through all stores.
func (f *fixture) atOnce(batches ...[]*queue.NewRow) {
	f.Helper()
	stores := f.stores()
	var group sync.WaitGroup
	for i, rows := range batches {
		group.Go(func() {
			if err := stores[i%len(stores)].Insert(f.ctx, rows...); err != nil {
				f.Errorf("Insert: %v", err)
			}
		})
	}
	group.Wait()
}

// oneNewRow checks that of requests with one key one was stored, and that all callers
// know its ID.
func (f *fixture) oneNewRow(rows []*queue.NewRow) {
	f.Helper()
	var stored []uuid.UUID
	for _, row := range rows {
		if !row.Existed {
			stored = append(stored, row.ID)
		}
	}
	if len(stored) != 1 {
		f.Fatalf("key %q: %d rows were stored", rows[0].UniqueKey, len(stored))
	}
	for _, row := range rows {
		f.equal("the row", row.ID, stored[0])
	}
}

// uniqueManyTests are about many rows with keys, and many callers.
var uniqueManyTests = map[string]func(*fixture){
	"a hundred enqueues of one key at once": func(f *fixture) {
		for round := range 3 {
			var batches [][]*queue.NewRow
			var rows []*queue.NewRow
			for i := range 100 {
				rows = append(rows, request(keyed(fmt.Sprint("key ", round)), args(fmt.Sprint(i))))
				batches = append(batches, rows[i:])
			}
			for i := range batches {
				batches[i] = batches[i][:1]
			}
			f.atOnce(batches...)
			f.oneNewRow(rows)
		}
	},
	"batches with the same keys in any order at once": func(f *fixture) {
		const keys, callers = 50, 8
		batches, byKey := make([][]*queue.NewRow, callers), make([][]*queue.NewRow, keys)
		for b := range batches {
			for n := range keys {
				key := (n*(2*b+1) + b*7) % keys
				row := request(keyed(fmt.Sprint(key)), args(fmt.Sprint(b)))
				batches[b], byKey[key] = append(batches[b], row), append(byKey[key], row)
			}
			batches[b] = append(batches[b], request())
		}
		f.atOnce(batches...)
		for _, rows := range byKey {
			if len(rows) > 0 {
				f.oneNewRow(rows)
			}
		}
	},
	"enqueues while the row ends again and again": func(f *fixture) {
		var group sync.WaitGroup
		for range 4 {
			group.Go(func() {
				for range 20 {
					row := request(keyed("a"))
					if err := f.store.Insert(f.ctx, row); err != nil {
						f.Errorf("Insert: %v", err)
						return
					}
					_, _, err := f.store.Cancel(f.ctx, row.ID)
					if err != nil && !errors.Is(err, queue.ErrLocked) {
						f.Errorf("Cancel: %v", err)
					}
				}
			})
		}
		group.Wait()
	},
	"duplicates within a batch and of stored rows": func(f *fixture) {
		old := f.isNew(keyed("old"), args(`"old"`))
		over := f.isNew(keyed("over"), periodIsOver)
		rows := []*queue.NewRow{
			request(keyed("z"), args(`0`)), request(args(`1`)), request(keyed("old"), args(`2`)), request(keyed("a"), args(`3`)),
			request(keyed("z"), args(`4`)), request(keyed("over"), args(`5`)), request(keyed("z"), args(`6`)), request(keyed("over"), args(`7`)),
			request(keyed("a"), args(`8`), onConflict(queue.ReplaceExisting)), request(keyed("a"), withTask("other"), args(`9`)),
		}
		sent := make([]uuid.UUID, len(rows))
		for i, row := range rows {
			sent[i] = row.ID
		}
		f.must(f.store.Insert(f.ctx, rows...))
		for i, want := range []struct {
			id      uuid.UUID
			existed bool
			args    string
		}{
			{sent[0], false, `0`}, {sent[1], false, `1`}, {old.ID, true, `"old"`}, {sent[3], false, `8`},
			{sent[0], true, `0`}, {sent[5], false, `5`}, {sent[0], true, `0`}, {sent[5], true, `5`},
			{sent[3], true, `8`}, {sent[9], false, `9`},
		} {
			f.equal(fmt.Sprintf("row %d", i), fmt.Sprint(rows[i].ID, rows[i].Existed, string(rows[i].Args)), fmt.Sprint(want.id, want.existed, want.args))
			f.unchanged(rows[i].Row)
		}
		f.unchanged(old)
		f.equal("the row whose period is over", f.get(over.ID).UniqueScope, queue.UniqueReleased)
	},
	"a batch with a duplicate that is refused stores nothing": func(f *fixture) {
		old := f.isNew(keyed("old"), args(`1`))
		refused := request(keyed("old"), onConflict(queue.RefuseDuplicate))
		f.isDuplicate(old.ID, 1, request(keyed("a")), refused, request())
		replaced := request(keyed("old"), onConflict(queue.ReplaceExisting), args(`2`))
		if err := f.store.Insert(f.ctx, replaced, request(keyed("b")), request(keyed("b"), onConflict(queue.RefuseDuplicate))); !errors.Is(err, queue.ErrDuplicate) {
			f.Errorf("a duplicate within the batch: %v", err)
		}
		f.unchanged(old)
		f.isNew(keyed("b"))
	},
	"one id twice with a key": func(f *fixture) {
		one := request(keyed("a"), args(`1`))
		two := request(withID(one.ID), keyed("a"), args(`1`))
		f.must(f.store.Insert(f.ctx, one, two))
		f.equal("existed", fmt.Sprint(one.Existed, two.Existed, two.ID == one.ID), "false true true")
		three := request(keyed("c"))
		if err := f.store.Insert(f.ctx, three, request(withID(three.ID), keyed("d"), args(`3`))); !errors.Is(err, queue.ErrIDConflict) {
			f.Errorf("one id for two tasks: %v", err)
		}
		f.absent(three.ID)
	},
	"many rows with keys": func(f *fixture) {
		rows, again := make([]*queue.NewRow, 2500), make([]*queue.NewRow, 2500)
		for i := range rows {
			rows[i] = request(keyed(fmt.Sprint(i)), args(fmt.Sprint(i)))
			again[len(rows)-1-i] = request(keyed(fmt.Sprint(i)))
		}
		f.must(f.store.Insert(f.ctx, rows...))
		f.must(f.store.Insert(f.ctx, again...))
		for i, row := range rows {
			if row.Existed || !again[len(rows)-1-i].Existed || again[len(rows)-1-i].ID != row.ID {
				f.Fatalf("row %d: existed %t, then %t as %s", i, row.Existed, again[len(rows)-1-i].Existed, again[len(rows)-1-i].ID)
			}
		}
		f.unchanged(rows[2499].Row)
		f.unchanged(again[0].Row)
	},
}

// uniqueTxTests are about rows with keys in a caller's transaction.
var uniqueTxTests = map[string]func(*fixture){
	"what exists is returned, replaced or refused": func(f *fixture) {
		old, ready := f.isNew(keyed("old")), f.isNew(keyed("ready"), args(`1`))
		tx := f.begin(f.T, f.store)
		fresh, met, replaced := request(keyed("new")), request(keyed("old")), request(keyed("ready"), onConflict(queue.ReplaceExisting), args(`2`))
		f.must(f.store.InsertTx(f.ctx, tx, fresh, met, replaced))
		f.equal("existed", fmt.Sprint(fresh.Existed, met.Existed, replaced.Existed), "false true true")
		f.equal("rows", fmt.Sprint(met.ID, replaced.ID), fmt.Sprint(old.ID, ready.ID))
		again := request(keyed("new"))
		f.must(f.store.InsertTx(f.ctx, tx, again))
		f.equal("its own row", fmt.Sprint(again.ID, again.Existed), fmt.Sprint(fresh.ID, true))
		f.must(tx.Commit(f.ctx))
		f.unchanged(fresh.Row)
		f.equal("arguments", string(f.get(ready.ID).Args), `2`)

		tx = f.begin(f.T, f.store)
		if err := f.store.InsertTx(f.ctx, tx, request(keyed("new"), onConflict(queue.RefuseDuplicate))); !errors.Is(err, queue.ErrDuplicate) {
			f.Errorf("InsertTx: %v", err)
		}
		f.must(tx.Rollback(f.ctx))
	},
	"a rollback frees the key": func(f *fixture) {
		over := f.isNew(keyed("over"), periodIsOver)
		tx := f.begin(f.T, f.store)
		row := request(keyed("a"))
		f.must(f.store.InsertTx(f.ctx, tx, row, request(keyed("over"))))
		f.must(tx.Rollback(f.ctx))
		f.absent(row.ID)
		f.unchanged(over)
		f.isNew(keyed("a"))
	},
	"an enqueue waits for the transaction that stores the key": func(f *fixture) {
		for _, commit := range []bool{true, false} {
			tx := f.begin(f.T, f.store)
			first, second := request(keyed(fmt.Sprint(commit))), request(keyed(fmt.Sprint(commit)))
			f.must(f.store.InsertTx(f.ctx, tx, first))
			stored := make(chan error, 1)
			go func() { stored <- f.store.Insert(f.ctx, second) }()
			if commit {
				f.must(tx.Commit(f.ctx))
			} else {
				f.must(tx.Rollback(f.ctx))
			}
			f.must(<-stored)
			f.equal("existed", second.Existed, commit)
		}
	},
	"a task that has ended since the transaction began does not hold its key": func(f *fixture) {
		if f.oneWriter {
			return // it ends after the transaction
		}
		for how, ends := range end {
			for conflict := range queue.RefuseDuplicate + 1 {
				key := fmt.Sprint(how, conflict)
				row := f.isNew(keyed(key), maxAttempts(1))
				tx := f.begin(f.T, f.store)
				_, err := f.store.(queue.BacklogCounter).Existing(f.ctx, tx, request(keyed("its first statement")))
				f.must(err)
				ends(f, row)
				next := request(keyed(key), onConflict(conflict))
				err = f.store.InsertTx(f.ctx, tx, next)
				if err == nil {
					f.must(tx.Commit(f.ctx))
					f.unchanged(next.Row)
				} else {
					f.must(tx.Rollback(f.ctx))
				}
				if err != nil && !errors.Is(err, queue.ErrConflict) || err == nil && next.Existed {
					f.Errorf("%s: existed %t, %v", key, next.Existed, err)
				}
			}
		}
	},
	"a task that is finished in an open transaction holds its key": func(f *fixture) {
		if f.oneWriter {
			return // the insert waits for the transaction
		}
		row := f.isNew(keyed("a"))
		running := f.claim(row.ID, lease)
		tx := f.begin(f.T, f.store)
		_, err := f.store.FinishTx(f.ctx, tx, running.Claim(), queue.Finish{Status: queue.StatusSuccessful})
		f.must(err)
		f.meets(row.ID, keyed("a"))
		f.must(tx.Commit(f.ctx))
		f.isNew(keyed("a"))
	},
}

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
