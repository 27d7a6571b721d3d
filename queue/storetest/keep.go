package storetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

func keep(successful, failed time.Duration) func(*queue.NewRow) {
	return func(r *queue.NewRow) { r.Keep = &queue.Retention{Successful: successful, Failed: failed} }
}

// deleteKept has the store delete rows whose Keep is over, and returns how many.
func (f *fixture) deleteKept(limit int) int {
	f.Helper()
	n, err := f.store.(queue.Lifecycle).DeleteKept(f.ctx, limit)
	f.must(err)
	return n
}

// overdue makes the Keep of a row be over.
func (f *fixture) overdue(ids ...uuid.UUID) {
	f.Helper()
	for _, id := range ids {
		f.setDeleteAt(f.T, f.store, id, f.now().Add(-time.Second))
	}
}

// keptFor checks when an ended row is deleted, and returns it.
func (f *fixture) keptFor(what string, id uuid.UUID, status queue.Status, want time.Duration) *queue.Row {
	f.Helper()
	row := f.get(id)
	if got := row.DeleteAt.Sub(row.FinishedAt); row.Status != status || got != want {
		f.Errorf("%s: %s, deleted %s after its end, want %s, %s", what, row.Status, got, status, want)
	}
	return row
}

// ends are all ways to end a row, with the status that it then has. Each makes the row
// with changes.
func (f *fixture) ends() map[string]func(changes ...func(*queue.NewRow)) (uuid.UUID, queue.Status) {
	one := func(r *queue.NewRow) { r.MaxAttempts = 1 }
	ends := map[string]func(changes ...func(*queue.NewRow)) (uuid.UUID, queue.Status){
		"Finish": func(changes ...func(*queue.NewRow)) (uuid.UUID, queue.Status) {
			row := f.claimed(lease, changes...)
			_, err := f.store.Finish(f.ctx, row.Claim(), queue.Finish{Status: queue.StatusSuccessful, ReturnValue: json.RawMessage(`{"a":1}`)})
			f.must(err)
			return row.ID, queue.StatusSuccessful
		},
		"Finish, FAILED": func(changes ...func(*queue.NewRow)) (uuid.UUID, queue.Status) {
			row := f.claimed(lease, changes...)
			f.fail(row.Claim())
			return row.ID, queue.StatusFailed
		},
		"Finish, CANCELLED": func(changes ...func(*queue.NewRow)) (uuid.UUID, queue.Status) {
			row := f.claimed(lease, changes...)
			_, err := f.store.Finish(f.ctx, row.Claim(), queue.Finish{Status: queue.StatusCancelled, Errors: failures(1)})
			f.must(err)
			return row.ID, queue.StatusCancelled
		},
		"FinishTx": func(changes ...func(*queue.NewRow)) (uuid.UUID, queue.Status) {
			row := f.claimed(lease, changes...)
			tx := f.begin(f.T, f.store)
			_, err := f.store.FinishTx(f.ctx, tx, row.Claim(), queue.Finish{Status: queue.StatusSuccessful, ReturnValue: json.RawMessage(`[1]`)})
			f.must(err)
			f.must(tx.Commit(f.ctx))
			return row.ID, queue.StatusSuccessful
		},
		"Cancel": func(changes ...func(*queue.NewRow)) (uuid.UUID, queue.Status) {
			return f.cancel(f.insert(changes...).ID).ID, queue.StatusCancelled
		},
		"Promote": func(changes ...func(*queue.NewRow)) (uuid.UUID, queue.Status) {
			row := f.claimed(expired, append(changes, one)...)
			f.equal("failed", f.promote().Failed, 1)
			return row.ID, queue.StatusFailed
		},
		"Claim": func(changes ...func(*queue.NewRow)) (uuid.UUID, queue.Status) {
			row := f.claimed(expired, append(changes, one)...)
			f.refused(row.ID, queue.ErrWorkerLost)
			return row.ID, queue.StatusFailed
		},
	}
	if f.operator == nil {
		return ends
	}
	ends["Act"] = func(changes ...func(*queue.NewRow)) (uuid.UUID, queue.Status) {
		row := f.insert(changes...)
		f.act(queue.ActionCancel, queue.Selection{IDs: []uuid.UUID{row.ID}})
		return row.ID, queue.StatusCancelled
	}
	ends["Requeue"] = func(changes ...func(*queue.NewRow)) (uuid.UUID, queue.Status) {
		row := f.claimed(expired, changes...)
		f.equal("failed", f.requeue(queue.RequeueRequest{MarkFailed: true, Limit: 10}).Failed, 1)
		return row.ID, queue.StatusFailed
	}
	return ends
}

