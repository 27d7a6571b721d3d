package queue_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// noted is a task that notes the occurrences for which it runs.
func noted(seen chan<- queue.Info) *queue.Task[string, string] {
	return queue.NewTask("t.noted", func(ctx context.Context, in string) (string, error) {
		info, _ := queue.InfoFrom(ctx)
		seen <- info
		return in, nil
	})
}

func (s *system) tick(ahead time.Duration) int {
	s.t.Helper()
	ticked, err := s.client.Tick(s.t.Context(), ahead)
	if err != nil {
		s.t.Fatalf("Tick: %v", err)
	}
	return ticked.Enqueued
}

func (s *system) schedule(name string) *queue.Schedule {
	s.t.Helper()
	schedule, err := s.client.Schedule(s.t.Context(), name)
	if err != nil {
		s.t.Fatalf("Schedule: %v", err)
	}
	return schedule
}

// times are those of the occurrences of a schedule, oldest first, as hour:minute, with why
// they were skipped.
func (s *system) times(name string) (list []string) {
	s.t.Helper()
	occurrences, err := s.client.Occurrences(s.t.Context(), name, 2000)
	if err != nil {
		s.t.Fatal(err)
	}
	for i := range occurrences {
		o := occurrences[len(occurrences)-1-i]
		text := o.ScheduledFor.Format("15:04")
		if o.Skipped != "" {
			text += " " + string(o.Skipped)
		}
		list = append(list, text)
	}
	return list
}

func (s *system) put(r queue.ScheduleRequest) *queue.Schedule {
	s.t.Helper()
	if r.Task == "" {
		r.Task = "t.noted"
	}
	if r.Args == nil {
		r.Args = "x"
	}
	schedule, _, err := s.client.PutSchedule(s.t.Context(), r)
	if err != nil {
		s.t.Fatalf("PutSchedule: %v", err)
	}
	return schedule
}

// bubble runs a test in a bubble whose clock stands at midnight.
func bubble(t *testing.T, test func(t *testing.T, s *system, seen chan queue.Info)) {
	synctest.Test(t, func(t *testing.T) {
		seen := make(chan queue.Info, 100_000)
		test(t, newSystem(t, setup{}, noted(seen)), seen)
	})
}

