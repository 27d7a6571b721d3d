package storetest

import (
	"context"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// allOptions are all options of a schedule.
var allOptions = queue.ScheduleOptions{
	MaxAttempts: 3, Timeout: time.Minute, Keep: &queue.Retention{Successful: time.Hour, Failed: 48 * time.Hour}, ExpiresIn: 90 * time.Minute,
	UniqueKey: `é"\{}`, UniqueScope: queue.UniqueKept, UniqueFor: 2 * time.Hour,
	OnFailed: &queue.DeadLetter{Task: "t.letter", Queue: "letters", Backend: "default", Priority: 7, MaxAttempts: 2, Keep: &queue.Retention{Failed: time.Hour}},
	LimitKey: "tenant",
}

// client is a client of the store with some tasks.
func (f *fixture) client(tasks ...queue.Definition) *queue.Client {
	f.Helper()
	return f.clientOf(queue.Config{}, tasks...)
}

func (f *fixture) clientOf(cfg queue.Config, tasks ...queue.Definition) *queue.Client {
	f.Helper()
	cfg.Store, cfg.Registry, cfg.Logger = f.store, queue.NewRegistry(tasks...), slog.New(slog.DiscardHandler)
	client, err := queue.NewClient(cfg)
	f.must(err)
	return client
}

// ticked has one client store a schedule and another one tick it, and compares its options
// and its task with what is wanted of them.
func (f *fixture) ticked(knows, ticks *queue.Client, name, task string, want queue.ScheduleOptions, more ...queue.Option) {
	f.Helper()
	_, _, err := knows.PutSchedule(f.ctx, queue.ScheduleRequest{Name: name, Task: task, Spec: "@every 1h", Args: name, Options: more})
	f.must(err)
	f.equal(name+": options", f.schedule(name).Options, want)
	row, enqueued := f.tickDue(ticks, name, 10*time.Minute)
	f.equal(name+": enqueued", enqueued, 1)
	f.equal(name, []any{row.Task, row.Queue, row.MaxAttempts, row.Timeout, row.Keep, row.OnFailed, row.UniqueKey, row.UniqueScope, row.LimitKey},
		[]any{task, "q", want.MaxAttempts, want.Timeout, want.Keep, want.OnFailed, want.UniqueKey, want.UniqueScope, want.LimitKey})
	f.equal(name+": expires_at", row.ExpiresAt, row.ScheduledFor.Add(want.ExpiresIn))
	f.equal(name+": holds its key for", row.UniqueUntil.Sub(row.EnqueuedAt), want.UniqueFor)
}

// tickDue makes a schedule due since some time, and ticks.
func (f *fixture) tickDue(client *queue.Client, name string, since time.Duration) (row *queue.Row, enqueued int) {
	f.Helper()
	f.change(name, func(state queue.ScheduleState) *queue.ScheduleChange {
		state.Schedule.NextAt = state.Now.Add(-since).Truncate(time.Second)
		return &queue.ScheduleChange{Schedule: state.Schedule}
	})
	ticked, err := client.Tick(f.ctx, 0)
	f.must(err)
	last := f.occurrences(name)[0]
	if last.TaskID == uuid.Nil {
		return nil, ticked.Enqueued
	}
	return f.get(last.TaskID), ticked.Enqueued
}

// scheduleOptionTests are about options of schedules and what becomes of them.
var scheduleOptionTests = map[string]func(*fixture){
	"they are read as they were stored": func(f *fixture) {
		f.put("s", time.Hour, func(s *queue.Schedule) { s.Options = allOptions })
		f.equal("options", f.schedule("s").Options, allOptions)
		state := f.change("s", func(queue.ScheduleState) *queue.ScheduleChange { return nil })
		f.equal("options of the state", state.Schedule.Options, allOptions)
		f.put("s", time.Hour, func(s *queue.Schedule) { s.Options = queue.ScheduleOptions{} })
		f.equal("none", f.schedule("s").Options, queue.ScheduleOptions{})
	},
	// Also one that does not know the task, or does not serve its queue. The options are the
	// schedule's or the task's.
	"every program that ticks applies them": func(f *fixture) {
		if _, ok := f.store.(queue.Lifecycle); !ok {
			f.Log("the store is no queue.Lifecycle")
			return
		}
		letter := queue.NewTaskFunc("t.letter", func(context.Context, queue.Failed) error { return nil }, queue.OnQueue("letters"), queue.Priority(7), queue.MaxAttempts(2), queue.Keep(0, time.Hour))
		all := func(key queue.Option) []queue.Option {
			return []queue.Option{
				queue.MaxAttempts(3), queue.Keep(time.Hour, 48*time.Hour), queue.ExpiresIn(90 * time.Minute), queue.OnFailed(letter),
				queue.LimitKey(func(string) string { return "tenant" }), queue.OnQueue("q"), key,
			}
		}
		work := func(context.Context, string) error { return nil }
		bare := queue.NewTaskFunc(taskName, work, queue.ExpiresIn(time.Second), queue.Keep(time.Minute, time.Minute))
		full := queue.NewTaskFunc("t.full", work, all(queue.UniqueBy(func(in string) string { return in }, queue.UniqueFor(2*time.Hour)))...)
		knows := f.client(bare, full, letter)
		others := map[string]*queue.Client{
			"knows_the_task": knows, "does_not": f.client(letter), "has_another_version": f.client(queue.Declare[int, any]("t.full"), queue.Declare[int, any](taskName)),
			"serves_another_queue": f.clientOf(queue.Config{Queues: []string{"letters"}}, bare, full, letter),
		}
		for name, client := range others {
			want := allOptions
			want.UniqueKey += name
			own := append(all(queue.Unique(want.UniqueKey, queue.UniqueFor(2*time.Hour))), queue.Timeout(time.Minute))
			f.ticked(knows, client, name+".own", taskName, want, own...)
			want.UniqueKey, want.Timeout = name+".task", 0
			f.ticked(knows, client, name+".task", "t.full", want)
		}
	},
	"a task that has expired before the first tick is not enqueued": func(f *fixture) {
		if _, ok := f.store.(queue.Lifecycle); !ok {
			f.Log("the store is no queue.Lifecycle")
			return
		}
		client := f.client(queue.NewTaskFunc(taskName, func(context.Context, int) error { return nil }))
		_, _, err := client.PutSchedule(f.ctx, queue.ScheduleRequest{Name: "s", Task: taskName, Spec: "@every 1h", Args: 1, Options: []queue.Option{queue.ExpiresIn(time.Minute)}})
		f.must(err)
		row, enqueued := f.tickDue(client, "s", 2*time.Minute)
		f.equal("enqueued", []any{row, enqueued}, []any{(*queue.Row)(nil), 0})
		f.equal("skipped", f.occurrences("s")[0].Skipped, queue.SkippedExpired)
	},
	"an occurrence whose key another row holds is skipped, and names that row": func(f *fixture) {
		task := queue.NewTaskFunc(taskName, func(context.Context, int) error { return nil })
		client := f.client(task)
		_, _, err := client.PutSchedule(f.ctx, queue.ScheduleRequest{Name: "s", Task: taskName, Spec: "@every 1s", CatchUp: queue.CatchUpAll, Args: 1, Options: []queue.Option{queue.Unique("k")}})
		f.must(err)
		own, err := client.RunSchedule(f.ctx, "s", "")
		f.must(err)
		f.finish(f.claim(own.ID, lease).Claim())
		before := f.schedule("s")
		f.equal("last", []any{before.LastTaskID, before.Made}, []any{own.ID, int64(1)})
		holder := f.isNew(keyed("k"))
		_, enqueued := f.tickDue(client, "s", 3*time.Second)
		f.equal("enqueued", enqueued, 0)
		handle, err := client.RunSchedule(f.ctx, "s", "")
		f.must(err)
		f.equal("run now", []any{handle.ID, handle.Existed}, []any{holder.ID, true})
		f.finish(f.claim(holder.ID, lease).Claim())
		history := f.occurrences("s")
		skipped := 0
		for _, o := range history {
			if o.TaskID != own.ID {
				skipped++
				f.equal("skipped", o, queue.Occurrence{ScheduledFor: o.ScheduledFor, TaskID: holder.ID, Skipped: queue.SkippedKey})
			}
		}
		f.between("those of the tick, and that of the run", time.Duration(skipped), 2, 10)
		after := f.schedule("s")
		f.equal("last is unchanged", []any{after.LastAt, after.LastTaskID, after.Made}, []any{before.LastAt, own.ID, int64(1)})
		f.must(client.DeleteSchedule(f.ctx, "s", ""))
		f.equal("after the schedule was deleted", f.get(holder.ID).Status, queue.StatusSuccessful)
	},
	"several occurrences of one key are one row": func(f *fixture) {
		task := queue.NewTaskFunc(taskName, func(context.Context, int) error { return nil })
		client := f.client(task)
		_, _, err := client.PutSchedule(f.ctx, queue.ScheduleRequest{Name: "s", Task: taskName, Spec: "@every 1s", CatchUp: queue.CatchUpAll, Args: 1, Options: []queue.Option{queue.UniqueArgs()}})
		f.must(err)
		row, enqueued := f.tickDue(client, "s", 5*time.Second)
		f.equal("enqueued", enqueued, 1)
		history := f.occurrences("s")
		first := history[len(history)-1]
		for _, o := range history {
			want := queue.SkippedKey
			if o.ScheduledFor.Equal(row.ScheduledFor) {
				want = ""
			}
			f.equal(o.ScheduledFor.String(), []any{o.TaskID, o.Skipped}, []any{row.ID, want})
		}
		last := f.schedule("s")
		f.equal("last", []any{last.LastAt, last.LastTaskID, last.Made}, []any{first.ScheduledFor, row.ID, int64(1)})
	},
	"a task of another that holds the key of occurrences is no unfinished task of the schedule": func(f *fixture) {
		f.put("s", -time.Hour, func(s *queue.Schedule) { s.Overlap = queue.OverlapSkip })
		holder := f.isNew(keyed("k"))
		skip := func(from, n int) bool {
			return f.change("s", func(state queue.ScheduleState) *queue.ScheduleChange {
				change := &queue.ScheduleChange{Schedule: state.Schedule}
				for i := range n {
					row := occurrence(state.Schedule, state.Schedule.NextAt.Add(time.Duration(from+i)*time.Second))
					row.UniqueKey, row.UniqueScope = "k", queue.UniqueUnfinished
					change.Rows = append(change.Rows, row)
					change.Schedule.Made++
				}
				return change
			}).Unfinished
		}
		skip(0, queue.OccurrencesKept)
		f.equal("unfinished", skip(1000, 2), false)
		list := f.occurrences("s")
		f.equal("remembered", []any{len(list), list[0].TaskID, list[0].Skipped}, []any{queue.OccurrencesKept + 1, holder.ID, queue.SkippedKey})
		f.equal("made", f.schedule("s").Made, int64(0))
	},
	"what holds the key of an occurrence that is ahead is not cancelled with it": func(f *fixture) {
		f.put("s", -time.Minute)
		holder := f.isNew(keyed("k"))
		for i := range 2 { // of the schedule's own rows, that of another time
			var row *queue.NewRow
			f.change("s", func(state queue.ScheduleState) *queue.ScheduleChange {
				s := *state.Schedule
				at := state.Now.Add(time.Hour + time.Duration(i)*time.Minute).Truncate(time.Second)
				row = occurrence(&s, at)
				row.RunAfter, row.UniqueScope = at, queue.UniqueUnfinished
				row.UniqueKey = []string{"k", "own"}[i]
				return &queue.ScheduleChange{Schedule: &s, Rows: []*queue.NewRow{row}}
			})
			if i == 0 {
				f.equal("existed", []any{row.Existed, row.ID}, []any{true, holder.ID})
				continue
			}
			state := f.change("s", func(state queue.ScheduleState) *queue.ScheduleChange { return nil })
			f.equal("ahead", []any{len(state.Ahead), state.Ahead[0].Waiting, state.Ahead[1].Waiting, state.Ahead[1].TaskID}, []any{2, false, true, row.ID})
		}
	},
}
