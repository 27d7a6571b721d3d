package notice

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/queuetest"
)

const secretArgument = "4711-secret-argument"

// broken fails for a reason in which an argument is.
var broken = queue.NewTask("billing.charge", func(_ context.Context, arg string) (any, error) {
	return nil, fmt.Errorf("no customer %s", arg)
}, queue.MaxAttempts(1))

// kit is some processes on one store.
type kit struct {
	t       *testing.T
	clients []*queue.Client
	notices []*Notices
	store   *queuetest.Store
}

// newKit makes processes with a config that change has changed; it may be nil.
func newKit(t *testing.T, processes int, change func(*Config, *queue.Config)) *kit {
	t.Helper()
	k := &kit{t: t, store: queuetest.NewStore(nil)}
	for range processes {
		cfg := Config{URL: "https://hooks.example.com/T0K3N", AdminURL: "https://ops.example.com/admin/", Program: "shop", Failures: 2}
		q := queue.Config{Store: k.store, Logger: queuetest.Logger(t)}
		if change != nil {
			change(&cfg, &q)
		}
		n, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		q.Hooks, q.Registry = n.Hooks(), queue.NewRegistry(broken, n.Task())
		client, err := queue.NewClient(q)
		if err != nil {
			t.Fatal(err)
		}
		k.clients, k.notices = append(k.clients, client), append(k.notices, n)
	}
	return k
}

// sweep sweeps in every process.
func (k *kit) sweep() {
	k.t.Helper()
	for _, client := range k.clients {
		if _, err := client.Sweep(k.t.Context(), 0); err != nil {
			k.t.Fatal(err)
		}
	}
}

// sweepFor sweeps every half minute for a time.
func (k *kit) sweepFor(d time.Duration) {
	k.t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(30 * time.Second) {
		k.sweep()
	}
}

// sent are the notices that were enqueued, the first one first.
func (k *kit) sent() (list []Message) {
	k.t.Helper()
	operator, err := k.clients[0].Operator()
	if err != nil {
		k.t.Fatal(err)
	}
	page, err := operator.List(k.t.Context(), queue.ListRequest{Selection: queue.Selection{View: queue.ViewAll, Task: TaskName}, Limit: 100, Reverse: true})
	if err != nil {
		k.t.Fatal(err)
	}
	for _, light := range page.Rows {
		row, err := k.clients[0].Get(k.t.Context(), light.ID)
		if err != nil {
			k.t.Fatal(err)
		}
		var m Message
		if err := json.Unmarshal(row.Args, &m); err != nil {
			k.t.Fatal(err)
		}
		if strings.Contains(string(row.Args), secretArgument) || strings.Contains(string(row.Args), "customer") || strings.Contains(string(row.Args), "T0K3N") {
			k.t.Errorf("the notice has what it must not have: %s", row.Args)
		}
		list = append(list, m)
	}
	return list
}

// fail makes some tasks FAILED.
func (k *kit) fail(n int) {
	k.t.Helper()
	executor, err := queue.NewExecutor(k.clients[0], queue.ExecutorConfig{})
	if err != nil {
		k.t.Fatal(err)
	}
	for range n {
		handle, err := broken.Enqueue(k.t.Context(), k.clients[0], secretArgument)
		if err != nil {
			k.t.Fatal(err)
		}
		if _, err := executor.RunByID(k.t.Context(), handle.ID, queue.RunOptions{}); err != nil {
			k.t.Fatal(err)
		}
	}
}

func titles(items []Item) string {
	var list []string
	for _, i := range items {
		list = append(list, i.Kind+" "+i.Name)
	}
	return strings.Join(list, ", ")
}

