package queue_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

// program is a system of a program with some schedules in its code.
func program(t *testing.T, store queue.Store, name string, defs ...queue.Definition) *system {
	return newSystem(t, setup{store: store, client: queue.Config{Program: name}}, append([]queue.Definition{nightly}, defs...)...)
}

func TestSchedulesInCodeAreStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore(t)
		every := func(spec string, opts ...queue.ScheduleOption) queue.Definition {
			return queue.Every("report", spec, nightly, 1, opts...)
		}
		first := program(t, store, "app", every("0 9 * * 1-5", queue.Zone("Europe/Berlin"), queue.CatchUpAll, queue.OverlapSkip, queue.Priority(3)))
		first.tick(0)
		got := first.schedule("report")
		wantEqual(t, "stored", fmt.Sprint(got.Task, got.Spec, got.Zone, string(got.Args), got.Queue, got.Priority, got.CatchUp, got.Overlap, got.Program, got.InCode()),
			"t.nightly0 9 * * 1-5Europe/Berlin1nights3allskipapptrue")
		changed := got.ChangedAt

		time.Sleep(time.Minute)
		same := program(t, store, "app", every("0 9 * * 1-5", queue.Zone("Europe/Berlin"), queue.CatchUpAll, queue.OverlapSkip, queue.Priority(3)))
		same.tick(0)
		wantEqual(t, "the same again was changed at", same.schedule("report").ChangedAt, changed)

		if _, err := first.client.PauseSchedule(t.Context(), "report", "ann"); err != nil {
			t.Fatal(err)
		}
		other := program(t, store, "app", every("0 10 * * *"))
		if err := other.client.StoreSchedules(t.Context()); err != nil {
			t.Fatal(err)
		}
		got = other.schedule("report")
		wantEqual(t, "changed, and still paused", []any{got.Spec, got.Paused(), got.PausedBy, got.NextAt.IsZero()}, []any{"0 10 * * *", true, "ann", true})
		if resumed, err := other.client.ResumeSchedule(t.Context(), "report", "ann"); err != nil || resumed.NextAt.Format("15:04") != "10:00" {
			t.Errorf("%+v %v", resumed, err)
		}
	})
}

func TestSchedulesThatTheCodeHasNoMoreDoNotRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore(t)
		hourly := queue.Every("hourly", "@hourly", nightly, 1)
		program(t, store, "app", hourly).tick(0)
		program(t, store, "another", queue.Every("theirs", "@hourly", nightly, 1)).tick(0)
		runtime := program(t, store, "app", hourly)
		runtime.put(queue.ScheduleRequest{Name: "runtime", Task: "t.nightly", Spec: "@hourly", Args: 1})

		without := program(t, store, "app")
		without.tick(0)
		wantEqual(t, "removed", []any{without.schedule("hourly").Removed(), without.schedule("theirs").Removed(), without.schedule("runtime").Removed()}, []any{true, false, false})
		time.Sleep(time.Hour)
		wantEqual(t, "enqueued", without.tick(0), 2)
		wantEqual(t, "of the removed one", without.times("hourly"), []string(nil))
		if _, err := without.client.RunSchedule(t.Context(), "hourly", "ann"); err != nil {
			t.Errorf("run by hand: %v", err)
		}

		again := program(t, store, "app", hourly)
		again.tick(0)
		got := again.schedule("hourly")
		wantEqual(t, "back", []any{got.Removed(), got.NextAt.Format("15:04")}, []any{false, "02:00"})

		if err := again.client.DeleteSchedule(t.Context(), "hourly", "ann"); err == nil || !strings.Contains(err.Error(), "code") {
			t.Errorf("deleted although the code has it: %v", err)
		}
		if _, _, err := again.client.PutSchedule(t.Context(), queue.ScheduleRequest{Name: "hourly", Task: "t.nightly", Spec: "@daily", Args: 1}); err == nil || !strings.Contains(err.Error(), "code") {
			t.Errorf("replaced although the code has it: %v", err)
		}
		program(t, store, "app").tick(0)
		if err := again.client.DeleteSchedule(t.Context(), "hourly", "ann"); err != nil {
			t.Errorf("deleting a removed one: %v", err)
		}
	})
}

// A schedule that was made by hand becomes the code's when the code has its name.
func TestCodeTakesOverARuntimeSchedule(t *testing.T) {
	store := newStore(t)
	program(t, store, "app").put(queue.ScheduleRequest{Name: "s", Task: "t.nightly", Spec: "@daily", Args: 2})
	s := program(t, store, "app", queue.Every("s", "@hourly", nightly, 1))
	got := s.schedule("s") // reading stores them first
	wantEqual(t, "schedule", []any{got.Spec, string(got.Args), got.InCode()}, []any{"@hourly", "1", true})
	if want := `a schedule that was made at run time is replaced: the program's code has its name" schedule=s program=app`; strings.Count(s.log.String(), want) != 1 {
		t.Errorf("log %s, want %s", s.log, want)
	}
}

