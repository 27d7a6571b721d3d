package storetest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// encryptedFailureTests are about what OnFailed enqueues of encrypted rows.
var encryptedFailureTests = map[string]func(*fixture){
	"the letter of a failure keeps the arguments encrypted": func(f *fixture) {
		if _, ok := f.store.(queue.Lifecycle); !ok {
			f.Log("the store is no queue.Lifecycle, which is optional")
			return
		}
		var letters []queue.Failed
		letter := queue.NewTaskFunc(deadTask, func(_ context.Context, in queue.Failed) error { letters = append(letters, in); return nil })
		failing := queue.NewTaskFunc("t", func(context.Context, string) error { return errors.New("no") }, queue.OnFailed(letter), queue.MaxAttempts(1))
		keys := newSealKeys()
		p := f.program(queue.Config{Codec: keys.codec(f, "k1")}, failing, letter)
		p.run(p.enqueue("t", secret).ID)
		lost := p.enqueue("t", secret) // its worker is lost, and the store makes its letter
		f.claim(lost.ID, expired, having("k1"), knowing("t"))
		f.promote()
		without := f.program(queue.Config{Codec: keys.codec(f, "k2")}, failing, letter)
		for _, program := range []*program{without, p} {
			_, err := program.exec.Process(f.ctx, 10, queue.From{})
			f.must(err)
		}
		f.equal("letters", len(letters), 2)
		for _, letter := range letters {
			f.equal("args", string(letter.Args), `"`+secret+`"`)
		}
		if f.operator == nil {
			return
		}
		page, err := f.operator.List(f.ctx, queue.ListRequest{Selection: queue.Selection{Task: deadTask}, Limit: 10})
		f.must(err)
		for _, row := range page.Rows {
			if stored := f.get(row.ID); bytes.Contains(stored.Args, []byte(secret)) || stored.KeyID != "k1" {
				f.Errorf("stored: %s with key %q", stored.Args, stored.KeyID)
			}
		}
	},
	"the letter of a failure is encrypted if its task is": func(f *fixture) {
		if _, ok := f.store.(queue.Lifecycle); !ok {
			f.Log("the store is no queue.Lifecycle, which is optional")
			return
		}
		letter := queue.NewTask(deadTask, func(context.Context, queue.Failed) (string, error) { return secret, nil }, queue.Encrypt(true))
		fails := func(context.Context, string) error { return errors.New("no") }
		plain := queue.NewTaskFunc("t", fails, queue.OnFailed(letter), queue.MaxAttempts(1), queue.Encrypt(false))
		large := queue.NewTaskFunc("large", fails, queue.OnFailed(letter), queue.MaxAttempts(1))
		keys := newSealKeys()
		p := f.program(queue.Config{Codec: keys.codec(f, "k1")}, plain, large, letter)
		p.run(p.enqueue("t", "plain").ID)
		p.run(p.enqueue("large", strings.Repeat("x", 600<<10)).ID) // the letter leaves these out
		lost := p.enqueue("t", "plain")
		f.claim(lost.ID, expired, knowing("t"))
		f.promote()
		runs, err := p.exec.Process(f.ctx, 10, queue.From{})
		f.must(err)
		f.equal("letters", len(runs), 3)
		for _, run := range runs {
			f.equal("its task", run.Row.Task, deadTask)
			f.equal("outcome", run.Outcome, queue.OutcomeSucceeded)
			if stored := f.get(run.Row.ID); stored.KeyID != "k1" || bytes.Contains(stored.ReturnValue, []byte(secret)) {
				f.Errorf("stored: %s with key %q", stored.ReturnValue, stored.KeyID)
			}
		}
	},
	"the arguments of a failure are decrypted only for a task that takes them": func(f *fixture) {
		called := false
		task := queue.NewTaskFunc("t", func(context.Context, map[string]any) error { called = true; return nil })
		p := f.program(queue.Config{Codec: newSealKeys().codec(f, "k1")}, echo("victim"), task)
		victim := f.get(p.enqueue("victim", secret).ID)
		args, err := json.Marshal(queue.Failed{ID: victim.ID, Task: victim.Task, Args: victim.Args, KeyID: victim.KeyID})
		f.must(err)
		// As with an INSERT of someone who has no key.
		copied := f.insert(withKey("k1"), func(r *queue.NewRow) { r.Task, r.Args = "t", args })
		run := p.run(copied.ID)
		f.equal("ended", []any{run.Outcome, called}, []any{queue.OutcomeFailed, false})
		row, err := p.Get(f.ctx, copied.ID)
		f.must(err)
		if bytes.Contains(row.Args, []byte(secret)) || !strings.Contains(row.Unreadable, "takes a queue.Failed") {
			f.Errorf("read %s, unreadable: %s", row.Args, row.Unreadable)
		}
	},
	"arguments that look encrypted are the caller's": func(f *fixture) {
		if _, ok := f.store.(queue.Lifecycle); !ok {
			f.Log("the store is no queue.Lifecycle, which is optional")
			return
		}
		var letters []queue.Failed
		letter := queue.NewTaskFunc(deadTask, func(_ context.Context, in queue.Failed) error { letters = append(letters, in); return nil })
		fails := func(context.Context, string) error { return errors.New("no") }
		plain := queue.NewTaskFunc("plain", fails, queue.OnFailed(letter), queue.MaxAttempts(1), queue.Encrypt(false))
		sealed := queue.NewTaskFunc("sealed", fails, queue.OnFailed(letter), queue.MaxAttempts(1))
		p := f.program(queue.Config{Codec: newSealKeys().codec(f, "k1")}, plain, sealed, letter)
		for _, task := range []string{"plain", "sealed"} {
			for _, args := range []string{"claimcheck:1:k1:row:AAAA", "claimcheck:1:k2:row:AAAA", "claimcheck:1:k1:schedule:AAAA"} {
				letters = nil
				id := p.enqueue(task, args).ID
				p.run(id)
				runs, err := p.exec.Process(f.ctx, 10, queue.From{})
				f.must(err)
				f.equal("letters", []int{len(runs), len(letters)}, []int{1, 1})
				f.equal("its arguments", string(letters[0].Args), `"`+args+`"`)
				f.equal("its key", letters[0].KeyID, f.get(id).KeyID)
				for _, id := range []uuid.UUID{id, runs[0].Row.ID} {
					row, err := p.Get(f.ctx, id)
					f.must(err)
					p.Reveal(f.ctx, row) // once more
					if row.ArgsSealed() || row.Unreadable != "" || !strings.Contains(string(row.Args), `"`+args+`"`) {
						f.Errorf("%s: read %s; sealed %t, unreadable: %s", row.Task, row.Args, row.ArgsSealed(), row.Unreadable)
					}
				}
				f.equal("stored, sealed", f.get(id).ArgsSealed(), task == "sealed")
				f.equal("stored letter, sealed", f.get(runs[0].Row.ID).ArgsSealed(), task == "sealed")
			}
		}
	},
}
