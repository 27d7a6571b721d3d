package storetest

import (
	"errors"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// encryptedEnqueuedTests are about what groups and schedules enqueue, encrypted.
var encryptedEnqueuedTests = map[string]func(*fixture){
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
	"deleting a schedule of the code whose key is lacking stores it anew": func(f *fixture) {
		if _, ok := f.store.(queue.Scheduler); !ok {
			f.Log("the store is no queue.Scheduler, which is optional")
			return
		}
		task, keys := echo("t"), newSealKeys()
		every := func(spec string) queue.Definition { return queue.Every("s", spec, task, secret) }
		with := f.program(queue.Config{Codec: keys.codec(f, "k1")}, task, every("@every 1h"))
		f.must(with.StoreSchedules(f.ctx))
		without := f.program(queue.Config{}, task, every("@every 2h"))
		f.must(without.StoreSchedules(f.ctx))
		f.equal("left", f.schedule("s").Spec, "@every 1h")
		others := f.program(queue.Config{Program: "another"}, task)
		for name, p := range map[string]*program{"that has the key": with, "that does not define it": others} {
			if err := p.DeleteSchedule(f.ctx, "s", ""); !errors.Is(err, queue.ErrScheduleInCode) || p.CanDeleteSchedule(f.schedule("s")) {
				f.Errorf("a program %s: %v", name, err)
			}
		}
		f.must(without.DeleteSchedule(f.ctx, "s", ""))
		stored := f.schedule("s")
		f.equal("stored anew", []string{stored.Spec, string(stored.Args)}, []string{"@every 2h", `"` + secret + `"`})
		if err := without.DeleteSchedule(f.ctx, "s", ""); !errors.Is(err, queue.ErrScheduleInCode) {
			f.Errorf("once more: %v", err)
		}
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
