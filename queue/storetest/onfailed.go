package storetest

import (
	"encoding/json"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

const deadTask = "dead.letter"

// withLetter makes a row whose final failure enqueues another one.
func withLetter(r *queue.NewRow) {
	r.OnFailed = &queue.DeadLetter{Task: deadTask, Queue: "dead", Backend: "default", Priority: 7, MaxAttempts: 3}
	r.TraceContext = "00-trace"
}

// letters claims all that failures have enqueued.
func (f *fixture) letters() (letters []queue.Failed) {
	f.Helper()
	for _, row := range f.claimNext(100, func(r *queue.ClaimNextRequest) { r.Tasks = []string{deadTask} }) {
		got := []any{row.Queue, row.Backend, row.Priority, row.MaxAttempts, row.TraceContext}
		f.equal("the row of the letter", got, []any{"dead", "default", 7, 3, "00-trace"})
		var letter queue.Failed
		f.must(json.Unmarshal(row.Args, &letter))
		letters = append(letters, letter)
	}
	return letters
}

// finalFailures are all ways to fail a row for good.
func (f *fixture) finalFailures() map[string]func(changes ...func(*queue.NewRow)) uuid.UUID {
	one := func(r *queue.NewRow) { r.MaxAttempts = 1 }
	failures := map[string]func(changes ...func(*queue.NewRow)) uuid.UUID{
		"Finish": func(changes ...func(*queue.NewRow)) uuid.UUID {
			row := f.claimed(lease, changes...)
			failed := *row
			failed.Status, failed.Errors = queue.StatusFailed, failures(2)
			end := queue.Finish{Status: queue.StatusFailed, Errors: failures(2), Letter: failed.Letter()}
			_, err := f.store.Finish(f.ctx, row.Claim(), end)
			f.must(err)
			f.equal("the caller's row", *end.Letter.Row, *f.get(end.Letter.ID))
			_, err = f.store.Finish(f.ctx, row.Claim(), end) // its answer was lost
			f.must(err)
			return row.ID
		},
		"Promote": func(changes ...func(*queue.NewRow)) uuid.UUID {
			row := f.claimed(expired, append(changes, one)...)
			f.equal("failed", f.promote().Failed, 1)
			f.equal("failed again", f.promote().Failed, 0)
			return row.ID
		},
		"Claim": func(changes ...func(*queue.NewRow)) uuid.UUID {
			row := f.claimed(expired, append(changes, one)...)
			f.refused(row.ID, queue.ErrWorkerLost)
			f.refused(row.ID, queue.ErrFinal)
			return row.ID
		},
	}
	if f.operator != nil {
		failures["Requeue"] = func(changes ...func(*queue.NewRow)) uuid.UUID {
			row := f.claimed(expired, changes...)
			f.equal("failed", f.requeue(queue.RequeueRequest{MarkFailed: true, Limit: 10}).Failed, 1)
			return row.ID
		}
	}
	return failures
}

var onFailedTests = map[string]func(*fixture){
	"a row knows its letter": func(f *fixture) {
		row := f.insert(withLetter)
		f.unchanged(row)
		f.equal("claimed", f.claim(row.ID, lease).OnFailed, row.OnFailed)
	},
	"every final failure enqueues one": func(f *fixture) {
		for name, fail := range f.finalFailures() {
			for _, kept := range []time.Duration{time.Hour, 0} {
				id := fail(withLetter, args(`{"a": [1, "ü"]}`), keep(kept, kept))
				row, letters := f.get(id), f.letters()
				if len(letters) != 1 || row.Status != queue.StatusFailed {
					f.Fatalf("%s: %s, %d letters", name, row.Status, len(letters))
				}
				got := letters[0]
				f.equal(name+": args", string(got.Args), `{"a":[1,"ü"]}`)
				f.equal(name+": errors", got.Errors, row.Errors)
				f.equal(name, []any{got.ID, got.Task, got.Queue, got.Attempts, got.MaxAttempts, got.EnqueuedAt, got.ArgsOmitted},
					[]any{id, row.Task, row.Queue, row.Attempts, row.MaxAttempts, row.EnqueuedAt, false})
			}
		}
	},
	"without Keep, too": func(f *fixture) {
		for name, fail := range f.finalFailures() {
			fail(withLetter)
			if n := len(f.letters()); n != 1 {
				f.Errorf("%s: %d letters", name, n)
			}
		}
	},
	"no other end enqueues anything": func(f *fixture) {
		for _, end := range f.ends() {
			if id, status := end(withLetter); status == queue.StatusFailed && len(f.get(id).Errors) > 0 {
				f.letters() // of a lost worker
			}
			f.equal("letters", len(f.letters()), 0)
		}
		row := f.claimed(lease, withLetter)
		f.must(f.store.Retry(f.ctx, row.Claim(), queue.Retry{Errors: failures(1)}))
		f.equal("letters", len(f.letters()), 0)
	},
	"however many lose the same workers, each row enqueues one": func(f *fixture) {
		const rows = 20
		for range rows {
			f.claimed(expired, withLetter, maxAttempts(1))
		}
		var group sync.WaitGroup
		for range 4 {
			group.Go(func() {
				if _, err := f.store.Promote(f.ctx, rows); err != nil {
					f.Errorf("Promote: %v", err)
				}
			})
		}
		group.Wait()
		f.promote() // what one of them had locked
		seen := make(map[uuid.UUID]bool)
		for _, letter := range f.letters() {
			if seen[letter.ID] {
				f.Errorf("two letters of %s", letter.ID)
			}
			seen[letter.ID] = true
		}
		f.equal("letters", len(seen), rows)
	},
	"a finish that is refused enqueues nothing": func(f *fixture) {
		row := f.claimed(lease, withLetter)
		f.cancel(row.ID)
		failed := *row
		failed.Status = queue.StatusFailed
		_, err := f.store.Finish(f.ctx, row.Claim(), queue.Finish{Status: queue.StatusFailed, Letter: failed.Letter()})
		f.equal("refused", err != nil, true)
		f.equal("letters", len(f.letters()), 0)
	},
	"a row that fails again enqueues another one": func(f *fixture) {
		row := f.claimed(expired, withLetter, maxAttempts(1))
		f.promote()
		f.claim(row.ID, expired, allowRetry)
		f.promote()
		f.equal("letters", len(f.letters()), 2)
	},
}
