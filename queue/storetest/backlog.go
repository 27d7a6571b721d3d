package storetest

import (
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

var backlogTests = map[string]func(*fixture){
	"the READY rows of a queue are counted, up to a limit": func(f *fixture) {
		count := func(backend, name string, limit, want int) {
			f.Helper()
			n, err := f.store.(queue.BacklogCounter).CountReady(f.ctx, nil, backend, name, limit)
			f.must(err)
			f.equal(backend+", "+name, n, want)
		}
		count("default", "default", 10, 0)
		f.insert()
		f.insert(delay(time.Hour))
		f.insert(onQueue("other"))
		f.insert(onBackend("other"))
		f.claimed(lease)
		f.finish(f.claimed(lease).Claim())
		f.secondAttempt()
		count("default", "default", 10, 3)
		count("default", "default", 3, 3)
		count("default", "default", 2, 2)
		count("default", "other", 10, 1)
		count("other", "default", 10, 1)
	},
	"they are counted in the caller's transaction": func(f *fixture) {
		tx := f.begin(f.T, f.store)
		f.must(f.store.InsertTx(f.ctx, tx, request(), request(), request(onQueue("other"))))
		n, err := f.store.(queue.BacklogCounter).CountReady(f.ctx, tx, "default", "default", 10)
		f.must(err)
		f.equal("counted", n, 2)
		f.must(tx.Commit(f.ctx))
	},
	"rows that an insert would not store are found": func(f *fixture) {
		held, ended := f.insert(keyed("held")), f.insert(keyed("ended"))
		f.cancel(ended.ID)
		over, done := f.insert(keyed("over"), periodIsOver), f.insert()
		f.cancel(done.ID)
		rows := []*queue.NewRow{
			request(), request(withID(held.ID)), request(withID(done.ID)), request(withID(done.ID), args(`[2]`)),
			request(keyed("held")), request(keyed("held"), withTask("other")), request(keyed("ended")), request(keyed("over")), request(withID(over.ID), keyed("new")),
			request(keyed("twice")), request(keyed("twice")),
		}
		for _, row := range rows {
			row.FreshID = row.ID != held.ID && row.ID != done.ID && row.ID != over.ID
		}
		id := rows[10].ID // was not stored
		rows = append(rows, request(withID(id)), request(withID(id), keyed("later")))
		want := []bool{false, true, true, true, true, false, false, false, true, false, true, false, true}
		look := func(what string, tx queue.Tx) {
			f.Helper()
			exist, err := f.store.(queue.BacklogCounter).Existing(f.ctx, tx, rows...)
			f.must(err)
			f.equal(what, exist, want)
		}
		look("outside of a transaction", nil)
		f.unchanged(over)
		tx := f.begin(f.T, f.store)
		in := request(keyed("in the transaction"))
		f.must(f.store.InsertTx(f.ctx, tx, in))
		rows, want = append(rows, request(keyed("in the transaction"))), append(want, true)
		look("in a transaction", tx)
		f.must(tx.Commit(f.ctx))
		f.must(f.store.Insert(f.ctx, request(keyed("twice"))))
		want[9] = true
		look("stored", nil)
	},
}