func TestOneNoticeAtTheBeginningAndOneAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t, 3, nil)
		k.sweepFor(10 * time.Minute)
		if sent := k.sent(); len(sent) != 0 {
			t.Fatalf("of nothing: %+v", sent)
		}
		k.fail(3)
		began := time.Now()
		k.sweepFor(40 * time.Minute)
		sent := k.sent()
		if len(sent) != 1 || titles(sent[0].Problems) != "failing billing.charge" || len(sent[0].Over) != 0 {
			t.Fatalf("%+v", sent)
		}
		p := sent[0].Problems[0]
		if p.Count != 3 || p.Title != "3 tasks named billing.charge are FAILED with the same error" || p.URL != "https://ops.example.com/admin/tasks?task=billing.charge&view=failed" ||
			sent[0].Program != "shop" || sent[0].URL != "https://ops.example.com/admin/" || sent[0].At.Sub(began) > 3*time.Minute {
			t.Errorf("%+v", sent[0])
		}
		k.sweepFor(40 * time.Minute) // in which the hour of the failures ends
		if sent = k.sent(); len(sent) != 2 || titles(sent[1].Over) != "failing billing.charge" || len(sent[1].Problems) != 0 || sent[1].Over[0].Until == nil {
			t.Fatalf("%+v", sent)
		}
		k.sweepFor(40 * time.Minute)
		k.fail(2)
		k.sweepFor(10 * time.Minute)
		if sent = k.sent(); len(sent) != 3 || titles(sent[2].Problems) != "failing billing.charge" {
			t.Fatalf("again: %+v", sent)
		}
		// All are counted, as in the overview.
		if p := sent[2].Problems[0]; p.Count != 5 || p.Title != "5 tasks named billing.charge are FAILED with the same error" || !strings.HasPrefix(p.Text, "2 in the last hour, 3 earlier; latest ") {
			t.Errorf("again: %+v", p)
		}
	})
}

// What comes and goes is one problem, and what begins within the interval waits for its end.
func TestNoticesAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t, 1, nil)
		for range 60 {
			k.notices[0].Hooks().Promoted(t.Context(), queue.PromoteResult{Reclaimed: 2})
			k.sweepFor(2 * time.Minute)
		}
		sent := k.sent()
		if len(sent) != 1 || titles(sent[0].Problems) != "lost_workers " || sent[0].Problems[0].Title != "The workers of 2 tasks are gone" {
			t.Fatalf("%+v", sent)
		}
		k.fail(2)
		k.sweepFor(10 * time.Minute)
		for i := range 20 { // each is over before the next begins
			if _, _, err := k.clients[0].Purge(t.Context(), queue.PurgeRequest{Statuses: []queue.Status{queue.StatusFailed}}, nil); err != nil {
				t.Fatal(err)
			}
			k.sweepFor(6 * time.Minute)
			if i%2 == 0 {
				k.fail(2)
			}
			k.sweepFor(6 * time.Minute)
		}
		sent = k.sent()
		for i := 1; i < len(sent); i++ {
			if d := sent[i].At.Sub(sent[i-1].At); d < DefaultInterval {
				t.Errorf("notices %s apart", d)
			}
		}
	})
}

// What one check sees and the next does not is no problem.
func TestAMomentIsNoProblem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t, 2, nil)
		for range 10 {
			k.fail(2)
			k.sweep()
			if _, _, err := k.clients[0].Purge(t.Context(), queue.PurgeRequest{Statuses: []queue.Status{queue.StatusFailed}}, nil); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Minute)
			k.sweep()
			time.Sleep(2 * time.Minute)
		}
		if sent := k.sent(); len(sent) != 0 {
			t.Errorf("%+v", sent)
		}
	})
}

// refusing is a dispatcher that accepts nothing.
type refusing struct{}

func (refusing) Dispatch(context.Context, ...queue.Ticket) error {
	return errors.New("quota of customer 17")
}

// Tasks that deliver notices make no notices, however they fare.
func TestNoticesAreNotAboutThemselves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t, 1, func(c *Config, q *queue.Config) {
			q.Dispatcher, c.Dispatches, c.Failures, c.URL = refusing{}, true, 1, "http://127.0.0.1:9/T0K3N" // which may not be reached
		})
		k.notices[0].Hooks().Promoted(t.Context(), queue.PromoteResult{Reclaimed: 1})
		k.sweepFor(time.Hour) // the notice is stranded, and waits without a worker
		sent := k.sent()
		if len(sent) != 2 || titles(sent[0].Problems) != "lost_workers " || titles(sent[1].Over) != "lost_workers " || len(sent[1].Problems) != 0 {
			t.Fatalf("%+v", sent)
		}
		executor, err := queue.NewExecutor(k.clients[0], queue.ExecutorConfig{})
		if err != nil {
			t.Fatal(err)
		}
		runs, err := executor.Process(t.Context(), 10, queue.From{})
		if err != nil || len(runs) != 2 || runs[0].Row.Status != queue.StatusFailed || strings.Contains(fmt.Sprint(runs[0].Row.Errors), "T0K3N") {
			t.Fatalf("%+v, %v", runs, err)
		}
		k.sweepFor(time.Hour)
		if again := k.sent(); len(again) != 2 {
			t.Errorf("%+v", again[2:])
		}
	})
}