func wantEqual(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func TestTickEnqueuesEachOccurrenceOnce(t *testing.T) {
	bubble(t, func(t *testing.T, s *system, _ chan queue.Info) {
		s.put(queue.ScheduleRequest{Name: "hourly", Spec: "15 * * * *"})
		for range 60 * 5 {
			s.tick(0)
			s.tick(0)
			time.Sleep(time.Minute)
		}
		wantEqual(t, "times", s.times("hourly"), []string{"00:15", "01:15", "02:15", "03:15", "04:15"})
		schedule := s.schedule("hourly")
		row := s.row(schedule.LastTaskID)
		wantEqual(t, "row", []any{row.Schedule, row.ScheduledFor.Format("15:04"), string(row.Args), row.RunAfter.IsZero()}, []any{"hourly", "04:15", `"x"`, true})
		wantEqual(t, "next", schedule.NextAt.Format("15:04"), "05:15")
		wantEqual(t, "made", schedule.Made, int64(5))
	})
}

func TestCatchUp(t *testing.T) {
	for _, c := range []struct {
		catchUp queue.CatchUp
		overlap queue.Overlap
		down    time.Duration // since 00:00
		want    []string
	}{
		{queue.CatchUpOne, queue.OverlapAllow, 62 * time.Minute, []string{"01:00"}},
		{queue.CatchUpOne, queue.OverlapAllow, 250 * time.Minute, []string{"01:00 missed", "04:00"}},
		{queue.CatchUpSkip, queue.OverlapAllow, 62 * time.Minute, []string{"01:00"}},
		{queue.CatchUpSkip, queue.OverlapAllow, 242 * time.Minute, []string{"01:00 missed", "04:00"}},
		{queue.CatchUpSkip, queue.OverlapAllow, 250 * time.Minute, []string{"01:00 missed", "04:00"}}, // ten minutes late
		{queue.CatchUpSkip, queue.OverlapAllow, 251 * time.Minute, []string{"01:00 missed", "04:00 missed"}},
		{queue.CatchUpAll, queue.OverlapAllow, 251 * time.Minute, []string{"01:00", "02:00", "03:00", "04:00"}},
		{queue.CatchUpAll, queue.OverlapSkip, 251 * time.Minute, []string{"01:00 missed", "04:00"}},
	} {
		t.Run(fmt.Sprint(c.catchUp, c.overlap, c.down), func(t *testing.T) {
			bubble(t, func(t *testing.T, s *system, _ chan queue.Info) {
				s.put(queue.ScheduleRequest{Name: "s", Spec: "0 * * * *", CatchUp: c.catchUp, Overlap: c.overlap})
				time.Sleep(c.down)
				s.tick(0)
				s.tick(0)
				wantEqual(t, "times", s.times("s"), c.want)
				wantEqual(t, "next", s.schedule("s").NextAt.After(time.Now()), true)
			})
		})
	}
}

// A long time without a tick costs neither a long transaction nor an endless queue.
func TestCatchUpAllIsBounded(t *testing.T) {
	bubble(t, func(t *testing.T, s *system, _ chan queue.Info) {
		s.put(queue.ScheduleRequest{Name: "s", Spec: "@every 1s", CatchUp: queue.CatchUpAll})
		time.Sleep(100 * time.Hour)
		wantEqual(t, "enqueued", s.tick(0), queue.CatchUpLimit)
		wantEqual(t, "later", s.tick(0), 0)
		occurrences, err := s.client.Occurrences(t.Context(), "s", 1)
		if err != nil || !occurrences[0].ScheduledFor.Equal(time.Now()) {
			t.Errorf("the latest is not the last: %v %v", occurrences, err)
		}
		time.Sleep(3 * time.Second)
		wantEqual(t, "enqueued then", s.tick(0), 3)
	})
}

func TestOverlapSkip(t *testing.T) {
	bubble(t, func(t *testing.T, s *system, _ chan queue.Info) {
		s.put(queue.ScheduleRequest{Name: "s", Spec: "@every 1h", Overlap: queue.OverlapSkip})
		time.Sleep(time.Hour)
		wantEqual(t, "first", s.tick(time.Minute), 1)
		time.Sleep(time.Hour)
		wantEqual(t, "while it waits", s.tick(time.Minute), 0)
		s.run(s.schedule("s").LastTaskID)
		time.Sleep(time.Hour)
		wantEqual(t, "after it", s.tick(time.Minute), 1)
		wantEqual(t, "times", s.times("s"), []string{"01:00", "02:00 overlap", "03:00"})
		s.run(s.schedule("s").LastTaskID)
		time.Sleep(59*time.Minute + 30*time.Second)
		wantEqual(t, "ahead, as none is unfinished", s.tick(time.Minute), 1)
	})
}

func TestTickAhead(t *testing.T) {
	bubble(t, func(t *testing.T, s *system, _ chan queue.Info) {
		s.put(queue.ScheduleRequest{Name: "minute", Spec: "* * * * *"})
		s.put(queue.ScheduleRequest{Name: "often", Spec: "@every 10s"})
		s.put(queue.ScheduleRequest{Name: "hourly", Spec: "0 * * * *"})
		wantEqual(t, "ahead", s.tick(10*time.Minute), 1)
		wantEqual(t, "again", s.tick(10*time.Minute), 0)
		row := s.row(s.schedule("minute").LastTaskID)
		wantEqual(t, "run_after", row.RunAfter, row.ScheduledFor)
		wantEqual(t, "time", row.ScheduledFor.Format("15:04"), "00:01")
		if _, err := s.client.Tick(t.Context(), -time.Second); !errors.Is(err, queue.ErrInvalid) {
			t.Errorf("negative: %v", err)
		}
		if _, err := s.client.Tick(t.Context(), 2*time.Hour); !errors.Is(err, queue.ErrInvalid) {
			t.Errorf("too far: %v", err)
		}
		time.Sleep(time.Minute)
		wantEqual(t, "a minute later", s.tick(time.Minute), 2) // the latest of @every 10s, and the next minute
		wantEqual(t, "minutes", s.times("minute"), []string{"00:01", "00:02"})
	})
}

// What was enqueued ahead of its time does not run after a pause, a change or a
// deletion, and its time is not lost.
func TestWhatIsAheadIsCancelled(t *testing.T) {
	for name, change := range map[string]struct {
		do   func(t *testing.T, s *system)
		then []string // after the next hours
	}{
		"pause": {func(t *testing.T, s *system) {
			if _, err := s.client.PauseSchedule(t.Context(), "s", "ann"); err != nil {
				t.Fatal(err)
			}
		}, nil},
		"pause and resume before its time": {func(t *testing.T, s *system) {
			if _, err := s.client.PauseSchedule(t.Context(), "s", "ann"); err != nil {
				t.Fatal(err)
			}
			if after, err := s.client.ResumeSchedule(t.Context(), "s", "ann"); err != nil || after.NextAt.Format("15:04") != "01:00" {
				t.Errorf("%+v %v", after, err)
			}
		}, []string{"01:00", "02:00"}},
		"other arguments": {func(_ *testing.T, s *system) {
			s.put(queue.ScheduleRequest{Name: "s", Spec: "0 * * * *", Args: "other"})
		}, []string{"01:00", "02:00"}},
		"another spec": {func(_ *testing.T, s *system) { s.put(queue.ScheduleRequest{Name: "s", Spec: "30 * * * *"}) }, []string{"01:30", "02:30"}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, s *system, _ chan queue.Info) {
				s.put(queue.ScheduleRequest{Name: "s", Spec: "0 * * * *"})
				time.Sleep(59*time.Minute + 30*time.Second)
				s.tick(time.Minute)
				ahead := s.schedule("s").LastTaskID
				change.do(t, s)
				wantEqual(t, "status", s.row(ahead).Status, queue.StatusCancelled)
				wantEqual(t, "last", s.schedule("s").LastTaskID, uuid.Nil)
				for range 2 * 60 {
					s.tick(time.Minute)
					time.Sleep(time.Minute)
				}
				wantEqual(t, "times", s.times("s"), change.then)
			})
		})
	}
	bubble(t, func(t *testing.T, s *system, _ chan queue.Info) {
		s.put(queue.ScheduleRequest{Name: "s", Spec: "0 * * * *"})
		time.Sleep(59*time.Minute + 30*time.Second)
		s.tick(time.Minute)
		ahead := s.schedule("s").LastTaskID
		if err := s.client.DeleteSchedule(t.Context(), "s", "ann"); err != nil {
			t.Fatal(err)
		}
		wantEqual(t, "status after a deletion", s.row(ahead).Status, queue.StatusCancelled)
		if err := s.client.DeleteSchedule(t.Context(), "s", "ann"); !errors.Is(err, queue.ErrNoSchedule) {
			t.Errorf("deleted again: %v", err)
		}
	})
}