// Programs cannot tell a schedule of another one from their own under an old name.
func TestReplacingAScheduleOfAnotherProgramIsLogged(t *testing.T) {
	store := newStore(t)
	program(t, store, "one", queue.Every("s", "@daily", nightly, 1)).tick(0)
	two := program(t, store, "two", queue.Every("s", "@hourly", nightly, 1))
	wantEqual(t, "spec", two.schedule("s").Spec, "@hourly")
	if want := "give one of the schedules another name\" schedule=s program=two task_path=t.nightly replaced_program=one"; strings.Count(two.log.String(), want) != 1 {
		t.Errorf("log %s, want %s", two.log, want)
	}
	again := program(t, store, "two", queue.Every("s", "@every 1m", nightly, 1))
	again.tick(0)
	removed := program(t, store, "two")
	removed.tick(0)
	if log := again.log.String() + removed.log.String(); strings.Contains(log, "replaced") {
		t.Errorf("its own: log %s", log)
	}
	if want := "if another program of the same name defines it, give one of the two another name\" schedule=s program=two"; strings.Count(removed.log.String(), want) != 1 {
		t.Errorf("log %s, want %s", removed.log, want)
	}
	three := program(t, store, "three", queue.Every("s", "@daily", nightly, 1))
	three.tick(0)
	if log := three.log.String(); strings.Contains(log, "replaced") {
		t.Errorf("one that was removed: log %s", log)
	}
}

func TestEveryPanicsForWhatCouldNotRun(t *testing.T) {
	for want, make := range map[string]func(){
		"use five fields":        func() { queue.Every("s", "* *", nightly, 1) },
		"zone":                   func() { queue.Every("s", "@daily", nightly, 1, queue.Zone("Berlin")) },
		"the name of a schedule": func() { queue.Every("a/b", "@daily", nightly, 1) },
		"the task is nil":        func() { queue.Every[int, int]("s", "@daily", nil, 1) },
		"catch_up must be":       func() { queue.Every("s", "@daily", nightly, 1, queue.CatchUp("later")) },
		"overlap must be":        func() { queue.Every("s", "@daily", nightly, 1, queue.Overlap("maybe")) },
		"priority must be":       func() { queue.Every("s", "@daily", nightly, 1, queue.Priority(1000)) },
		`two schedules are named "s"`: func() {
			queue.NewRegistry(queue.Every("s", "@daily", nightly, 1), queue.Every("s", "@hourly", nightly, 1))
		},
		"definition 1 is nil":             func() { queue.NewRegistry((*queue.Periodic)(nil)) },
		"has no name: make it with Every": func() { queue.NewRegistry(new(queue.Periodic)) },
		"whole seconds":                   func() { queue.Every("s", "@every 10ms", nightly, 1) },
		"names a day that no year has":    func() { queue.Every("s", "0 0 31 2 *", nightly, 1) },
	} {
		t.Run(want, func(t *testing.T) {
			defer func() {
				if text := fmt.Sprint(recover()); !strings.Contains(text, want) {
					t.Errorf("%q", text)
				}
			}()
			make()
			t.Error("accepted")
		})
	}
}

func TestSchedulesOfUnregisteredTasksAreRefused(t *testing.T) {
	elsewhere := queue.NewTask("t.elsewhere", func(context.Context, int) (int, error) { return 0, nil })
	for want, registry := range map[string]*queue.Registry{
		`schedule "s": task "t.elsewhere" is not registered`: queue.NewRegistry(nightly, queue.Every("s", "@daily", elsewhere, 1)),
		`schedule "s": backend_name "x" is not known`:        queue.NewRegistry(nightly, queue.Every("s", "@daily", nightly, 1, queue.OnBackend("x"))),
	} {
		if _, err := queue.NewClient(queue.Config{Store: newStore(t), Registry: registry}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestRefusedScheduleRequests(t *testing.T) {
	s := newSystem(t, setup{}, nightly)
	valid := queue.ScheduleRequest{Name: "s", Task: "t.nightly", Spec: "@daily", Args: 1}
	for want, change := range map[string]func(r *queue.ScheduleRequest){
		"the name of a schedule": func(r *queue.ScheduleRequest) { r.Name = "" },
		"is not registered":      func(r *queue.ScheduleRequest) { r.Task = "t.weekly" },
		"use five fields":        func(r *queue.ScheduleRequest) { r.Spec = "often" },
		"zone":                   func(r *queue.ScheduleRequest) { r.Zone = "Local" },
		"args of t.nightly":      func(r *queue.ScheduleRequest) { r.Args = "one" },
		"catch_up":               func(r *queue.ScheduleRequest) { r.CatchUp = "x" },
		"overlap":                func(r *queue.ScheduleRequest) { r.Overlap = "x" },
		"queue_name":             func(r *queue.ScheduleRequest) { r.Options = []queue.Option{queue.OnQueue("a b")} },
		"backend_name":           func(r *queue.ScheduleRequest) { r.Options = []queue.Option{queue.OnBackend("x")} },
	} {
		r := valid
		change(&r)
		if _, _, err := s.client.PutSchedule(t.Context(), r); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if all, err := s.client.Schedules(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("%v %v", all, err)
	}
}
