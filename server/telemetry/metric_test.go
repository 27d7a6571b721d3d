package telemetry_test

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/telemetry"
)

// enqueue stores a task that must be accepted.
func (s *site) enqueue(task string, options ...queue.Option) uuid.UUID {
	s.t.Helper()
	handle, err := s.client.Enqueue(s.t.Context(), task, nil, options...)
	if err != nil {
		s.t.Fatal(err)
	}
	return handle.ID
}

// run runs a task that must be claimed.
func (s *site) run(id uuid.UUID) {
	s.t.Helper()
	if _, err := s.exec.RunByID(s.t.Context(), id, queue.RunOptions{}); err != nil {
		s.t.Fatal(err)
	}
}

// expect checks what a metric adds up to.
func (s *site) expect(want float64, name string, attributes ...string) {
	s.t.Helper()
	if got := s.count(name, attributes...); got != want {
		s.t.Errorf("%s %v is %v, want %v", name, attributes, got, want)
	}
}

func TestMetricsCountWhatHappens(t *testing.T) {
	s := newSite(t)
	s.run(s.enqueue("works"))
	failing := s.enqueue("fails")
	s.run(failing)
	s.run(failing)
	s.run(s.enqueue("snoozes"))
	s.run(s.enqueue("loses"))
	s.out.err = errors.New("refused")
	s.enqueue("works", queue.Delay(time.Hour))

	s.expect(5, "claimcheck.enqueued")
	s.expect(2, "claimcheck.enqueued", "queue=emails", "task=works")
	s.expect(1, "claimcheck.dispatched", "queue=emails", "result=refused")
	s.expect(1, "claimcheck.runs", "task=works", "outcome=succeeded")
	s.expect(1, "claimcheck.runs", "outcome=failed", "result=READY", "error.type=telemetry_test.errOnce")
	s.expect(1, "claimcheck.runs", "outcome=failed", "result=FAILED")
	s.expect(1, "claimcheck.runs", "outcome=rescheduled", "error.type=")
	s.expect(1, "claimcheck.lease.lost")
	s.expect(5, "claimcheck.run.duration")
	s.expect(4, "claimcheck.queue.wait") // the second attempt did not wait for its first claim
	s.expect(1, "claimcheck.tasks", "queue=emails", "state=delayed")
	s.expect(1, "claimcheck.figures.up")
	s.expect(1, "claimcheck.pool.max")
}

// There is no metric that is not listed, none listed that is not there, and each
// says its unit and what it is.
func TestEveryMetricIsListed(t *testing.T) {
	s := newSite(t)
	s.run(s.enqueue("loses"))
	row := &queue.NewRow{Row: &queue.Row{ID: uuid.New(), Task: "works", Queue: "q", Backend: "default", Args: []byte("1"), MaxAttempts: 1}}
	if err := s.store.Insert(t.Context(), row); err != nil {
		t.Fatal(err)
	}
	if _, err := s.store.Claim(t.Context(), row.ID, queue.ClaimRequest{Tasks: []string{"works"}, Lease: -time.Second, ClaimID: uuid.New()}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.client.Sweep(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	s.expect(1, "claimcheck.lease.expired", "result=failed")
	s.enqueue("works")
	found := s.collected()
	for _, i := range telemetry.Instruments() {
		if m, ok := found[i.Name]; !ok || m.Unit != i.Unit || m.Description != i.Description || i.Description == "" {
			t.Errorf("%s: found %v, %q %q", i.Name, ok, m.Unit, m.Description)
		}
		delete(found, i.Name)
	}
	for name := range found {
		t.Errorf("%s is not listed", name)
	}
}

// counting is a store that counts how often it is asked.
type counting struct {
	queue.Store
	queue.Operator
	asked atomic.Int64
	takes time.Duration
	fail  bool
}

func (c *counting) Queues(ctx context.Context) ([]queue.QueueStats, error) {
	c.asked.Add(1)
	if c.takes > 0 {
		time.Sleep(c.takes)
	}
	if _, limited := ctx.Deadline(); !limited {
		return nil, errors.New("it may take for ever")
	}
	if c.fail {
		return nil, queue.ErrUnavailable
	}
	return []queue.QueueStats{
		{Backend: "default", Queue: "q", Pending: 3, Stranded: 2, OldestSince: time.Now().Add(-time.Hour)},
		{Backend: "default", Queue: "ahead", Pending: 1, OldestSince: time.Now().Add(time.Hour)},
	}, nil
}

func watched(t *testing.T, store queue.Store) *site {
	t.Helper()
	s := &site{t: t, reader: sdkmetric.NewManualReader()}
	tel, err := telemetry.New(telemetry.Config{Meter: sdkmetric.NewMeterProvider(sdkmetric.WithReader(s.reader))})
	if err != nil {
		t.Fatal(err)
	}
	if err := tel.Watch(store); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTheDatabaseIsAskedForGaugesNowAndThen(t *testing.T) {
	store := &counting{}
	s := watched(t, store)
	for range 3 {
		s.expect(3, "claimcheck.tasks", "queue=q", "state=pending")
	}
	s.expect(2, "claimcheck.stranded")
	if got := s.count("claimcheck.oldest_due.age", "queue=q"); got < 3600 || got > 3700 {
		t.Errorf("the oldest has been due for %v s", got)
	}
	s.expect(0, "claimcheck.oldest_due.age", "queue=ahead")
	if n := store.asked.Load(); n != 1 {
		t.Errorf("it was asked %d times", n)
	}
}

func TestTheDatabaseIsAskedLessOftenTheLongerItTakes(t *testing.T) {
	for took, again := range map[time.Duration]time.Duration{0: 10 * time.Second, time.Second: 20 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			store := &counting{takes: took}
			s := watched(t, store)
			begun := time.Now()
			for _, step := range []struct {
				at    time.Duration
				asked int64
			}{{0, 1}, {again - time.Millisecond, 1}, {again, 2}} {
				time.Sleep(time.Until(begun.Add(step.at)))
				s.collected()
				if n := store.asked.Load(); n != step.asked {
					t.Errorf("if it takes %s, it was asked %d times after %s, want %d", took, n, step.at, step.asked)
				}
			}
		})
	}
}

func TestAnOutageLeavesTheOtherMetrics(t *testing.T) {
	store := &counting{fail: true}
	s := watched(t, store)
	found := s.collected()
	if _, ok := found["claimcheck.tasks"]; ok {
		t.Error("there are gauges of tasks")
	}
	if _, ok := found["claimcheck.figures.up"]; !ok {
		t.Error("claimcheck.figures.up is missing")
	}
	s.expect(0, "claimcheck.figures.up")
	if n := store.asked.Load(); n != 1 {
		t.Errorf("it was asked %d times", n)
	}
}

func TestWithoutTracesThereAreStillMetrics(t *testing.T) {
	tel, err := telemetry.New(telemetry.Config{Meter: sdkmetric.NewMeterProvider()})
	if err != nil {
		t.Fatal(err)
	}
	hooks := tel.Hooks()
	if hooks.Enqueuing != nil || hooks.Running != nil {
		t.Error("there are hooks for spans")
	}
	called := false
	tel.Around("/tasks/status/", func(http.ResponseWriter, *http.Request) { called = true })(nil, &http.Request{})
	if !called {
		t.Error("the request was not served")
	}
	if _, err := telemetry.New(telemetry.Config{}); err == nil {
		t.Error("a Config without providers was accepted")
	}
}