// Missed occurrences of a pause are not enqueued when it ends.
func TestResumeGoesOnWithTheNextTime(t *testing.T) {
	bubble(t, func(t *testing.T, s *system, _ chan queue.Info) {
		s.put(queue.ScheduleRequest{Name: "s", Spec: "@every 1h", CatchUp: queue.CatchUpAll})
		paused, err := s.client.PauseSchedule(t.Context(), "s", "ann")
		if err != nil || !paused.Paused() || paused.PausedBy != "ann" || !paused.NextAt.IsZero() {
			t.Fatalf("%+v %v", paused, err)
		}
		time.Sleep(3*time.Hour + 30*time.Minute)
		wantEqual(t, "while paused", s.tick(0), 0)
		handle, err := s.client.RunSchedule(t.Context(), "s", "ann")
		if err != nil || handle.Row.Schedule != "s" || !handle.Row.ScheduledFor.Equal(time.Now()) {
			t.Fatalf("run: %+v %v", handle, err)
		}
		if _, err := s.client.ResumeSchedule(t.Context(), "s", "ann"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		s.tick(0)
		wantEqual(t, "times", s.times("s"), []string{"03:30", "04:00"})
		for _, name := range []string{"pause", "resume", "run"} {
			if !strings.Contains(s.audit(), name+" schedule ann schedule s") {
				t.Errorf("%s is not in the audit log: %s", name, s.audit())
			}
		}
		if _, err := s.client.PauseSchedule(t.Context(), "x", "ann"); !errors.Is(err, queue.ErrNoSchedule) {
			t.Errorf("%v", err)
		}
	})
}

func (s *system) audit() string {
	s.t.Helper()
	entries, err := s.operator().AuditLog(s.t.Context(), uuid.Nil, time.Time{}, 100)
	if err != nil {
		s.t.Fatal(err)
	}
	var lines []string
	for _, e := range entries {
		lines = append(lines, fmt.Sprint(e.Action, " ", e.Actor, " ", e.Target))
	}
	return strings.Join(lines, "\n")
}

// A task that this version does not know is enqueued for one that does.
func TestOccurrencesOfUnknownTasksWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := make(chan queue.Info, 10)
		whole := newSystem(t, setup{}, noted(seen))
		whole.put(queue.ScheduleRequest{Name: "s", Spec: "0 * * * *", Options: []queue.Option{queue.OnQueue("reports"), queue.Priority(7), queue.MaxAttempts(3), queue.Timeout(time.Minute)}})
		other := newSystem(t, setup{store: whole.store}, queue.NewTask("t.other", func(context.Context, any) (any, error) { return nil, nil }))
		time.Sleep(time.Hour)
		wantEqual(t, "enqueued", other.tick(0), 1)
		id := whole.schedule("s").LastTaskID
		if _, err := other.exec.RunByID(t.Context(), id, queue.RunOptions{}); !errors.Is(err, queue.ErrUnknownTask) {
			t.Errorf("%v", err)
		}
		whole.run(id)
		info := <-seen
		wantEqual(t, "info", []any{info.Schedule, info.ScheduledFor.Format("15:04"), info.Queue, info.Priority, info.MaxAttempts}, []any{"s", "01:00", "reports", 7, 3})
	})
}

