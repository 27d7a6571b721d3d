package storetest

import (
	"bytes"
	"context"
	"errors"
	"strings"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// encryptedTests are about clients that encrypt, on a store.
var encryptedTests = map[string]func(*fixture){
	"arguments and return values are stored encrypted": func(f *fixture) {
		task := echo("t")
		p := f.program(queue.Config{Codec: newSealKeys().codec(f, "k1")}, task)
		handle := p.enqueue("t", secret)
		f.equal("the handle's", string(handle.Row.Args), `"`+secret+`"`)
		f.wantSealed(handle.ID, "k1")
		run := p.run(handle.ID)
		f.equal("the run's", string(run.Row.ReturnValue), `"`+secret+`"`)
		f.wantSealed(handle.ID, "k1")
		row, err := p.Get(f.ctx, handle.ID)
		f.must(err)
		f.equal("read", []string{string(row.Args), string(row.ReturnValue), row.Unreadable}, []string{`"` + secret + `"`, `"` + secret + `"`, ""})
		out, err := task.Result(f.ctx, p.Client, handle.ID)
		f.must(err)
		f.equal("result", out, secret)

		// Pulled, and many in one call.
		_, err = task.EnqueueMany(f.ctx, p.Client, []string{secret, secret})
		f.must(err)
		runs, err := p.exec.Process(f.ctx, 10, queue.From{})
		f.must(err)
		f.equal("runs", len(runs), 2)
		for _, run := range runs {
			f.equal("the run's", string(run.Row.ReturnValue), `"`+secret+`"`)
			f.wantSealed(run.Row.ID, "k1")
		}
	},
	"a worker pulls encrypted rows": func(f *fixture) {
		p := f.program(queue.Config{Codec: newSealKeys().codec(f, "k1")}, echo("t"))
		handle := p.enqueue("t", secret)
		result, err := p.exec.Work(f.ctx, queue.WorkConfig{})
		f.must(err)
		f.equal("result", result, queue.WorkResult{Runs: 1})
		f.equal("status", f.wantSealed(handle.ID, "k1").Status, queue.StatusSuccessful)
	},
	"a program without the key leaves a row, and cannot read it": func(f *fixture) {
		keys, task := newSealKeys(), echo("t")
		with := f.program(queue.Config{Codec: keys.codec(f, "k1")}, task)
		id := with.enqueue("t", secret).ID
		for _, cfg := range []queue.Config{{}, {Codec: keys.codec(f, "k2")}} {
			p := f.program(cfg, task)
			_, err := p.exec.RunByID(f.ctx, id, queue.RunOptions{})
			if !errors.Is(err, queue.ErrUnknownKey) {
				f.Errorf("got %v", err)
			}
			runs, err := p.exec.Process(f.ctx, 10, queue.From{})
			f.must(err)
			f.equal("pulled", len(runs), 0)
			row, err := p.Get(f.ctx, id)
			f.must(err)
			stored := f.get(id)
			f.equal("unreadable", []int{p.Reveal(f.ctx, stored), with.Reveal(f.ctx, f.get(id))}, []int{1, 0})
			if row.Attempts != 0 || row.Status != queue.StatusReady || !strings.Contains(row.Unreadable, "k1") || bytes.Contains(row.Args, []byte(secret)) {
				f.Errorf("%+v", row)
			}
		}
		with.run(id)
		_, err := task.Result(f.ctx, f.client(task), id)
		if !errors.Is(err, queue.ErrUnknownKey) {
			f.Errorf("the result: %v", err)
		}
	},
	"keys are rotated": func(f *fixture) {
		keys, task := newSealKeys(), echo("t")
		old := f.program(queue.Config{Codec: keys.codec(f, "k1")}, task)
		first := old.enqueue("t", secret).ID
		both := f.program(queue.Config{Codec: keys.codec(f, "k2", "k1")}, task)
		second := both.enqueue("t", secret).ID
		f.wantSealed(second, "k2")
		both.run(first)
		f.wantSealed(first, "k1") // its result has the same key, so that one count concerns both
		both.run(second)
		counts, err := both.CountKeys(f.ctx)
		f.must(err)
		f.equal("counts", counts, []queue.KeyCount{{KeyID: "k1", Ended: 1}, {KeyID: "k2", Ended: 1}})
	},
	"rows from before encryption run, and stay as they are": func(f *fixture) {
		task := echo("t")
		id := f.program(queue.Config{}, task).enqueue("t", "plain").ID
		p := f.program(queue.Config{Codec: newSealKeys().codec(f, "k1")}, task)
		p.run(id)
		row := f.get(id)
		f.equal("stored", []string{row.KeyID, string(row.Args), string(row.ReturnValue)}, []string{"", `"plain"`, `"plain"`})
		out, err := task.Result(f.ctx, p.Client, id)
		f.must(err)
		f.equal("result", out, "plain")
	},
	"encrypted rows are found by what they have": func(f *fixture) {
		operator, ok := f.store.(queue.Operator)
		if !ok {
			return
		}
		keys, task := newSealKeys(), echo("t")
		other := f.program(queue.Config{Codec: keys.codec(f, "k2")}, task).enqueue("t", secret)
		plain := f.program(queue.Config{}, task).enqueue("t", secret)
		p := f.program(queue.Config{Codec: keys.codec(f, "k1")}, task)
		p.enqueue("t", "something else")
		sealed := p.enqueue("t", secret)
		p.run(sealed.ID)
		f.wantSealed(sealed.ID, "k1")
		search := queue.ListRequest{Selection: queue.Selection{Text: secret}, Limit: 10, Values: 1000}
		page, err := p.List(f.ctx, search)
		f.must(err)
		f.equal("found", ids(page.Rows), []uuid.UUID{sealed.ID, plain.ID})
		f.equal("unreadable", page.Unreadable, 1)
		f.equal("decrypted", []string{string(page.Rows[0].Args), string(page.Rows[0].ReturnValue)}, []string{`"` + secret + `"`, `"` + secret + `"`})
		search.Hidden = func(string) bool { return true }
		page, err = p.List(f.ctx, search)
		f.must(err)
		f.equal("hidden", []int{len(page.Rows), page.Unreadable}, []int{0, 0})
		both := queue.ActRequest{Action: queue.ActionCancel, Selection: queue.Selection{Text: secret}}
		done, err := p.Act(f.ctx, both, nil)
		f.must(err)
		f.equal("cancelled", done, queue.ActionResult{Done: 1, Unreadable: 1})
		f.equal("not the unreadable one", f.get(other.ID).Status, queue.StatusReady)
		page, err = operator.List(f.ctx, queue.ListRequest{Selection: queue.Selection{Text: secret}, Limit: 10})
		f.must(err)
		f.equal("by the store", ids(page.Rows), []uuid.UUID{plain.ID})
	},
	"a success within the task's own transaction is encrypted": func(f *fixture) {
		task := queue.NewTask("t", func(ctx context.Context, in string) (string, error) {
			tx := f.begin(f.T, f.store)
			if err := queue.CompleteTx(ctx, tx, in); err != nil {
				return "", errors.Join(err, tx.Rollback(ctx))
			}
			return "", tx.Commit(ctx)
		})
		p := f.program(queue.Config{Codec: newSealKeys().codec(f, "k1")}, task)
		tx := f.begin(f.T, f.store)
		var handle *queue.Handle
		f.must(p.InTx(f.ctx, tx, func(q queue.Tx) (err error) {
			handle, err = p.EnqueueTx(f.ctx, q, "t", secret)
			return err
		}))
		f.wantSealed(handle.ID, "k1")
		run := p.run(handle.ID)
		f.equal("run", []any{run.Outcome, string(run.Row.ReturnValue)}, []any{queue.OutcomeSucceeded, `"` + secret + `"`})
		f.wantSealed(handle.ID, "k1")
	},
	"checkpoints and results of steps are encrypted": func(f *fixture) {
		checkpointer, ok := f.store.(queue.Checkpointer)
		if !ok {
			f.Log("the store is no queue.Checkpointer, which is optional")
			return
		}
		steps := 0
		task := queue.NewTask("t", func(ctx context.Context, in string) (string, error) {
			out, err := queue.Step(ctx, "first", func(context.Context) (string, error) { steps++; return in, nil })
			if err != nil {
				return "", err
			}
			at, resumed, err := queue.Checkpoint[string](ctx)
			if err != nil || resumed {
				return out + at, err
			}
			return "", queue.Continue(secret)
		})
		p := f.program(queue.Config{Codec: newSealKeys().codec(f, "k1")}, task)
		id := p.enqueue("t", secret).ID
		p.run(id)
		row := f.claim(id, expired, having("k1"), knowing("t"))
		stored, err := checkpointer.Checkpoint(f.ctx, row.Claim())
		f.must(err)
		if !strings.HasPrefix(string(stored), `"claimcheck:1:k1:row:`) || bytes.Contains(stored, []byte(secret)) {
			f.Errorf("stored %s", stored)
		}
		f.equal("ran", string(p.run(id).Row.ReturnValue), `"`+secret+secret+`"`)
		f.equal("steps", steps, 1)
	},
}
