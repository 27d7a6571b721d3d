package admin

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/lang"
	"github.com/claimcheck-go/claimcheck/server/internal/problems"
)

// fakeStats is an operator whose statistics all have something to report.
type fakeStats struct {
	queue.Operator
	now   time.Time
	swept time.Time
	mu    sync.Mutex
	asked map[string]time.Time // when each was last
	spent int                  // statements
}

func (b *fakeStats) ask(what string, statements int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked[what] = b.now
	b.spent += statements
}

func (b *fakeStats) Overview(context.Context, queue.OverviewRequest) (queue.Overview, error) {
	b.ask("overview", 1)
	return queue.Overview{Queues: []queue.QueueStats{
		{Queue: "default", Backend: "default", Pending: 9, Delayed: 2, Running: 3, Stranded: 4, Succeeded: 1, OldestSince: b.now},
	}}, nil
}

func (b *fakeStats) List(_ context.Context, r queue.ListRequest) (queue.ListPage, error) {
	statements := 1
	if r.Stranded {
		statements = 2
	}
	b.ask(string(r.View), statements)
	return queue.ListPage{Rows: []*queue.Row{{Task: "a", Status: queue.StatusReady, LeaseExpiresAt: b.now.Add(time.Minute)}}}, nil
}

func (b *fakeStats) Touched(context.Context) (map[string]time.Time, error) {
	b.ask("marks", 1)
	return map[string]time.Time{queue.TouchSwept: b.swept}, nil
}

func (b *fakeStats) figures(context.Context, queue.FiguresRequest) (queue.Figures, error) {
	b.ask("figures", 1)
	return queue.Figures{Through: b.now}, nil
}

// newFakeStats is a handler that expects sweeps, and whose schema is
// behind.
func newFakeStats(now time.Time) (*handler, *fakeStats) {
	b := &fakeStats{now: now, asked: make(map[string]time.Time)}
	h := &handler{Config: Config{SweepEvery: 30 * time.Second}, names: map[string]string{"a": "a"}}
	h.stats = &statsCache{operator: b, patience: time.Minute, overview: b.Overview, figure: b.figures, sweeps: true, from: newFrom(), schema: func(context.Context) error {
		b.ask("schema", 1)
		return errors.New("schema 3, want 4")
	}}
	return h, b
}

var allParts = []string{"delayed", "figures", "marks", "overview", "pending", "running", "schema"}

// Requests every 6 s, which is longer than counts stay fresh: all parts are
// there after three, and none is left to grow old.
func TestPartsAreRenewedInTurn(t *testing.T) {
	now := time.Now()
	h, b := newFakeStats(now)
	for i := range 200 {
		b.now, b.swept, b.spent = now, now.Add(-20*time.Second), 0
		view, err := h.stats.look(t.Context(), now)
		if err != nil {
			t.Fatal(err)
		}
		if b.spent > 4 {
			t.Errorf("look %d: %d statements", i, b.spent)
		}
		for _, w := range h.warnings(view, words{now: now}) {
			if strings.Contains(w.Title, "sweeper") || strings.Contains(w.Title, "worker") {
				t.Errorf("look %d: false alarm: %s", i, w.Title)
			}
		}
		if i < 2 {
			now = now.Add(6 * time.Second)
			continue
		}
		if got := slices.Sorted(maps.Keys(b.asked)); !slices.Equal(got, allParts) || view.Partial {
			t.Fatalf("after look %d only %v, wanting %v", i, got, view.Partial)
		}
		for what, at := range b.asked {
			most := 30 * time.Second
			if what == "figures" || what == "schema" {
				most = 90 * time.Second
			}
			if age := now.Sub(at); age > most {
				t.Errorf("look %d: %s is %v old", i, what, age)
			}
		}
		now = now.Add(6 * time.Second)
	}
}

// What was read long ago is no fault of now; what is wrong then is seen soon.
func TestOldPartsRaiseNoAlarm(t *testing.T) {
	now := time.Now()
	h, b := newFakeStats(now)
	b.swept = now.Add(-10 * time.Second)
	for range 3 {
		if _, err := h.stats.look(t.Context(), now); err != nil {
			t.Fatal(err)
		}
	}
	titles := func() (said string) {
		view, err := h.stats.look(t.Context(), now)
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range h.warnings(view, words{now: now}) {
			said += w.Title + "\n"
		}
		return said
	}
	now = now.Add(8 * time.Minute) // no page was read, and all was well
	b.now, b.swept = now, now.Add(-10*time.Second)
	for i := range 3 {
		if said := titles(); strings.Contains(said, "sweeper") || strings.Contains(said, "worker") || strings.Contains(said, "No worker serves") {
			t.Errorf("look %d: false alarm:\n%s", i, said)
		}
	}
	for range 17 { // the sweeper stops: five minutes of reloads
		now = now.Add(18 * time.Second)
		b.now = now
		_ = titles()
	}
	if said := titles(); !strings.Contains(said, "The sweeper last ran") {
		t.Errorf("a real fault is hidden:\n%s", said)
	}
}