func TestStrandedTasksUnservedQueuesAndSweepersAreReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t, 1, func(c *Config, q *queue.Config) {
			q.Dispatcher, c.Dispatches, c.SweepEvery, c.Sweeper, c.AdminURL = refusing{}, true, time.Minute, "Run it.", ""
		})
		// Nothing sweeps: only a process that looks on its own says so.
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		k.notices[0].CheckEvery(ctx, k.clients[0])
		sent := k.sent()
		if len(sent) != 1 || titles(sent[0].Problems) != "sweeper " || !strings.HasSuffix(sent[0].Problems[0].Text, "Run it.") || sent[0].Problems[0].URL != "" || sent[0].URL != "" {
			t.Fatalf("%+v", sent)
		}
		for range 4 {
			if _, err := k.clients[0].Enqueue(t.Context(), "billing.charge", secretArgument, queue.OnQueue("slow")); err != nil {
				t.Fatal(err)
			}
		}
		k.sweepFor(20 * time.Minute)
		sent = k.sent()
		if len(sent) < 2 {
			t.Fatalf("%+v", sent)
		}
		var all, over []Item
		for _, m := range sent[1:] {
			all, over = append(all, m.Problems...), append(over, m.Over...)
		}
		if got := titles(all); got != "stranded , unserved_queue slow" || all[0].Count != 4 || all[1].Count != 4 {
			t.Errorf("problems: %s %+v", got, all)
		}
		for _, item := range all { // sent fails if there is the text of an error
			if !strings.Contains(item.Text, "The ticket could not be created: the page of the task has the error.") {
				t.Errorf("%s: %s", item.Kind, item.Text)
			}
		}
		if got := titles(over); got != "sweeper " {
			t.Errorf("over: %s", got)
		}
	})
}

// A notice whose task is deleted at once is not enqueued again, by whichever process.
func TestANoticeIsEnqueuedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		enqueued := 0
		k := newKit(t, 3, func(_ *Config, q *queue.Config) {
			q.Middleware = []queue.Middleware{{Enqueue: func(next queue.EnqueueFunc) queue.EnqueueFunc {
				return func(ctx context.Context, rows []*queue.Row) error {
					enqueued++
					return next(ctx, rows)
				}
			}}}
		})
		operator, err := k.clients[0].Operator()
		if err != nil {
			t.Fatal(err)
		}
		k.notices[0].Hooks().Promoted(t.Context(), queue.PromoteResult{Failed: 1})
		for range 20 {
			for i, client := range k.clients {
				if i == 1 { // finds something between the notice and the next look
					k.notices[i].Hooks().Promoted(t.Context(), queue.PromoteResult{Reclaimed: 1})
				}
				if _, err := client.Sweep(t.Context(), 0); err != nil {
					t.Fatal(err)
				}
				if _, err := operator.Act(t.Context(), queue.ActionDelete, queue.Selection{View: queue.ViewAll, Task: TaskName}, time.Now().Add(time.Hour), 10); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(10 * time.Second)
		}
		if enqueued != 1 {
			t.Errorf("enqueued %d times", enqueued)
		}
	})
}

// A process that stops between its decision and the enqueue loses no notice.
func TestANoticeThatWasNotEnqueuedIsEnqueuedByTheNextCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		full := true
		k := newKit(t, 1, func(_ *Config, q *queue.Config) {
			q.Middleware = []queue.Middleware{{Enqueue: func(next queue.EnqueueFunc) queue.EnqueueFunc {
				return func(ctx context.Context, rows []*queue.Row) error {
					if full {
						return errors.New("stopped")
					}
					return next(ctx, rows)
				}
			}}}
		})
		k.notices[0].Hooks().Promoted(t.Context(), queue.PromoteResult{Failed: 1})
		k.sweepFor(2 * time.Minute)
		if sent := k.sent(); len(sent) != 0 {
			t.Fatalf("%+v", sent)
		}
		full = false
		k.sweepFor(2 * time.Minute)
		if sent := k.sent(); len(sent) != 1 || titles(sent[0].Problems) != "lost_workers " {
			t.Errorf("%+v", sent)
		}
	})
}
