package storetest

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// keyed gives a new row a key, until it has ended.
func keyed(key string) func(*queue.NewRow) {
	return func(r *queue.NewRow) { r.UniqueKey, r.UniqueScope = key, queue.UniqueUnfinished }
}

// whileKept and forPeriod change how long it holds the key.
func whileKept(r *queue.NewRow) { r.UniqueScope = queue.UniqueKept }

func forPeriod(d time.Duration) func(*queue.NewRow) {
	return func(r *queue.NewRow) { r.UniqueScope, r.UniqueFor = queue.UniqueKept, d }
}

// periodIsOver is a period that ended an hour ago.
func periodIsOver(r *queue.NewRow) {
	r.UniqueScope, r.UniqueUntil = queue.UniqueKept, time.Now().Add(-time.Hour).UTC().Truncate(time.Microsecond)
}

func onConflict(c queue.Conflict) func(*queue.NewRow) {
	return func(r *queue.NewRow) { r.OnConflict = c }
}

// meets inserts a row that must meet a row which holds its key.
func (f *fixture) meets(holder uuid.UUID, changes ...func(*queue.NewRow)) *queue.Row {
	f.Helper()
	r := request(changes...)
	f.must(f.store.Insert(f.ctx, r))
	if !r.Existed || r.ID != holder {
		f.Errorf("inserted %s, existed %t; want the row %s", r.ID, r.Existed, holder)
	}
	f.unchanged(r.Row)
	return r.Row
}

// isNew inserts a row that must be a new one.
func (f *fixture) isNew(changes ...func(*queue.NewRow)) *queue.Row {
	f.Helper()
	r := request(changes...)
	id := r.ID
	f.must(f.store.Insert(f.ctx, r))
	if r.Existed || r.ID != id {
		f.Errorf("inserted %s, existed %t; want a new row", r.ID, r.Existed)
	}
	f.unchanged(r.Row)
	return r.Row
}

// isDuplicate inserts rows, of which the one numbered refused must be refused because of
// holder. Nothing is stored, and the caller's rows stay as they are.
func (f *fixture) isDuplicate(holder uuid.UUID, refused int, rows ...*queue.NewRow) {
	f.Helper()
	var before []queue.Row
	for _, row := range rows {
		before = append(before, *row.Row)
	}
	err := f.store.Insert(f.ctx, rows...)
	var duplicate *queue.DuplicateError
	if !errors.Is(err, queue.ErrDuplicate) || !errors.As(err, &duplicate) || duplicate.Row.ID != holder || duplicate.ID != rows[refused].ID {
		f.Errorf("Insert: %v; want a duplicate of %s", err, holder)
		return
	}
	f.equal("the holder", *duplicate.Row, *f.get(holder))
	for i, row := range rows {
		f.equal("the caller's row", *row.Row, before[i])
		f.absent(row.ID)
	}
}

// end brings a row to each final state.
var end = map[string]func(*fixture, *queue.Row){
	"successful": func(f *fixture, row *queue.Row) { f.finish(f.claim(row.ID, lease).Claim()) },
	"failed":     func(f *fixture, row *queue.Row) { f.fail(f.claim(row.ID, lease).Claim()) },
	"cancelled":  func(f *fixture, row *queue.Row) { f.cancel(row.ID) },
	"cancelled while it ran": func(f *fixture, row *queue.Row) {
		f.claim(row.ID, lease)
		f.cancel(row.ID)
	},
	"lost": func(f *fixture, row *queue.Row) {
		f.claim(row.ID, expired)
		f.promote()
	},
}

