package storetest

import (
	"errors"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

func withKey(id string) func(*queue.NewRow) { return func(r *queue.NewRow) { r.KeyID = id } }

func having(keys ...string) func(*queue.ClaimRequest) {
	return func(r *queue.ClaimRequest) { r.Keys = keys }
}

// keyTests are about rows with a KeyID, which only who has the key claims.
var keyTests = map[string]func(*fixture){
	"a key is kept": func(f *fixture) {
		row := f.insert(withKey("k-1_2.3"))
		f.equal("stored", row.KeyID, "k-1_2.3")
		f.equal("read", f.get(row.ID).KeyID, "k-1_2.3")
		f.equal("claimed", f.claim(row.ID, lease, having("k-1_2.3")).KeyID, "k-1_2.3")
		f.equal("of a row without", f.insert().KeyID, "")
	},
	"an unknown key is refused and costs no attempt": func(f *fixture) {
		row := f.insert(withKey("k1"))
		f.refused(row.ID, queue.ErrUnknownKey)
		f.refused(row.ID, queue.ErrUnknownKey, having("k2", "k", "#k1", taskName))
		f.refused(row.ID, queue.ErrUnknownTask, knowing("other"), having("k1"))
		f.unchanged(row)
		f.claim(row.ID, expired, having("k2", "k1"))
		again := f.get(row.ID)
		f.refused(row.ID, queue.ErrUnknownKey)
		f.unchanged(again)
		f.equal("attempts", f.claim(row.ID, lease, having("k1")).Attempts, 2)
	},
	"a retry of a failed row needs its key": func(f *fixture) {
		row := f.claim(f.insert(withKey("k1"), maxAttempts(1)).ID, lease, having("k1"))
		f.fail(row.Claim())
		f.refused(row.ID, queue.ErrUnknownKey, allowRetry)
		f.claim(row.ID, lease, allowRetry, having("k1"))
	},
	"a pull leaves out rows whose key it does not have": func(f *fixture) {
		first := f.insert(withKey("k1"), priority(10))
		second := f.insert(withKey("k2"), priority(5))
		plain := f.insert()
		without := f.claimNext(10)
		f.equal("without keys", ids(without), []uuid.UUID{plain.ID})
		f.equal("with one", ids(f.claimNext(10, func(r *queue.ClaimNextRequest) { r.Keys = []string{"k2"} })), []uuid.UUID{second.ID})
		f.unchanged(first)
		got := f.claimNext(10, func(r *queue.ClaimNextRequest) { r.Keys = []string{"k2", "k1"} })
		f.equal("with both", ids(got), []uuid.UUID{first.ID})
		f.equal("its key", got[0].KeyID, "k1")
	},
	"one enqueue stores rows with and without keys": func(f *fixture) {
		a, b, c := request(withKey("k1")), request(), request(withKey("k2"), onQueue("q"))
		f.must(f.store.Insert(f.ctx, a, b, c))
		for _, r := range []*queue.NewRow{a, b, c} {
			f.equal("the caller's row", *r.Row, *f.get(r.ID))
		}
	},
	"rows are counted by their keys": func(f *fixture) {
		count := func(want ...queue.KeyCount) {
			f.Helper()
			counts, err := f.store.(queue.KeyCounter).CountKeys(f.ctx)
			f.must(err)
			f.equal("counts", counts, want)
		}
		f.insert()
		count()
		for range 3 {
			f.insert(withKey("k2"))
		}
		row := f.claim(f.insert(withKey("k1")).ID, lease, having("k1"))
		count(queue.KeyCount{KeyID: "k1", Live: 1}, queue.KeyCount{KeyID: "k2", Live: 3})
		f.finish(row.Claim())
		count(queue.KeyCount{KeyID: "k1", Ended: 1}, queue.KeyCount{KeyID: "k2", Live: 3})
	},
	"a limited pull and an admission leave out rows whose key they do not have": func(f *fixture) {
		limiter, ok := f.store.(queue.Limiter)
		if !ok {
			f.Log("the store is no queue.Limiter, which is optional")
			return
		}
		f.limit(queue.Limit{Kind: queue.LimitQueue, Name: "emails", Running: 2})
		sealed := f.insert(onQueue("emails"), withKey("k1"), priority(10))
		plain := f.insert(onQueue("emails"))
		have := func(r *queue.ClaimNextRequest) { r.Keys = []string{"k1"} }
		f.equal("without", ids(f.claimLimited(10)), []uuid.UUID{plain.ID})
		got := f.claimLimited(10, have)
		f.equal("with", ids(got), []uuid.UUID{sealed.ID})
		f.equal("its key", got[0].KeyID, "k1")

		// Both slots are taken, so a third row waits; then there is room.
		third := f.insert(onQueue("emails"), withKey("k1"))
		f.equal("no room", len(f.claimLimited(10, have)), 0)
		f.refused(third.ID, queue.ErrLimited, having("k1"))
		f.finish(got[0].Claim())
		f.equal("admitted without", len(f.admit(nil, 10)), 0)
		rows, err := limiter.Admit(f.ctx, queue.AdmitRequest{Backend: "default", Tasks: []string{taskName}, Keys: []string{"k1"}, Limit: 10})
		f.must(err)
		f.equal("admitted with", ids(rows), []uuid.UUID{third.ID})
	},
	"a lost worker's letter has the key": func(f *fixture) {
		if _, ok := f.store.(queue.Lifecycle); !ok {
			f.Log("the store is no queue.Lifecycle, which is optional")
			return
		}
		for _, sealed := range []string{"k1", ""} {
			row := f.insert(withKey(sealed), withLetter, maxAttempts(1))
			f.claim(row.ID, expired, having("k1"))
			f.equal("failed", f.promote().Failed, 1)
			letters := f.claimNext(10, func(r *queue.ClaimNextRequest) { r.Tasks, r.Keys = []string{deadTask}, []string{"k1"} })
			f.equal("letters", len(letters), 1)
			f.equal("key", letters[0].KeyID, sealed)
		}
	},
	"a replaced row has the key of what replaces it": func(f *fixture) {
		unique := func(r *queue.NewRow) {
			r.UniqueKey, r.UniqueScope, r.OnConflict = "u", queue.UniqueUnfinished, queue.ReplaceExisting
		}
		holder := f.insert(unique)
		for _, key := range []string{"k1", "k2", ""} {
			again := request(unique, withKey(key), args(`"`+key+`"`))
			f.must(f.store.Insert(f.ctx, again))
			if !again.Existed || again.ID != holder.ID || again.KeyID != key {
				f.Errorf("%+v", again.Row)
			}
			f.equal("stored", f.get(holder.ID).KeyID, key)
		}
	},
	"a repeated row with another key is another one": func(f *fixture) {
		row := f.insert(withKey("k1"))
		err := f.store.Insert(f.ctx, request(withID(row.ID)))
		if conflict := (*queue.IDConflictError)(nil); !errors.As(err, &conflict) {
			f.Errorf("got %v", err)
		}
	},
}
