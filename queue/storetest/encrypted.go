package storetest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

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
	"a repeated id compares what is decrypted": func(f *fixture) {
		keys, task := newSealKeys(), queue.NewTask("t", func(_ context.Context, in map[string]int) (any, error) { return nil, nil }, queue.Keep(0, 0))
		plain, sealed := uuid.New(), uuid.New()
		one, same, other := json.RawMessage(`{"a":1,"b":2}`), json.RawMessage(`{ "b":2, "a":1 }`), json.RawMessage(`{"a":1,"b":3}`)
		f.program(queue.Config{}, task).enqueue("t", one, queue.WithID(plain))
		old := f.program(queue.Config{Codec: keys.codec(f, "k1")}, task)
		old.enqueue("t", one, queue.WithID(sealed))
		rotated := f.program(queue.Config{Codec: keys.codec(f, "k2", "k1")}, task)
		marked := f.program(queue.Config{Codec: keys.codec(f, "k1"), EncryptMarked: true}, task)
		for name, p := range map[string]*program{"the same key": old, "a later key": rotated, "no longer encrypted": marked} {
			for kind, id := range map[string]uuid.UUID{"plain": plain, "sealed": sealed} {
				handle := p.enqueue("t", same, queue.WithID(id))
				f.equal(name+", "+kind, handle.Existed, true)
				f.equal(name+", "+kind+": args", string(handle.Row.Args), string(one))
				if _, err := p.Enqueue(f.ctx, "t", other, queue.WithID(id)); !errors.Is(err, queue.ErrIDConflict) {
					f.Errorf("%s, %s: %v", name, kind, err)
				}
			}
		}
		strange := f.program(queue.Config{Codec: keys.codec(f, "k3")}, task)
		_, err := strange.Enqueue(f.ctx, "t", same, queue.WithID(sealed))
		if !errors.Is(err, queue.ErrIDConflict) || !strings.Contains(err.Error(), "k1, which this program does not have") {
			f.Errorf("with a strange key: %v", err)
		}

		// Without any key.
		_, err = f.program(queue.Config{}, task).Enqueue(f.ctx, "t", same, queue.WithID(sealed))
		var conflict *queue.IDConflictError
		if !errors.As(err, &conflict) || conflict.KeyID != "k1" || !strings.Contains(err.Error(), "k1, which this program does not have") {
			f.Errorf("without keys: %v", err)
		}
		f.equal("its row", conflict.Row.ID, sealed)

		// Once ended, the arguments are dropped, and only a hash is left.
		if _, ok := f.store.(queue.Lifecycle); !ok {
			return
		}
		for kind, id := range map[string]uuid.UUID{"plain": plain, "sealed": sealed} {
			old.run(id)
			for name, p := range map[string]*program{"the same key": old, "a later key": rotated, "no longer encrypted": marked} {
				f.equal(name+", dropped, "+kind, p.enqueue("t", one, queue.WithID(id)).Existed, true)
				if _, err := p.Enqueue(f.ctx, "t", other, queue.WithID(id)); !errors.Is(err, queue.ErrIDConflict) {
					f.Errorf("%s, dropped, %s: %v", name, kind, err)
				}
			}
		}
	},
	"repeats in one call are compared, too": func(f *fixture) {
		p := f.program(queue.Config{Codec: newSealKeys().codec(f, "k1")}, echo("t"))
		id := uuid.New()
		request := func(args string) queue.Request {
			return queue.Request{Task: "t", Args: args, Options: []queue.Option{queue.WithID(id)}}
		}
		handles, err := p.EnqueueMany(f.ctx, request("a"), request("a"))
		f.must(err)
		f.equal("existed", []bool{handles[0].Existed, handles[1].Existed}, []bool{false, true})
		f.equal("args", string(handles[1].Row.Args), `"a"`)
		var refused *queue.RequestError
		id = uuid.New()
		if _, err := p.EnqueueMany(f.ctx, request("a"), request("b")); !errors.Is(err, queue.ErrIDConflict) || !errors.As(err, &refused) || refused.Index != 1 {
			f.Errorf("got %v", err)
		}
	},
	"UniqueArgs is a keyed hash that survives a rotation": func(f *fixture) {
		keys, task := newSealKeys(), echo("t", queue.UniqueArgs())
		old := f.program(queue.Config{Codec: keys.codec(f, "k1")}, task)
		first := old.enqueue("t", secret)
		if !strings.HasPrefix(first.Row.UniqueKey, "hmac-sha256:") {
			f.Errorf("key %s", first.Row.UniqueKey)
		}
		rotated := f.program(queue.Config{Codec: keys.codec(f, "k2", "k1")}, task)
		again := rotated.enqueue("t", secret)
		f.equal("again", []any{again.Existed, again.ID, string(again.Row.Args)}, []any{true, first.ID, `"` + secret + `"`})
		f.equal("another", rotated.enqueue("t", "other").Existed, false)
	},
	"replaced arguments are bound to the row that has them": func(f *fixture) {
		keys, task := newSealKeys(), echo("t")
		first := f.program(queue.Config{Codec: keys.codec(f, "k1")}, task).enqueue("t", "first", queue.Unique("u"))
		p := f.program(queue.Config{Codec: keys.codec(f, "k2", "k1")}, task)
		second := p.enqueue("t", secret, queue.Unique("u", queue.OnConflict(queue.ReplaceExisting)))
		f.equal("replaced", []any{second.ID, second.Existed, string(second.Row.Args)}, []any{first.ID, true, `"` + secret + `"`})
		f.wantSealed(first.ID, "k2")
		f.equal("ran", string(p.run(first.ID).Row.ReturnValue), `"`+secret+`"`)

		_, err := p.Enqueue(f.ctx, "t", "third", queue.Unique("u2"))
		f.must(err)
		var duplicate *queue.DuplicateError
		if _, err := p.Enqueue(f.ctx, "t", "fourth", queue.Unique("u2", queue.OnConflict(queue.RefuseDuplicate))); !errors.As(err, &duplicate) || string(duplicate.Row.Args) != `"third"` {
			f.Errorf("got %v", err)
		}
	},
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
		args, err := json.Marshal(queue.Failed{ID: victim.ID, Task: victim.Task, Args: victim.Args})
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
	"what a group enqueues is encrypted": func(f *fixture) {
		if _, ok := f.store.(queue.Grouper); !ok {
			f.Log("the store is no queue.Grouper, which is optional")
			return
		}
		keys, task := newSealKeys(), echo("t")
		p := f.program(queue.Config{Codec: keys.codec(f, "k1")}, task)
		done := task.Request(secret)
		spec := queue.GroupSpec{ID: uuid.New(), OnSuccess: &done, OnFailure: &done}
		g, err := p.CreateGroup(f.ctx, spec)
		f.must(err)
		if !strings.HasPrefix(string(g.OnSuccess.Args), `"claimcheck:1:k1:row:`) {
			f.Errorf("stored %s", g.OnSuccess.Args)
		}
		rotated := f.program(queue.Config{Codec: keys.codec(f, "k2", "k1")}, task)
		again, err := rotated.CreateGroup(f.ctx, spec)
		f.must(err)
		f.equal("the same again", again.Existed, true)
		for _, codec := range []queue.Codec{keys.codec(f, "k3"), nil} {
			_, err := f.program(queue.Config{Codec: codec}, task).CreateGroup(f.ctx, spec)
			if !errors.Is(err, queue.ErrGroupExists) || !errors.Is(err, queue.ErrUnknownKey) || !strings.Contains(err.Error(), "cannot be compared") {
				f.Errorf("without the key: %v", err)
			}
		}
		count := func(want queue.KeyCount) {
			f.Helper()
			counts, err := rotated.CountKeys(f.ctx)
			f.must(err)
			f.equal("counts", counts, []queue.KeyCount{want})
		}
		count(queue.KeyCount{KeyID: "k1", Groups: 1})
		member := p.enqueue("t", "member", queue.InGroup(g.ID))
		f.must(g.Close(f.ctx))
		count(queue.KeyCount{KeyID: "k1", Live: 1, Groups: 1})
		p.run(member.ID)
		count(queue.KeyCount{KeyID: "k1", Live: 1, Ended: 1}) // neither is enqueued any more
		id := queue.CompletionID(g.ID, true)
		f.wantSealed(id, "k1")
		f.equal("ran", string(p.run(id).Row.ReturnValue), `"`+secret+`"`)
	},
	"a start without the key leaves the code's schedules as they are": func(f *fixture) {
		if _, ok := f.store.(queue.Scheduler); !ok {
			f.Log("the store is no queue.Scheduler, which is optional")
			return
		}
		task, keys := echo("t"), newSealKeys()
		every := queue.Every("s", "@every 1h", task, secret)
		start := func(codec queue.Codec, every queue.Definition, want string) {
			f.Helper()
			f.must(f.program(queue.Config{Codec: codec}, task, every).StoreSchedules(f.ctx))
			if stored := string(f.schedule("s").Args); !strings.HasPrefix(stored, `"claimcheck:1:`+want+`:schedule:`) {
				f.Errorf("stored %s", stored)
			}
		}
		start(keys.codec(f, "k1"), every, "k1")
		start(nil, every, "k1")
		start(keys.codec(f, "k2"), every, "k1")
		start(keys.codec(f, "k2", "k1"), every, "k2")
		start(keys.codec(f, "k3"), queue.Every("s", "@every 2h", task, secret), "k3") // the code has changed
	},
	"schedules are encrypted, and ticked without the key": func(f *fixture) {
		if _, ok := f.store.(queue.Scheduler); !ok {
			f.Log("the store is no queue.Scheduler, which is optional")
			return
		}
		keys, task := newSealKeys(), echo("t")
		p := f.program(queue.Config{Codec: keys.codec(f, "k1")}, task)
		s, _, err := p.PutSchedule(f.ctx, queue.ScheduleRequest{Name: "s", Task: "t", Spec: "@every 1h", Args: secret})
		f.must(err)
		f.equal("returned", []string{string(s.Args), s.KeyID}, []string{`"` + secret + `"`, "k1"})
		stored := func() string { return string(f.schedule("s").Args) }
		if !strings.HasPrefix(stored(), `"claimcheck:1:k1:schedule:`) {
			f.Errorf("stored %s", stored())
		}
		ticker := f.program(queue.Config{}) // it knows neither the task nor the key
		row, enqueued := f.tickDue(ticker.Client, "s", 10*time.Minute)
		f.equal("enqueued", enqueued, 1)
		f.wantSealed(row.ID, "k1")
		f.equal("ran", string(p.run(row.ID).Row.ReturnValue), `"`+secret+`"`)

		// A start with another key for new rows gives it to the schedule.
		rotated := f.program(queue.Config{Codec: keys.codec(f, "k2", "k1")}, task)
		f.must(rotated.StoreSchedules(f.ctx))
		if !strings.HasPrefix(stored(), `"claimcheck:1:k2:schedule:`) {
			f.Errorf("stored %s", stored())
		}
		counts, err := rotated.CountKeys(f.ctx)
		f.must(err)
		f.equal("counts", counts, []queue.KeyCount{{KeyID: "k1", Ended: 1}, {KeyID: "k2", Schedules: 1}})
		s, err = rotated.Schedule(f.ctx, "s")
		f.must(err)
		f.equal("read", string(s.Args), `"`+secret+`"`)
		if s, err = p.Schedule(f.ctx, "s"); err != nil || s.Unreadable == "" {
			f.Errorf("%+v %v", s, err)
		}
	},
}