// uniqueTests are about rows that have keys.
var uniqueTests = map[string]func(*fixture){
	"a key is held until the row has ended": func(f *fixture) {
		for how, ends := range end {
			row := f.isNew(keyed(how), maxAttempts(1), args(`{"n":1}`))
			f.meets(row.ID, keyed(how), args(`{"n":2}`), priority(7), delay(time.Hour))
			f.unchanged(row)
			if how == "successful" {
				running := f.claim(row.ID, lease)
				f.meets(row.ID, keyed(how))
				f.must(f.store.Retry(f.ctx, running.Claim(), queue.Retry{Refund: true}))
				f.meets(row.ID, keyed(how))
			}
			ends(f, row)
			next := f.isNew(keyed(how), args(`{"n":2}`))
			f.meets(next.ID, keyed(how))
		}
	},
	"a key is held while the row is kept": func(f *fixture) {
		for how, ends := range end {
			row := f.isNew(keyed(how), whileKept, maxAttempts(1))
			ends(f, row)
			f.meets(row.ID, keyed(how))
			f.meets(row.ID, keyed(how), whileKept)
		}
	},
	"a row that has expired does not hold its key until it ends": func(f *fixture) {
		ago := func(r *queue.NewRow) { r.ExpiresAt = time.Now().Add(-time.Hour) }
		old := f.isNew(keyed("a"), ago)
		row := f.isNew(keyed("a"), args(`{"n":2}`))
		f.meets(row.ID, keyed("a"))
		kept := f.isNew(keyed("kept"), ago, whileKept)
		f.meets(kept.ID, keyed("kept"))
		if _, canExpire := f.store.(queue.Lifecycle); canExpire {
			f.promote()
			f.equal("the expired row", f.get(old.ID).Status, queue.StatusCancelled)
		}
		f.meets(row.ID, keyed("a"))
	},
	"a key is held for its period": func(f *fixture) {
		for how, ends := range end {
			row := f.isNew(keyed(how), forPeriod(time.Hour), maxAttempts(1))
			f.equal("period", row.UniqueUntil.Sub(row.EnqueuedAt), time.Hour)
			f.meets(row.ID, keyed(how))
			ends(f, row)
			f.meets(row.ID, keyed(how))
		}
	},
	"a period ends even while the row has not ended": func(f *fixture) {
		ready, running := f.isNew(keyed("a"), periodIsOver), f.isNew(keyed("b"), periodIsOver)
		claim := f.claim(running.ID, lease).Claim()
		for key, old := range map[string]*queue.Row{"a": ready, "b": running} {
			next := f.isNew(keyed(key), onConflict(queue.RefuseDuplicate))
			f.meets(next.ID, keyed(key))
			got := f.get(old.ID)
			f.equal("key and status", fmt.Sprint(got.UniqueKey, got.UniqueScope, got.Status.Final()), fmt.Sprint(key, queue.UniqueReleased, false))
		}
		f.finish(claim)
		f.meets(f.isNew(keyed("c"), periodIsOver, forPeriod(time.Hour), func(r *queue.NewRow) { r.UniqueUntil = time.Time{} }).ID, keyed("c"))
	},
	"what counts is how the stored row was enqueued": func(f *fixture) {
		row := f.isNew(keyed("a"))
		f.meets(row.ID, keyed("a"), whileKept)
		end["successful"](f, row)
		kept := f.isNew(keyed("a"), whileKept)
		end["successful"](f, kept)
		f.meets(kept.ID, keyed("a"))
	},
	"a key belongs to its task": func(f *fixture) {
		row := f.isNew(keyed("a"))
		f.isNew(keyed("a"), withTask("other"))
		f.isNew(keyed("A"))
		f.isNew(keyed("a "))
		f.meets(row.ID, keyed("a"))
	},
	"a key may be 200 bytes of any text": func(f *fixture) {
		for _, key := range []string{fmt.Sprintf("%0200d", 7), "ключ 🔑 \t\n'\"\\%_ $1 ?", "\x01\x7f", "sha256:0"} {
			f.meets(f.isNew(keyed(key)).ID, keyed(key))
		}
	},
	"a duplicate is refused": func(f *fixture) {
		row := f.isNew(keyed("a"))
		f.isDuplicate(row.ID, 0, request(keyed("a"), onConflict(queue.RefuseDuplicate)))
		f.claim(row.ID, lease)
		f.isDuplicate(row.ID, 0, request(keyed("a"), onConflict(queue.RefuseDuplicate)))
		f.isNew(keyed("b"), onConflict(queue.RefuseDuplicate))
	},
	"the id is judged before the key": func(f *fixture) {
		row, other := f.isNew(keyed("a"), args(`1`)), f.isNew(keyed("b"), args(`1`))
		again := func(id uuid.UUID, changes ...func(*queue.NewRow)) *queue.NewRow {
			return request(append(changes, withID(id), func(r *queue.NewRow) { r.FreshID = false })...)
		}
		for _, r := range []*queue.NewRow{
			again(row.ID, args(`1`)), again(row.ID, args(`1`), keyed("b")), again(row.ID, args(`1`), keyed("a"), onConflict(queue.RefuseDuplicate)),
			again(row.ID, args(`1`), keyed("c"), onConflict(queue.ReplaceExisting)),
		} {
			f.must(f.store.Insert(f.ctx, r))
			f.equal("existed", fmt.Sprint(r.Existed, r.ID), fmt.Sprint(true, row.ID))
		}
		if err := f.store.Insert(f.ctx, again(row.ID, args(`2`), keyed("b"))); !errors.Is(err, queue.ErrIDConflict) {
			f.Errorf("another task under the id: %v", err)
		}
		f.must(f.store.Insert(f.ctx, again(uuid.Must(uuid.NewV7()), keyed("b"))))
		f.unchanged(row)
		f.unchanged(other)
	},
	"a row with an id of the caller's gets its key": func(f *fixture) {
		id := uuid.Must(uuid.NewV7())
		f.isNew(withID(id), keyed("a"), func(r *queue.NewRow) { r.FreshID = false })
		f.meets(id, keyed("a"))
	},
}

