package storetest

import (
	"errors"
	"fmt"
	"sync"

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