var keepTests = map[string]func(*fixture){
	"a row has its Keep": func(f *fixture) {
		row := f.insert(keep(time.Hour, 0))
		f.equal("inserted", row.Keep, &queue.Retention{Successful: time.Hour})
		f.unchanged(row)
		f.equal("claimed", f.claim(row.ID, lease).Keep, row.Keep)
	},
	"every end says when the row is deleted": func(f *fixture) {
		for name, end := range f.ends() {
			id, status := end(keep(time.Hour, 2*time.Hour), args(`{"a": [1, "ü"]}`))
			want := time.Hour
			if status == queue.StatusFailed {
				want = 2 * time.Hour
			}
			row := f.keptFor(name, id, status, want)
			f.equal(name+": args", string(row.Args), `{"a": [1, "ü"]}`)
			if status == queue.StatusSuccessful && row.ReturnValue == nil {
				f.Errorf("%s: no result", name)
			}
		}
	},
	"every end drops what is not kept": func(f *fixture) {
		for name, end := range f.ends() {
			id, status := end(keep(0, 0), args(`{"a": [1, "ü"]}`))
			row := f.keptFor(name, id, status, queue.KeptForRepeats)
			f.equal(name+": args", string(row.Args), string(queue.DroppedArgs(json.RawMessage(`{"a": [1, "ü"]}`))))
			if row.ReturnValue != nil || !row.Dropped() {
				f.Errorf("%s: result %s, dropped %v", name, row.ReturnValue, row.Dropped())
			}
		}
	},
	"a row is kept while it holds its key for a time": func(f *fixture) {
		for name, end := range f.ends() {
			for _, kept := range []time.Duration{0, time.Hour, 72 * time.Hour} {
				id, _ := end(keep(kept, kept), keyed(fmt.Sprint(name, kept)), forPeriod(48*time.Hour))
				row := f.get(id)
				want := row.UniqueUntil
				if least := row.FinishedAt.Add(kept); least.After(want) {
					want = least
				}
				f.equal(name, row.DeleteAt, want)
			}
			id, status := end(keep(time.Hour, time.Hour), keyed(name), forPeriod(time.Minute))
			f.keptFor(name+", a short time", id, status, time.Hour)
		}
	},
	"a purge leaves what holds its key for a time": func(f *fixture) {
		if f.operator == nil {
			return
		}
		n := 0
		key := func(r *queue.NewRow) { n++; r.UniqueKey = fmt.Sprint(n) }
		plain, kept := f.finalRows(), f.finalRows(key, forPeriod(time.Hour))
		short, both := f.finalRows(key, periodIsOver), f.finalRows(key, forPeriod(time.Hour), keep(24*time.Hour, 24*time.Hour))
		whileKept := f.finalRows(key, whileKept)
		r := purgeRequest(finalStatuses...)
		r.Limit = 2
		f.equal("deleted", f.purge(r)+f.purge(r)+f.purge(r)+f.purge(r)+f.purge(r)+f.purge(r), 9)
		for i, row := range kept {
			if f.gone(row.ID) || f.gone(both[i].ID) || !f.gone(plain[i].ID) || !f.gone(short[i].ID) || !f.gone(whileKept[i].ID) {
				f.Errorf("%s: gone %v and %v, not held %v, %v, %v", row.Status, f.gone(row.ID), f.gone(both[i].ID), f.gone(plain[i].ID), f.gone(short[i].ID), f.gone(whileKept[i].ID))
			}
		}
	},
	"only the status that a row ends in counts": func(f *fixture) {
		failed, done := f.claimed(lease, keep(0, time.Hour)), f.claimed(lease, keep(time.Hour, 0))
		f.fail(failed.Claim())
		f.finish(done.Claim())
		for _, row := range []*queue.Row{f.keptFor("failed", failed.ID, queue.StatusFailed, time.Hour), f.keptFor("done", done.ID, queue.StatusSuccessful, time.Hour)} {
			f.equal("args", string(row.Args), `{}`)
		}
	},
	"without Keep nothing is dropped": func(f *fixture) {
		for name, end := range f.ends() {
			id, _ := end(args(`{"a":1}`))
			if row := f.get(id); !row.DeleteAt.IsZero() || string(row.Args) != `{"a":1}` || row.Dropped() {
				f.Errorf("%s: deleted at %s, args %s", name, row.DeleteAt, row.Args)
			}
		}
		f.equal("deleted", f.deleteKept(100), 0)
	},
	"rows with and without Keep are stored together": func(f *fixture) {
		var rows []*queue.NewRow
		for i := range 30 {
			row := request()
			if i%3 == 0 {
				keep(time.Duration(i)*time.Second, time.Hour)(row)
			}
			rows = append(rows, row)
		}
		f.must(f.store.Insert(f.ctx, rows...))
		for _, row := range rows {
			f.unchanged(row.Row)
		}
	},
	"a short Keep lasts until no ticket is left": func(f *fixture) {
		row := f.cancel(f.insert(keep(time.Second, 0), delay(time.Hour)).ID)
		f.equal("deleted at", row.DeleteAt, row.RunAfter.Add(queue.KeptForRepeats))
		far := f.insert(keep(time.Second, 0), delay(365*24*time.Hour)) // has no ticket yet
		f.cancel(far.ID)
		f.keptFor("far", far.ID, queue.StatusCancelled, queue.KeptForRepeats)
	},
	"a row that was made due keeps the time of its ticket": func(f *fixture) {
		if f.operator == nil {
			return
		}
		row := f.insert(keep(0, 0), delay(time.Hour))
		f.act(queue.ActionRun, queue.Selection{IDs: []uuid.UUID{row.ID}})
		f.finish(f.claim(row.ID, lease).Claim())
		f.equal("deleted at", f.get(row.ID).DeleteAt, row.RunAfter.Add(queue.KeptForRepeats))
	},
	"repeats of a dropped row are answered": func(f *fixture) {
		row := f.claimed(lease, keep(0, 0), args(`{"a":1}`))
		at := f.finish(row.Claim())
		f.equal("finished again", f.finish(row.Claim()), at)
		f.refused(row.ID, queue.ErrFinal)
		again := request(withID(row.ID), args(`{"a":1}`))
		f.must(f.store.Insert(f.ctx, again))
		if !again.Existed {
			f.Error("the repeated insert is new")
		}
		if err := f.store.Insert(f.ctx, request(withID(row.ID), args(`{"a":2}`))); !errors.Is(err, queue.ErrIDConflict) {
			f.Errorf("other arguments: %v", err)
		}
		if err := f.store.Insert(f.ctx, request(withID(row.ID), args(string(queue.DroppedArgs(row.Args))))); !errors.Is(err, queue.ErrIDConflict) {
			f.Errorf("the sum as arguments: %v", err)
		}
	},
	"a reopened row is not deleted": func(f *fixture) {
		row := f.claimed(lease, keep(time.Hour, 2*time.Hour))
		f.fail(row.Claim())
		again := f.claim(row.ID, lease, allowRetry)
		if !again.DeleteAt.IsZero() || !f.get(row.ID).DeleteAt.IsZero() {
			f.Errorf("claimed again: deleted at %s", again.DeleteAt)
		}
		f.finish(again.Claim())
		f.keptFor("then", row.ID, queue.StatusSuccessful, time.Hour)
	},
	"a row that an operator reopens is not deleted": func(f *fixture) {
		if f.operator == nil {
			return
		}
		row := f.claimed(lease, keep(time.Hour, 2*time.Hour))
		f.fail(row.Claim())
		f.act(queue.ActionRetry, queue.Selection{IDs: []uuid.UUID{row.ID}})
		if at := f.get(row.ID).DeleteAt; !at.IsZero() {
			f.Errorf("deleted at %s", at)
		}
	},
	"a FAILED row without its arguments is not reopened": func(f *fixture) {
		row := f.claimed(lease, keep(time.Hour, 0))
		f.fail(row.Claim())
		f.refused(row.ID, queue.ErrFinal, allowRetry)
		f.refused(row.ID, queue.ErrDropped, allowRetry)
		if f.operator != nil {
			for _, r := range []*queue.Row{f.claimed(lease, keep(0, time.Hour)), f.claimed(lease)} {
				f.fail(r.Claim())
				f.act(queue.ActionRetry, queue.Selection{IDs: []uuid.UUID{r.ID}})
			}
			f.finish(f.claimed(lease, keep(0, 0)).Claim())
			dropped, err := f.operator.CountDropped(f.ctx, queue.Selection{}, f.now(), 10)
			f.must(err)
			f.equal("dropped", dropped, 1)
			f.equal("retried", f.act(queue.ActionRetry, queue.Selection{View: queue.ViewFailed}), []uuid.UUID(nil))
		}
	},
	"rows are deleted when their Keep is over": func(f *fixture) {
		var over, others []uuid.UUID
		for _, end := range f.ends() {
			id, _ := end(keep(time.Hour, time.Hour))
			over = append(over, id)
			id, _ = end(keep(time.Hour, time.Hour))
			others = append(others, id)
		}
		f.equal("before", f.deleteKept(100), 0)
		if f.promote().Deletable {
			f.Error("deletable before")
		}
		f.overdue(over...)
		if !f.promote().Deletable {
			f.Error("not deletable")
		}
		f.equal("the first two", f.deleteKept(2), 2)
		f.equal("the others", f.deleteKept(100), len(over)-2)
		f.equal("again", f.deleteKept(100), 0)
		if f.promote().Deletable {
			f.Error("still deletable")
		}
		for i, id := range others {
			if !f.gone(over[i]) || f.gone(id) {
				f.Errorf("gone: %v, and of the others %v", f.gone(over[i]), f.gone(id))
			}
		}
	},
	// A program from before Keep ends rows without saying when they are deleted.
	"rows that an old program has ended are deleted when their Keep is over": func(f *fixture) {
		done, failed := f.claimed(lease, keep(time.Hour, 2*time.Hour)), f.claimed(lease, keep(time.Hour, 2*time.Hour))
		plain := f.claimed(lease, func(r *queue.NewRow) { r.ExpiresIn = time.Hour })
		f.finish(done.Claim())
		f.finish(plain.Claim())
		f.fail(failed.Claim())
		over := f.claimed(lease, keep(time.Hour, time.Hour))
		f.finish(over.Claim())
		f.overdue(over.ID)
		for _, id := range []uuid.UUID{done.ID, failed.ID} {
			f.setDeleteAt(f.T, f.store, id, time.Time{})
		}
		live := f.insert(keep(time.Hour, time.Hour))
		if !f.promote().Deletable {
			f.Error("the sweep has nothing to do")
		}
		f.equal("deleted", f.deleteKept(2), 1)
		f.keptFor("done", done.ID, queue.StatusSuccessful, time.Hour)
		f.keptFor("failed", failed.ID, queue.StatusFailed, 2*time.Hour)
		if f.promote().Deletable || !f.get(plain.ID).DeleteAt.IsZero() {
			f.Error("the sweep has something to do")
		}
		f.unchanged(live)
		f.overdue(done.ID)
		f.equal("deleted", f.deleteKept(10), 1)
		if !f.gone(done.ID) || f.gone(failed.ID) || f.gone(plain.ID) {
			f.Error("another one is gone")
		}
	},
	"no live row is deleted": func(f *fixture) {
		failed := f.claimed(lease, keep(time.Hour, time.Hour))
		f.fail(failed.Claim())
		live := []*queue.Row{
			f.insert(keep(0, 0)), f.insert(keep(0, 0), delay(time.Hour)), f.claimed(lease, keep(0, 0)), f.claimed(expired, keep(0, 0)),
			f.claim(failed.ID, lease, allowRetry), f.secondAttempt(keep(0, 0)),
		}
		f.overdue(ids(live)...)
		f.equal("deleted", f.deleteKept(100), 0)
		for _, row := range live {
			if f.gone(row.ID) {
				f.Errorf("a %s row is gone", row.Status)
			}
		}
	},
	"a purge leaves what is kept for longer": func(f *fixture) {
		if f.operator == nil {
			return
		}
		plain, kept := f.finalRows(), f.finalRows(keep(time.Hour, 24*time.Hour))
		r := purgeRequest(finalStatuses...)
		r.Age = time.Hour
		f.overdue(kept[0].ID)
		f.equal("what is too young", f.purge(r), 0)
		r.Age = 0
		f.equal("deleted", f.purge(r), 4)
		for i, row := range plain {
			if !f.gone(row.ID) || f.gone(kept[i].ID) != (i == 0) {
				f.Errorf("%s: gone %v, with Keep %v", row.Status, f.gone(row.ID), f.gone(kept[i].ID))
			}
		}
		f.overdue(kept[1].ID)
		r.Task = "other"
		f.equal("another task", f.purge(r), 0)
		r.Task, r.Statuses = taskName, []queue.Status{queue.StatusFailed}
		f.equal("when its Keep is over", f.purge(r), 1)
	},
	"a row whose Keep is over is deleted or reopened, not both": func(f *fixture) {
		for range 20 {
			row := f.claimed(lease, keep(time.Hour, time.Hour))
			f.fail(row.Claim())
			f.overdue(row.ID)
			req := claimRequest(lease, allowRetry)
			reopened, deleted := f.race(
				func() error {
					_, err := f.store.Claim(f.ctx, row.ID, req)
					if errors.Is(err, queue.ErrNotFound) {
						err = queue.ErrLeaseLost
					}
					return err
				},
				func() (bool, error) {
					n, err := f.store.(queue.Lifecycle).DeleteKept(f.ctx, 10)
					return n == 1, err
				})
			if reopened == deleted || deleted != f.gone(row.ID) {
				f.Fatalf("reopened: %v, deleted: %v", reopened, deleted)
			}
		}
	},
	"what is deleted is not counted any more": func(f *fixture) {
		if f.operator == nil {
			return
		}
		kept := f.finalRows(keep(time.Hour, time.Hour))
		f.overdue(kept[0].ID, kept[1].ID)
		f.equal("deleted", f.deleteKept(10), 2)
		got := f.stats(queue.Filter{})
		f.equal("ended", []int{got.Successful, got.Failed, got.Cancelled}, []int{0, 0, 1})
	},
}