// replaceTests are about enqueues that replace the row which holds their key.
var replaceTests = map[string]func(*fixture){
	"an earlier time, arguments and priority": func(f *fixture) {
		row := f.isNew(keyed("a"), delay(time.Hour), args(`1`), maxAttempts(3), timeout(time.Second))
		f.equal("claimable", len(f.claimNext(10)), 0)
		got := f.meets(row.ID, keyed("a"), onConflict(queue.ReplaceExisting), args(`{"n":2}`), priority(7), maxAttempts(9), onQueue("q"), whileKept, armed)
		want := *row
		want.Args, want.Priority, want.RunAfter, want.DispatchDueAt = got.Args, 7, time.Time{}, got.DispatchDueAt
		f.equal("row", *got, want)
		f.equal("arguments", string(got.Args), `{"n":2}`)
		if wait := got.DispatchDueAt.Sub(row.EnqueuedAt); wait < queue.DispatchGrace || wait > queue.DispatchGrace+time.Minute {
			f.Errorf("dispatched by %s", wait)
		}
		f.equal("claimable", ids(f.claimNext(10)), []uuid.UUID{row.ID})
	},
	"a later time": func(f *fixture) {
		row := f.isNew(keyed("a"))
		got := f.meets(row.ID, keyed("a"), onConflict(queue.ReplaceExisting), delay(time.Hour))
		if wait := got.RunAfter.Sub(row.EnqueuedAt); wait < time.Hour || wait > time.Hour+time.Minute {
			f.Errorf("run after %s", wait)
		}
		f.equal("claimable", len(f.claimNext(10)), 0)
		at := row.EnqueuedAt.Add(2 * time.Hour)
		f.equal("expires", f.meets(row.ID, keyed("a"), onConflict(queue.ReplaceExisting), func(r *queue.NewRow) { r.ExpiresAt = at }).ExpiresAt, at)
		f.equal("expires", f.meets(row.ID, keyed("a"), onConflict(queue.ReplaceExisting)).ExpiresAt, time.Time{})
		f.equal("run after", f.meets(row.ID, keyed("a"), onConflict(queue.ReplaceExisting), runAfter(at)).RunAfter, at)
		far := f.meets(row.ID, keyed("a"), onConflict(queue.ReplaceExisting), delay(60*24*time.Hour))
		if wait := far.RunAfter.Sub(far.DispatchDueAt); wait != queue.ArmWithin {
			f.Errorf("armed %s before its time", wait)
		}
	},
	"a row that waits after a failed attempt": func(f *fixture) {
		row := f.isNew(keyed("a"))
		f.must(f.store.Retry(f.ctx, f.claim(row.ID, lease).Claim(), queue.Retry{Errors: failures(1), In: time.Hour}))
		f.must(f.store.DispatchFailed(f.ctx, "no", false, row.ID))
		got := f.meets(row.ID, keyed("a"), onConflict(queue.ReplaceExisting), args(`2`))
		f.equal("waits, dispatch error, attempts, errors", fmt.Sprintf("%t %q %d %d", got.RetryAt.IsZero(), got.DispatchError, got.Attempts, len(got.Errors)), `true "" 1 1`)
		f.equal("claimable", ids(f.claimNext(10)), []uuid.UUID{row.ID})
	},
	"a row that is READY no more": func(f *fixture) {
		row := f.isNew(keyed("a"), args(`1`))
		running := f.claim(row.ID, lease)
		f.isDuplicate(row.ID, 0, request(keyed("a"), onConflict(queue.ReplaceExisting), args(`2`)))
		f.unchanged(running)
		kept := f.isNew(keyed("b"), whileKept)
		end["failed"](f, kept)
		f.isDuplicate(kept.ID, 0, request(keyed("b"), onConflict(queue.ReplaceExisting)))
	},
	"replacements and claims at once": func(f *fixture) {
		for n := range 10 {
			key := fmt.Sprint(n)
			row := f.isNew(keyed(key), args(`0`))
			var group sync.WaitGroup
			var claimed *queue.Row
			var replaced [4]error
			group.Go(func() { claimed, _ = f.store.Claim(f.ctx, row.ID, claimRequest(lease)) })
			for i := range replaced {
				group.Go(func() {
					replaced[i] = f.store.Insert(f.ctx, request(keyed(key), onConflict(queue.ReplaceExisting), args(fmt.Sprint(i+1))))
				})
			}
			group.Wait()
			if claimed == nil { // it was locked for as long as a claim waits
				continue
			}
			f.equal("what runs and what is stored", string(f.get(row.ID).Args), string(claimed.Args))
			for i, err := range replaced {
				if err != nil && !errors.Is(err, queue.ErrDuplicate) {
					f.Errorf("replacement %d: %v", i, err)
				}
			}
		}
	},
}
