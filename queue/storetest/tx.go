package storetest

import (
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// absent checks that a row does not exist.
func (f *fixture) absent(id uuid.UUID) {
	f.Helper()
	if _, err := f.store.Get(f.ctx, id); !errors.Is(err, queue.ErrNotFound) {
		f.Errorf("row %s: %v", id, err)
	}
}

// txTests are about what a store does within a caller's transaction.
var txTests = map[string]func(*fixture){
	"inserted rows exist after the commit": func(f *fixture) {
		tx := f.begin(f.T, f.store)
		one, two := request(armed), request(delay(time.Hour))
		f.must(f.store.InsertTx(f.ctx, tx, one, two))
		f.must(tx.Commit(f.ctx))
		f.unchanged(one.Row)
		f.unchanged(two.Row)
		f.equal("run after", two.RunAfter.Sub(two.EnqueuedAt), time.Hour)
	},
	"inserted rows are gone after a rollback": func(f *fixture) {
		tx := f.begin(f.T, f.store)
		row := request()
		f.must(f.store.InsertTx(f.ctx, tx, row))
		f.must(tx.Rollback(f.ctx))
		f.absent(row.ID)
	},
	"an insert can be repeated": func(f *fixture) {
		old := f.insert()
		tx := f.begin(f.T, f.store)
		again, other := request(withID(old.ID)), request()
		f.must(f.store.InsertTx(f.ctx, tx, again, other))
		f.equal("existed", []bool{again.Existed, other.Existed}, []bool{true, false})
		f.must(tx.Commit(f.ctx))
		f.equal("stored", again.Row, old)
	},
	"an id of another task is refused": func(f *fixture) {
		old := f.insert()
		tx := f.begin(f.T, f.store)
		var conflict *queue.IDConflictError
		if err := f.store.InsertTx(f.ctx, tx, request(withID(old.ID), args(`{"other":1}`))); !errors.As(err, &conflict) || conflict.ID != old.ID {
			f.Errorf("InsertTx: %v", err)
		}
		f.must(tx.Rollback(f.ctx))
		f.unchanged(old)
	},
	"a finish takes effect with the commit": func(f *fixture) {
		row := f.claimed(lease)
		tx := f.begin(f.T, f.store)
		at, err := f.store.FinishTx(f.ctx, tx, row.Claim(), queue.Finish{Status: queue.StatusSuccessful, ReturnValue: []byte(`7`)})
		f.must(err)
		f.must(tx.Commit(f.ctx))
		got := f.get(row.ID)
		f.equal("status", got.Status, queue.StatusSuccessful)
		f.equal("value", string(got.ReturnValue), "7")
		f.equal("finished", got.FinishedAt, at)
		f.equal("repeated", f.finish(row.Claim()), at)
	},
	"what a transaction has stored is read in it": func(f *fixture) {
		store, ok := f.store.(queue.TxReader)
		if !ok {
			f.Log("the store is no queue.TxReader, which is optional")
			return
		}
		before := f.insert()
		tx := f.begin(f.T, f.store)
		row := request(keyed("k"), priority(3))
		f.must(f.store.InsertTx(f.ctx, tx, row))
		got, err := store.GetTx(f.ctx, tx, row.ID)
		f.must(err)
		f.equal("row", got, row.Row)
		page, err := store.ListTx(f.ctx, tx, queue.ListRequest{Selection: queue.Selection{Task: taskName}, Limit: 10})
		f.must(err)
		f.equal("listed", ids(page.Rows), []uuid.UUID{row.ID, before.ID})
		page, err = store.ListTx(f.ctx, tx, queue.ListRequest{Limit: 1})
		f.must(err)
		f.equal("first page", []any{ids(page.Rows), page.Next != ""}, []any{[]uuid.UUID{row.ID}, true})
		f.must(tx.Rollback(f.ctx))
		f.absent(row.ID)
		f.claim(before.ID, lease)
		if _, err := store.GetTx(f.ctx, tx, before.ID); !errors.Is(err, queue.ErrInvalid) {
			f.Errorf("GetTx in a transaction that has ended: %v", err)
		}
		if _, err := store.ListTx(f.ctx, struct{ queue.Tx }{}, queue.ListRequest{Limit: 1}); !errors.Is(err, queue.ErrInvalid) {
			f.Errorf("ListTx in another store's transaction: %v", err)
		}
	},
	"a finish is undone by a rollback": func(f *fixture) {
		row := f.claimed(lease)
		tx := f.begin(f.T, f.store)
		_, err := f.store.FinishTx(f.ctx, tx, row.Claim(), queue.Finish{Status: queue.StatusSuccessful})
		f.must(err)
		f.must(tx.Rollback(f.ctx))
		f.unchanged(row)
		f.finish(row.Claim())
	},
	"a finish under a lost claim is refused": func(f *fixture) {
		zombie := f.claimed(expired)
		owner := f.claim(zombie.ID, lease)
		tx := f.begin(f.T, f.store)
		if _, err := f.store.FinishTx(f.ctx, tx, zombie.Claim(), queue.Finish{Status: queue.StatusSuccessful}); !errors.Is(err, queue.ErrLeaseLost) {
			f.Errorf("FinishTx: %v", err)
		}
		f.must(tx.Rollback(f.ctx))
		f.unchanged(owner)
	},
	"a transaction that has ended is refused": func(f *fixture) {
		tx := f.begin(f.T, f.store)
		f.must(tx.Rollback(f.ctx))
		row := request()
		if err := f.store.InsertTx(f.ctx, tx, row); !errors.Is(err, queue.ErrInvalid) {
			f.Errorf("InsertTx: %v", err)
		}
		f.absent(row.ID)
	},
	"another store's transaction is refused": func(f *fixture) {
		tx := struct{ queue.Tx }{}
		if err := f.store.InsertTx(f.ctx, tx, request()); !errors.Is(err, queue.ErrInvalid) {
			f.Errorf("InsertTx: %v", err)
		}
		if _, err := f.store.FinishTx(f.ctx, tx, f.claimed(lease).Claim(), queue.Finish{Status: queue.StatusSuccessful}); !errors.Is(err, queue.ErrInvalid) {
			f.Errorf("FinishTx: %v", err)
		}
	},
	"a row that a transaction has locked does not delay other heartbeats": func(f *fixture) {
		if f.oneWriter {
			return // all wait for the transaction
		}
		locked, other := f.claimed(lease), f.claimed(lease)
		tx := f.begin(f.T, f.store)
		_, err := f.store.FinishTx(f.ctx, tx, locked.Claim(), queue.Finish{Status: queue.StatusSuccessful})
		f.must(err)
		renewed, lost, err := f.store.Heartbeat(f.ctx, time.Hour, locked.Claim(), other.Claim())
		f.must(err)
		f.equal("renewed", renewed, []queue.Claim{other.Claim()})
		f.equal("lost", lost, []queue.Claim(nil))
		f.must(tx.Rollback(f.ctx))
		renewed, lost, err = f.store.Heartbeat(f.ctx, time.Hour, locked.Claim(), other.Claim())
		f.must(err)
		f.equal("renewed", renewed, []queue.Claim{locked.Claim(), other.Claim()})
		f.equal("lost", lost, []queue.Claim(nil))
	},
}