// A warning refers to the time at which its part was read.
func TestWarningsAreOfTheTimeOfReading(t *testing.T) {
	then := time.Now()
	h, _ := newFakeStats(then)
	view := statsView{State: problems.State{
		Marks: map[string]time.Time{queue.TouchSwept: then.Add(-20 * time.Second)}, MarksAt: then,
		Running: []*queue.Row{{Task: "a", LeaseExpiresAt: then.Add(time.Minute)}}, RunningAt: then,
		Queues: []queue.QueueStats{{Queue: "q", Pending: 1, OldestSince: then.Add(-time.Minute)}}, QueuesAt: then,
	}}
	if found := h.warnings(view, words{now: then.Add(9 * time.Minute)}); len(found) > 0 {
		t.Errorf("false alarms: %+v", found)
	}
	view.Queues = append(view.Queues, queue.QueueStats{Queue: "r", Running: 1, Expired: 1}) // as of then
	view.MarksAt, view.RunningAt, view.QueuesAt = then.Add(9*time.Minute), then.Add(9*time.Minute), then.Add(9*time.Minute)
	if found := h.warnings(view, words{now: then.Add(9 * time.Minute)}); len(found) != 3 {
		t.Errorf("%d warnings: %+v", len(found), found)
	}
}

// After an action its effect is looked at first.
func TestWhatWasChangedComesFirst(t *testing.T) {
	now := time.Now()
	h, b := newFakeStats(now)
	for range 3 {
		if _, err := h.stats.look(t.Context(), now); err != nil {
			t.Fatal(err)
		}
	}
	now = now.Add(time.Second)
	b.now = now
	h.stats.forget()
	if _, err := h.stats.look(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	if !b.asked["overview"].Equal(now) {
		t.Errorf("asked: %v", b.asked)
	}
}

// Numbers in notices are written as everywhere on the pages.
func TestNumbersOfNotices(t *testing.T) {
	so := progress{Expected: 60_000, Done: 21_800, Undispatched: 1_200, Beyond: 5_000}
	want := "21,800 tasks are READY again. 1,200 could not be dispatched; the sweeper will dispatch them. 38,200 were skipped. Only FAILED tasks can be retried. " +
		"5,000 more matched by then: they were not confirmed and are unchanged."
	if got := so.notice(order{Action: queue.ActionRetry}, lang.English()).Text; got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// Parts are read two at a time: the first two wait for each other here.
func TestPartsAreReadTwoAtATime(t *testing.T) {
	var waiting, most int
	var mu sync.Mutex
	both := make(chan struct{})
	var parts [4]part[int]
	list := func() (list []refresh) {
		for i := range parts {
			list = append(list, newRefresh(&parts[i], time.Minute, 1, func() (int, error) {
				mu.Lock()
				waiting++
				if most = max(most, waiting); most == 2 && i < 2 {
					close(both)
				}
				mu.Unlock()
				if i < 2 {
					<-both
				}
				mu.Lock()
				defer mu.Unlock()
				waiting--
				return i, nil
			}))
		}
		return list
	}
	err := refreshParts(&sync.Mutex{}, list, time.Now(), 3)
	if err != nil || most != 2 || parts[2].value != 2 || !parts[3].at.IsZero() {
		t.Errorf("%v, %d at a time: %+v", err, most, parts)
	}
}

// What one part ran into is the result, however it ends; no further part is read.
func TestAPartThatFails(t *testing.T) {
	broken := errors.New("broken")
	for name, ask := range map[string]func() (int, error){
		"error": func() (int, error) { return 0, broken },
		"panic": func() (int, error) { panic(broken) },
	} {
		t.Run(name, func(t *testing.T) {
			var parts [3]part[int]
			var asked [3]bool
			result := refreshParts(&sync.Mutex{}, func() (list []refresh) {
				for i := range parts {
					list = append(list, newRefresh(&parts[i], time.Minute, 1+i, func() (int, error) {
						asked[i] = true
						return ask()
					}))
				}
				return list
			}, time.Now(), 3)
			if p, ok := errors.AsType[panicked](result); ok {
				result = p.value.(error)
			}
			if !errors.Is(result, broken) || asked[2] || !parts[0].at.IsZero() {
				t.Errorf("%v, asked %v", result, asked)
			}
		})
	}
}