// Several processes tick as they like, and each of the seconds has one occurrence.
func TestManyTicksAtOnce(t *testing.T) {
	seen := make(chan queue.Info, 1)
	s := newSystem(t, setup{}, noted(seen))
	s.put(queue.ScheduleRequest{Name: "s", Spec: "@every 1s", CatchUp: queue.CatchUpAll})
	others := []*system{s, newSystem(t, setup{store: s.store}, noted(seen)), newSystem(t, setup{store: s.store}, noted(seen))}
	until := time.Now().Add(3 * time.Second)
	var group sync.WaitGroup
	for _, other := range others {
		for range 2 {
			group.Go(func() {
				for time.Now().Before(until) {
					other.tick(0)
				}
			})
		}
	}
	group.Wait()
	occurrences, err := s.client.Occurrences(t.Context(), "s", 100)
	if err != nil || len(occurrences) < 2 {
		t.Fatalf("%d occurrences: %v", len(occurrences), err)
	}
	for i := 1; i < len(occurrences); i++ {
		if d := occurrences[i-1].ScheduledFor.Sub(occurrences[i].ScheduledFor); d != time.Second {
			t.Errorf("%s after %s", d, occurrences[i].ScheduledFor)
		}
	}
	wantEqual(t, "tasks", s.schedule("s").Made, int64(len(occurrences)))
}

// storeOnly hides what a store can do besides.
type storeOnly struct{ queue.Store }

func TestStoresWithoutSchedules(t *testing.T) {
	s := newSystem(t, setup{store: storeOnly{newStore(t)}})
	_, tickErr := s.client.Tick(t.Context(), 0)
	_, listErr := s.client.Schedules(t.Context())
	for _, err := range []error{tickErr, listErr, s.client.StoreSchedules(t.Context())} {
		if !errors.Is(err, queue.ErrUnsupported) {
			t.Errorf("%v", err)
		}
	}
	if swept, err := s.client.Sweep(t.Context(), 0); err != nil || swept.Enqueued != 0 {
		t.Errorf("a sweep: %+v %v", swept, err)
	}
	_, err := queue.NewClient(queue.Config{Store: storeOnly{newStore(t)}, Registry: queue.NewRegistry(nightly, queue.Every("n", "@daily", nightly, 1))})
	if err == nil || !strings.Contains(err.Error(), "queue.Scheduler") {
		t.Errorf("schedules without a Scheduler: %v", err)
	}
}

var nightly = queue.NewTask("t.nightly", func(_ context.Context, n int) (int, error) { return n, nil }, queue.OnQueue("nights"))

