package problems

import (
	"strings"
	"testing"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

// newState has so many stranded rows of a queue, which change has changed, and failures.
func newState(n int, now time.Time, change func(*queue.Row)) State {
	s := State{QueuesAt: now, RunningAt: now, Queues: []queue.QueueStats{{Queue: "default", Pending: n, Stranded: n, Expired: n, Running: n, OldestSince: now.Add(-time.Minute)}}}
	for range n {
		row := &queue.Row{Task: "known", Queue: "default", EnqueuedAt: now.Add(-time.Hour)}
		change(row)
		s.Stranded = append(s.Stranded, row)
	}
	return s
}

func rules() Rules {
	return Rules{
		Registered: func(task string) bool { return task == "known" }, Knows: func(*queue.Row) bool { return true }, MaxBacklog: func(string) int { return 0 },
		Dispatches: true, Failing: 1, Recent: time.Hour,
	}
}

// One task is spoken of as one.
func TestProblemsOfOneTaskAreInTheSingular(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for name, change := range map[string]func(*queue.Row){
		"not claimed": func(*queue.Row) {},
		"refused":     func(r *queue.Row) { r.DispatchError = "quota" },
		"early":       func(r *queue.Row) { r.RunAfter = now.Add(time.Hour) },
		"unknown":     func(r *queue.Row) { r.Task = "other" },
	} {
		for _, errors := range []bool{false, true} {
			r := rules()
			r.Errors, r.Each = errors, true
			for _, task := range []string{"known", "other"} {
				for permanent := range 2 {
					s := newState(1, now, change)
					s.Failures = []queue.FailureGroup{{Task: task, Group: "g", Count: 1, LastHour: 1, Recent: 1, Permanent: permanent, Last: now}}
					list := Find(s, r, now)
					if len(list) < 3 {
						t.Fatalf("%s: %+v", name, list)
					}
					for _, p := range list {
						for _, word := range strings.Fields(strings.ToLower(p.Title + " " + p.Why + " " + p.ActName)) {
							switch strings.Trim(word, ".,:;") {
							case "they", "their", "them", "are", "tasks", "some", "all":
								t.Errorf("%s: %q %q %q", name, p.Title, p.Why, p.ActName)
							}
						}
					}
				}
			}
		}
	}
}

// Without Rules.Errors no sentence has the text of an error, and those that have different
// ones have one reason.
func TestTextsOfErrorsAreLeftOut(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	n := 0
	s := newState(3, now, func(r *queue.Row) { n++; r.DispatchError = "SECRET " + string(rune('a'+n)) })
	s.Queues[0].OldestSince, s.Queues[0].Running = now.Add(-time.Hour), 0 // no worker serves it
	s.Failures = []queue.FailureGroup{{Task: "known", Group: "SECRET", Error: "SECRET", Count: 2, LastHour: 2, Recent: 2, Last: now}}
	for _, errors := range []bool{false, true} {
		r := rules()
		r.Errors, r.Each = errors, true
		found := 0
		for _, p := range Find(s, r, now) {
			if strings.Contains(p.Title+p.Why, "SECRET") {
				found++
			}
			if p.Kind == Stranded && !errors && !strings.HasSuffix(p.Why, "The ticket could not be created: the page of the task has the error.") {
				t.Errorf("%s", p.Why)
			}
		}
		if want := map[bool]int{false: 0, true: 2}[errors]; found != want {
			t.Errorf("%d problems have texts of errors, want %d", found, want)
		}
	}
}

// Where tasks are not dispatched, no ticket is spoken of, and no action is offered that would
// create one.
func TestStrandedTasksThatWorkersPull(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	const want = "Not claimed in time. No worker that pulls from queue default is free. Start a worker for the queue, or add more."
	for n := 1; n <= 2; n++ {
		r := rules()
		r.Dispatches = false
		p := stranded(t, newState(n, now, func(*queue.Row) {}), r, now)
		if p.Why != want || p.Act.Path != "" || p.ActName != "" {
			t.Errorf("%+v", p)
		}
		p = stranded(t, newState(n, now, func(row *queue.Row) { row.RunAfter, row.DispatchError = now.Add(time.Hour), "quota" }), r, now)
		if want := "Not due yet: a worker claims it when it is."; p.Why != want || p.Act.Path != "" {
			t.Errorf("%+v", p)
		}
		if p := stranded(t, newState(n, now, func(*queue.Row) {}), rules(), now); p.Act.Path == "" || p.ActName != "Dispatch again" {
			t.Errorf("dispatched: %+v", p)
		}
	}
}

// stranded is the problem of stranded tasks.
func stranded(t *testing.T, s State, r Rules, now time.Time) Problem {
	t.Helper()
	for _, p := range Find(s, r, now) {
		if p.Kind == Stranded {
			return p
		}
	}
	t.Fatal("none is stranded")
	return Problem{}
}
