package storetest

import (
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// scheduleTests are about a queue.Scheduler.
var scheduleTests = map[string]func(*fixture){
	"what was stored is read": func(f *fixture) {
		want := f.put("b", time.Hour)
		all := f.put("a.all-of_it", time.Minute, func(s *queue.Schedule) {
			s.PausedAt, s.PausedBy, s.Program, s.Definition, s.RemovedAt = s.CreatedAt, "ann", "server", "hash", s.CreatedAt.Add(time.Second)
			s.LastAt, s.LastTaskID, s.Made, s.NextAt = s.CreatedAt.Add(-time.Hour), uuid.New(), 7, time.Time{}
			s.CatchUp, s.Overlap, s.Options, s.Args = queue.CatchUpAll, queue.OverlapSkip, queue.ScheduleOptions{}, json.RawMessage(`[1]`)
		})
		got, err := f.scheduler().Schedules(f.ctx)
		f.must(err)
		f.equal("schedules", got, []*queue.Schedule{all, want})
		f.equal("occurrences", f.occurrences("b"), []queue.Occurrence(nil))
	},
	"one that does not exist has no state": func(f *fixture) {
		state := f.change("x", func(queue.ScheduleState) *queue.ScheduleChange { return nil })
		if state.Schedule != nil || state.Now.IsZero() {
			f.Errorf("%+v", state)
		}
		f.equal("schedule", f.schedule("x"), (*queue.Schedule)(nil))
	},
	"an error of the change undoes nothing and is returned": func(f *fixture) {
		f.put("s", 0)
		before, wrong := f.schedule("s"), errors.New("wrong")
		err := f.scheduler().ChangeSchedule(f.ctx, "s", func(queue.ScheduleState) (*queue.ScheduleChange, error) { return nil, wrong })
		if !errors.Is(err, wrong) {
			f.Errorf("%v", err)
		}
		f.equal("schedule", f.schedule("s"), before)
	},
	"schedules are due at their time, and before by what is ahead": func(f *fixture) {
		f.put("late", -time.Hour)
		f.put("now", -time.Second)
		f.put("soon", 30*time.Second)
		f.put("later", time.Hour)
		f.put("never", 0, func(s *queue.Schedule) { s.NextAt = time.Time{} })
		for _, c := range []struct {
			ahead time.Duration
			limit int
			want  []string
			least time.Duration
			most  time.Duration
		}{
			{0, 10, []string{"late", "now"}, time.Second, 30 * time.Second},
			{time.Minute, 10, []string{"late", "now", "soon"}, 59 * time.Minute, time.Hour},
			{2 * time.Hour, 10, []string{"late", "now", "soon", "later"}, 0, 0},
			{0, 1, []string{"late"}, time.Microsecond, time.Microsecond},
		} {
			names, next, err := f.scheduler().DueSchedules(f.ctx, c.ahead, c.limit)
			f.must(err)
			f.equal("due", names, c.want)
			f.between("next", next, c.least, c.most)
		}
	},
	"a promotion says when the next schedule is due": func(f *fixture) {
		f.equal("none", f.promote().NextTick, time.Duration(0))
		f.put("never", 0, func(s *queue.Schedule) { s.NextAt = time.Time{} })
		f.equal("paused", f.promote().NextTick, time.Duration(0))
		f.put("soon", time.Minute)
		f.between("soon", f.promote().NextTick, 30*time.Second, time.Minute)
		f.put("due", -time.Minute)
		p := f.promote()
		f.equal("due", p.NextTick, time.Microsecond)
		f.equal("of tasks", p.Next, time.Duration(0))
	},
	"an occurrence and its task are stored together": func(f *fixture) {
		f.put("s", -time.Minute)
		row, _ := f.enqueueOccurrence("s", next)
		stored := f.get(row.ID)
		f.equal("row", row.Row, stored)
		f.equal("schedule of the row", stored.Schedule, "s")
		f.equal("time of the row", stored.ScheduledFor, row.ScheduledFor)
		f.equal("history", f.occurrences("s"), []queue.Occurrence{{ScheduledFor: row.ScheduledFor, TaskID: row.ID, Status: queue.StatusReady, EnqueuedAt: stored.EnqueuedAt}})
		got := f.schedule("s")
		f.equal("last", []any{got.LastAt, got.LastTaskID, got.LastStatus, got.Made}, []any{row.ScheduledFor, row.ID, queue.StatusReady, int64(1)})
		claim := f.claim(row.ID, lease)
		f.fail(claim.Claim())
		history := f.occurrences("s")
		f.equal("status", history[0].Status, queue.StatusFailed)
		if history[0].ErrorText == "" || history[0].FinishedAt.IsZero() || history[0].StartedAt.IsZero() {
			f.Errorf("%+v", history[0])
		}
	},
	"each occurrence is stored once, also after a purge": func(f *fixture) {
		f.put("s", -time.Minute)
		row, _ := f.enqueueOccurrence("s", next)
		at := row.ScheduledFor
		f.finish(f.claim(row.ID, lease).Claim())
		if f.operator != nil {
			result, err := f.operator.Purge(f.ctx, queue.PurgeRequest{Statuses: []queue.Status{queue.StatusSuccessful}, Limit: 10})
			f.must(err)
			f.equal("purged", result.Deleted, 1)
		}
		again, _ := f.enqueueOccurrence("s", func(queue.ScheduleState) time.Time { return at })
		f.equal("ID", again.ID, uuid.Nil)
		history := f.occurrences("s")
		f.equal("occurrences", len(history), 1)
		f.equal("task", history[0].TaskID, row.ID)
	},
	"several at once, some of which exist": func(f *fixture) {
		s := f.put("s", -time.Hour)
		first, _ := f.enqueueOccurrence("s", next)
		var rows []*queue.NewRow
		f.change("s", func(state queue.ScheduleState) *queue.ScheduleChange {
			rows = nil
			for i := range 3 {
				rows = append(rows, occurrence(s, first.ScheduledFor.Add(time.Duration(i)*time.Second)))
			}
			return &queue.ScheduleChange{
				Schedule: state.Schedule, Rows: rows,
				Skipped: []queue.Occurrence{{ScheduledFor: first.ScheduledFor.Add(-time.Second), Skipped: queue.SkippedMissed}},
			}
		})
		f.equal("the one that exists", rows[0].ID, uuid.Nil)
		var got []queue.Occurrence
		for _, o := range f.occurrences("s") {
			got = append(got, queue.Occurrence{ScheduledFor: o.ScheduledFor, TaskID: o.TaskID, Skipped: o.Skipped})
		}
		f.equal("occurrences", got, []queue.Occurrence{
			{ScheduledFor: rows[2].ScheduledFor, TaskID: rows[2].ID}, {ScheduledFor: rows[1].ScheduledFor, TaskID: rows[1].ID},
			{ScheduledFor: first.ScheduledFor, TaskID: first.ID}, {ScheduledFor: first.ScheduledFor.Add(-time.Second), Skipped: queue.SkippedMissed},
		})
	},
	"unfinished tasks are known where they matter": func(f *fixture) {
		f.put("s", -time.Minute, func(s *queue.Schedule) { s.Overlap = queue.OverlapSkip })
		f.put("other", -time.Minute)
		look := func(name string) bool {
			return f.change(name, func(queue.ScheduleState) *queue.ScheduleChange { return nil }).Unfinished
		}
		f.equal("none yet", look("s"), false)
		row, _ := f.enqueueOccurrence("s", next)
		f.equal("READY", look("s"), true)
		f.equal("other", look("other"), false)
		claim := f.claim(row.ID, lease)
		f.equal("RUNNING", look("s"), true)
		f.finish(claim.Claim())
		f.equal("SUCCESSFUL", look("s"), false)
	},
	"a task that has not ended is known however many occurrences it outlasts": func(f *fixture) {
		f.put("s", -time.Hour, func(s *queue.Schedule) { s.Overlap = queue.OverlapSkip })
		row, _ := f.enqueueOccurrence("s", next)
		skip := func(from, n int) bool {
			return f.change("s", func(state queue.ScheduleState) *queue.ScheduleChange {
				change := &queue.ScheduleChange{Schedule: state.Schedule}
				for i := range n {
					change.Skipped = append(change.Skipped, queue.Occurrence{ScheduledFor: row.ScheduledFor.Add(time.Duration(from+i) * time.Second), Skipped: queue.SkippedOverlap})
				}
				return change
			}).Unfinished
		}
		skip(1, queue.OccurrencesKept+50)
		f.equal("unfinished", skip(1000, 1), true)
		list := f.occurrences("s")
		f.equal("remembered", []any{len(list), list[len(list)-1].TaskID}, []any{queue.OccurrencesKept + 2, row.ID})
		f.finish(f.claim(row.ID, lease).Claim())
		f.equal("unfinished after its end", skip(1001, 1), false)
		list = f.occurrences("s")
		f.equal("remembered after its end", []any{len(list), list[len(list)-1].TaskID}, []any{queue.OccurrencesKept + 1, uuid.Nil})
	},
	"what was enqueued ahead is cancelled while it waits": func(f *fixture) {
		f.put("s", -time.Minute)
		last, state := f.enqueueOccurrence("s", next)
		f.equal("ahead of none", state.Ahead, []queue.Occurrence(nil))
		ahead, _ := f.enqueueOccurrence("s", func(s queue.ScheduleState) time.Time { return s.Now.Add(time.Hour).Truncate(time.Second) })
		state = f.change("s", func(state queue.ScheduleState) *queue.ScheduleChange {
			s := *state.Schedule
			s.NextAt = ahead.ScheduledFor
			return &queue.ScheduleChange{Schedule: &s, Cancel: state.Ahead}
		})
		f.equal("ahead", state.Ahead, []queue.Occurrence{{ScheduledFor: ahead.ScheduledFor, TaskID: ahead.ID, Waiting: true}})
		f.equal("last", state.Last, queue.Occurrence{ScheduledFor: last.ScheduledFor, TaskID: last.ID})
		f.equal("status", f.get(ahead.ID).Status, queue.StatusCancelled)
		f.equal("the earlier one", f.get(last.ID).Status, queue.StatusReady)
		f.equal("occurrences", len(f.occurrences("s")), 1)
		again, _ := f.enqueueOccurrence("s", next)
		f.equal("made again for", again.ScheduledFor, ahead.ScheduledFor)
		f.equal("status", f.get(again.ID).Status, queue.StatusReady)
	},
	"what has begun ahead of its time is not waiting": func(f *fixture) {
		f.put("s", time.Second)
		row, _ := f.enqueueOccurrence("s", next)
		f.claim(row.ID, lease, func(r *queue.ClaimRequest) { r.Early = time.Hour })
		state := f.change("s", func(queue.ScheduleState) *queue.ScheduleChange { return nil })
		for _, o := range state.Ahead { // none if a second has passed
			f.equal("waiting", o.Waiting, false)
		}
	},
	"deleting forgets the occurrences, and keeps the tasks": func(f *fixture) {
		f.put("s", -time.Minute)
		f.put("t", -time.Minute)
		row, _ := f.enqueueOccurrence("s", next)
		f.enqueueOccurrence("t", next)
		f.change("s", func(queue.ScheduleState) *queue.ScheduleChange { return &queue.ScheduleChange{} })
		f.equal("schedule", f.schedule("s"), (*queue.Schedule)(nil))
		f.equal("occurrences", f.occurrences("s"), []queue.Occurrence(nil))
		f.equal("of the other", len(f.occurrences("t")), 1)
		f.equal("task", f.get(row.ID).Status, queue.StatusReady)
		f.put("s", 0)
	},
	"old occurrences are forgotten": func(f *fixture) {
		s := f.put("s", -time.Hour)
		const batch = 60
		for made := 0; made < queue.OccurrencesKept+3*batch; made += batch {
			f.change("s", func(state queue.ScheduleState) *queue.ScheduleChange {
				change := &queue.ScheduleChange{Schedule: state.Schedule}
				for i := range batch {
					change.Rows = append(change.Rows, occurrence(s, s.NextAt.Add(time.Duration(made+i)*time.Second)))
				}
				change.Schedule.Made += batch
				return change
			})
		}
		list := f.occurrences("s")
		f.between("kept", time.Duration(len(list)), queue.OccurrencesKept, queue.OccurrencesKept+2*batch)
		f.equal("the latest", list[0].ScheduledFor, s.NextAt.Add(time.Duration(queue.OccurrencesKept+3*batch-1)*time.Second))
	},
	"two ticks at once make each occurrence once": func(f *fixture) {
		f.put("s", -time.Hour)
		other := f.store
		if f.second != nil {
			other = f.second(f.T, f.store)
		}
		second, ok := other.(queue.Scheduler)
		if !ok {
			f.Fatal("the second store is no queue.Scheduler")
		}
		var mu sync.Mutex
		made := make(map[time.Time]int)
		var group sync.WaitGroup
		for i := range 6 {
			store := f.scheduler()
			if i%2 == 1 {
				store = second
			}
			group.Go(func() {
				for range 20 {
					var row *queue.NewRow
					err := store.ChangeSchedule(f.ctx, "s", func(state queue.ScheduleState) (*queue.ScheduleChange, error) {
						s := *state.Schedule
						row = occurrence(&s, s.NextAt)
						s.NextAt = s.NextAt.Add(time.Second)
						return &queue.ScheduleChange{Schedule: &s, Rows: []*queue.NewRow{row}}, nil
					})
					switch {
					case errors.Is(err, queue.ErrUnavailable): // locked by another, or aborted because of it
					case err != nil:
						f.Errorf("ChangeSchedule: %v", err)
						return
					case row.ID == uuid.Nil:
						f.Errorf("%s existed", row.ScheduledFor)
					default:
						mu.Lock()
						made[row.ScheduledFor]++
						mu.Unlock()
					}
				}
			})
		}
		group.Wait()
		history := f.occurrences("s")
		f.equal("occurrences", len(history), len(made))
		for at, n := range made {
			f.equal(at.String(), n, 1)
		}
		for i := 1; i < len(history); i++ {
			f.equal("distance", history[i-1].ScheduledFor.Sub(history[i].ScheduledFor), time.Second)
		}
	},
	"a tick that stalls keeps nobody waiting, and finds what was done meanwhile": func(f *fixture) {
		if f.oneWriter { // where a transaction has the whole database
			f.Log("one transaction at a time")
			return
		}
		f.put("s", -time.Hour)
		f.put("t", -time.Hour)
		stalled, goOn, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
		go func() {
			once := sync.OnceFunc(func() { close(stalled) })
			ended <- f.scheduler().ChangeSchedule(f.ctx, "s", func(state queue.ScheduleState) (*queue.ScheduleChange, error) {
				once()
				<-goOn
				s := *state.Schedule
				s.NextAt = s.NextAt.Add(time.Second)
				return &queue.ScheduleChange{Schedule: &s}, nil
			})
		}()
		<-stalled
		err := f.scheduler().ChangeSchedule(f.ctx, "s", func(queue.ScheduleState) (*queue.ScheduleChange, error) {
			f.Error("a locked schedule was changed")
			return nil, nil //nolint:nilnil // no change
		})
		if !errors.Is(err, queue.ErrLocked) {
			f.Errorf("locked: %v", err)
		}
		f.enqueueOccurrence("t", next)
		_, err = f.scheduler().Schedules(f.ctx)
		f.must(err)
		f.promote()
		close(goOn)
		f.must(<-ended)
	},
	"a change that does not commit leaves nothing": func(f *fixture) {
		f.put("s", -time.Minute)
		before := f.schedule("s")
		taken := f.insert(args(`"another"`))
		err := f.scheduler().ChangeSchedule(f.ctx, "s", func(state queue.ScheduleState) (*queue.ScheduleChange, error) {
			s := *state.Schedule
			row := occurrence(&s, s.NextAt)
			row.ID = taken.ID
			s.NextAt = s.NextAt.Add(time.Hour)
			return &queue.ScheduleChange{Schedule: &s, Rows: []*queue.NewRow{row}}, nil
		})
		if !errors.Is(err, queue.ErrIDConflict) {
			f.Errorf("%v", err)
		}
		f.equal("schedule", f.schedule("s"), before)
		f.equal("occurrences", f.occurrences("s"), []queue.Occurrence(nil))
	},
	"two that make the same schedule": func(f *fixture) {
		var group sync.WaitGroup
		for i := range 4 {
			group.Go(func() {
				for {
					err := f.scheduler().ChangeSchedule(f.ctx, "s", func(state queue.ScheduleState) (*queue.ScheduleChange, error) {
						s := queue.Schedule{
							Name: "s", Task: taskName, Spec: "@daily", Zone: "UTC", Args: json.RawMessage(`1`), Queue: "q", Backend: "default", CatchUp: queue.CatchUpOne,
							Overlap: queue.OverlapAllow, AnchoredAt: state.Now, CreatedAt: state.Now, ChangedAt: state.Now, Priority: i,
						}
						if state.Schedule != nil {
							s.Made = state.Schedule.Made + 1
						}
						return &queue.ScheduleChange{Schedule: &s}, nil
					})
					if errors.Is(err, queue.ErrUnavailable) { // locked
						continue
					}
					if err != nil {
						f.Errorf("ChangeSchedule: %v", err)
					}
					return
				}
			})
		}
		group.Wait()
		f.equal("changes", f.schedule("s").Made, int64(3))
	},
}