// The key of a task counts for its occurrences: one that another row holds enqueues none.
func TestOccurrencesOfTasksWithKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keyed := queue.NewTask("t.keyed", func(context.Context, string) (any, error) { return nil, nil },
			queue.UniqueBy(func(in string) string { return in }, queue.OnConflict(queue.RefuseDuplicate)))
		s := newSystem(t, setup{}, keyed)
		s.put(queue.ScheduleRequest{Name: "s", Task: "t.keyed", Spec: "@every 1h"})
		time.Sleep(time.Hour)
		s.tick(0)
		first := s.schedule("s").LastTaskID
		time.Sleep(time.Hour)
		s.tick(0)
		occurrences, err := s.client.Occurrences(t.Context(), "s", 10)
		if err != nil || len(occurrences) != 2 || occurrences[0].TaskID != first || occurrences[1].TaskID != first {
			t.Errorf("%+v %v, want %s twice", occurrences, err, first)
		}
		wantEqual(t, "history", s.times("s"), []string{"01:00", "02:00 key"})
		wantEqual(t, "last", s.schedule("s").LastTaskID, first)
		s.run(first)
		time.Sleep(time.Hour)
		s.tick(0)
		if next := s.schedule("s").LastTaskID; next == first || s.row(next).Status != queue.StatusReady {
			t.Errorf("after its end: %s", next)
		}
	})
}

// unanswered is a dispatcher of a service that does not answer.
type unanswered struct{}

func (unanswered) Dispatch(ctx context.Context, _ ...queue.Ticket) error {
	<-ctx.Done()
	return ctx.Err()
}

// Otherwise each schedule would keep the others waiting for a dispatch, until theirs count
// as missed.
func TestTicksStoreWhatIsDueBeforeTheyDispatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t, setup{dispatch: unanswered{}}, queue.NewTask("t.noted", nothing))
		const schedules = 300
		for i := range schedules {
			s.put(queue.ScheduleRequest{Name: fmt.Sprint("s", i), Spec: "0 1 * * *", CatchUp: queue.CatchUpSkip})
		}
		time.Sleep(time.Hour)
		wantEqual(t, "enqueued by one tick", s.tick(0), schedules)
		for i := range schedules {
			wantEqual(t, "times", s.times(fmt.Sprint("s", i)), []string{"01:00"})
		}
	})
}

func TestTicksDispatchTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &batchRecorder{}
		s := newSystem(t, setup{dispatch: out}, queue.NewTask("t.noted", nothing))
		for i := range 250 {
			s.put(queue.ScheduleRequest{Name: fmt.Sprint("s", i), Spec: "0 1 * * *"})
		}
		time.Sleep(time.Hour)
		wantEqual(t, "enqueued", s.tick(0), 250)
		out.want(t, "batch 100 batch 100 batch 50 ")
		wantEqual(t, "tickets", len(out.sent()), 250)
	})
}

// breakSchedule makes a schedule due that no version could enqueue.
func (s *system) breakSchedule(name string) {
	s.t.Helper()
	store := s.store.(queue.Scheduler)
	err := store.ChangeSchedule(s.t.Context(), name, func(state queue.ScheduleState) (*queue.ScheduleChange, error) {
		broken := *state.Schedule
		broken.Spec, broken.NextAt = "often", state.Now
		return &queue.ScheduleChange{Schedule: &broken}, nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

func TestTicksCountSchedulesThatFail(t *testing.T) {
	bubble(t, func(t *testing.T, s *system, _ chan queue.Info) {
		s.put(queue.ScheduleRequest{Name: "bad", Spec: "@hourly"})
		s.put(queue.ScheduleRequest{Name: "good", Spec: "@hourly"})
		s.breakSchedule("bad")
		time.Sleep(time.Hour)
		for range 3 {
			ticked, err := s.client.Tick(t.Context(), 0)
			wantEqual(t, "failed", []any{ticked.Failed, err}, []any{1, nil})
		}
		wantEqual(t, "the other one", s.times("good"), []string{"01:00"})
		const line = `a schedule could not be enqueued" schedule=bad`
		wantEqual(t, "logged within a minute", strings.Count(s.log.String(), line), 1)
		time.Sleep(time.Minute)
		_, err := s.client.Tick(t.Context(), 0)
		wantEqual(t, "error", err, nil)
		wantEqual(t, "logged later", strings.Count(s.log.String(), line), 2)
	})
}
