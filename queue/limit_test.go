package queue_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/sqlitestore"
)

// most counts what runs, and keeps the greatest number.
type most struct{ now, greatest atomic.Int64 }

func (m *most) run() func() {
	n := m.now.Add(1)
	for {
		g := m.greatest.Load()
		if n <= g || m.greatest.CompareAndSwap(g, n) {
			return func() { m.now.Add(-1) }
		}
	}
}

func (s *system) limit(l queue.Limit) {
	s.t.Helper()
	if _, err := s.client.SetLimit(s.t.Context(), l, "ann"); err != nil {
		s.t.Fatal(err)
	}
}

// deliveries is a Dispatcher that delivers each ticket once, when it is due.
type deliveries struct {
	sys   *system
	group sync.WaitGroup
	mu    sync.Mutex
	ran   []uuid.UUID
}

func (d *deliveries) Dispatch(_ context.Context, tickets ...queue.Ticket) error {
	for _, ticket := range tickets {
		d.group.Go(func() {
			time.Sleep(time.Until(ticket.DueAt) + time.Millisecond)
			_, err := d.sys.exec.RunByID(context.Background(), ticket.ID, queue.RunOptions{})
			switch {
			case err == nil:
				d.mu.Lock()
				d.ran = append(d.ran, ticket.ID)
				d.mu.Unlock()
			case !errors.Is(err, queue.ErrLimited) && !errors.Is(err, queue.ErrFinal) && !errors.Is(err, queue.ErrLeased):
				d.sys.t.Errorf("delivery: %v", err)
			}
		})
	}
	return nil
}

// Where tasks are dispatched, each run that ends lets the next one start: no delivery is
// repeated for it.
func TestDeliveriesOverALimitRunInTheirTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m most
		out := &deliveries{}
		sys := newSystem(t, setup{dispatch: out, exec: queue.ExecutorConfig{Concurrency: 50}}, queue.NewTaskFunc("t", func(context.Context, int) error {
			defer m.run()()
			time.Sleep(time.Second)
			return nil
		}))
		out.sys = sys
		sys.limit(queue.Limit{Kind: queue.LimitQueue, Name: "default", Running: 3})
		ids := make([]uuid.UUID, 20)
		for i := range ids {
			ids[i] = sys.enqueue("t", i)
		}
		out.group.Wait()
		if len(out.ran) != len(ids) || m.greatest.Load() != 3 {
			t.Errorf("%d have run, at most %d at once, want %d and 3", len(out.ran), m.greatest.Load(), len(ids))
		}
		for _, id := range ids {
			if row := sys.row(id); row.Attempts != 1 || row.Status != queue.StatusSuccessful {
				t.Errorf("%s after %d attempts", row.Status, row.Attempts)
			}
		}
		sys.shutdown()
	})
}

// The sweeper lets start what a process that has died left waiting.
func TestSweepLetsWaitingTasksStart(t *testing.T) {
	out := &recorder{}
	sys := newSystem(t, setup{dispatch: out}, queue.NewTask("t", nothing))
	sys.limit(queue.Limit{Kind: queue.LimitQueue, Name: "default", Running: 1})
	first, second := sys.enqueue("t", nil), sys.enqueue("t", nil)
	row, err := sys.store.Claim(t.Context(), first, queue.ClaimRequest{Tasks: []string{"t"}, Lease: time.Minute, ClaimID: queue.NewClaimID()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sys.exec.RunByID(t.Context(), second, queue.RunOptions{}); !errors.Is(err, queue.ErrLimited) || !strings.Contains(err.Error(), "limit") {
		t.Fatal(err)
	}
	if _, err := sys.store.Finish(t.Context(), row.Claim(), queue.Finish{Status: queue.StatusSuccessful}); err != nil {
		t.Fatal(err)
	}
	out.tickets = nil
	if swept, err := sys.client.Sweep(t.Context(), 0); err != nil || swept.Dispatched != 1 {
		t.Errorf("sweep: %+v, %v", swept, err)
	}
	if sent := out.sent(); len(sent) != 1 || sent[0].ID != second {
		t.Errorf("tickets %+v", sent)
	}
	sys.run(second)
}

// A version that does not know a task, for example after a rollback, does not let it take
// the slot of the tasks that it knows.
func TestUnknownTasksTakeNoSlot(t *testing.T) {
	out := &recorder{}
	newer := newSystem(t, setup{dispatch: &recorder{}}, queue.NewTask("t", nothing), queue.NewTask("new", nothing))
	sys := newSystem(t, setup{store: newer.store, dispatch: out}, queue.NewTask("t", nothing))
	sys.limit(queue.Limit{Kind: queue.LimitQueue, Name: "default", Running: 1})
	first, unknown, known := sys.enqueue("t", nil), newer.enqueue("new", nil), sys.enqueue("t", nil)
	row, err := sys.store.Claim(t.Context(), first, queue.ClaimRequest{Tasks: []string{"t"}, Lease: time.Minute, ClaimID: queue.NewClaimID()})
	if err != nil {
		t.Fatal(err)
	}
	for id, client := range map[uuid.UUID]*system{unknown: newer, known: sys} {
		if _, err := client.exec.RunByID(t.Context(), id, queue.RunOptions{}); !errors.Is(err, queue.ErrLimited) {
			t.Fatal(err)
		}
	}
	if _, err := sys.store.Finish(t.Context(), row.Claim(), queue.Finish{Status: queue.StatusSuccessful}); err != nil {
		t.Fatal(err)
	}
	out.tickets = nil
	if _, err := sys.client.Sweep(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if sent := out.sent(); len(sent) != 1 || sent[0].ID != known {
		t.Errorf("tickets %+v, want one for %s", sent, known)
	}
	sys.run(known)
	if swept, err := newer.client.Sweep(t.Context(), 0); err != nil || swept.Dispatched != 1 {
		t.Errorf("sweep of the version that knows the task: %+v, %v", swept, err)
	}
}

// A task that is cancelled while it runs lets the next one start.
func TestCancelLetsTheNextStart(t *testing.T) {
	out := &recorder{}
	sys := newSystem(t, setup{dispatch: out}, queue.NewTask("t", nothing))
	sys.limit(queue.Limit{Kind: queue.LimitName, Name: "t", Running: 1})
	first, second := sys.enqueue("t", nil), sys.enqueue("t", nil)
	if _, err := sys.store.Claim(t.Context(), first, queue.ClaimRequest{Tasks: []string{"t"}, Lease: time.Minute, ClaimID: queue.NewClaimID()}); err != nil {
		t.Fatal(err)
	}
	if _, err := sys.exec.RunByID(t.Context(), second, queue.RunOptions{}); !errors.Is(err, queue.ErrLimited) {
		t.Fatal(err)
	}
	out.tickets = nil
	if _, _, err := sys.client.Cancel(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	if sent := out.sent(); len(sent) != 1 || sent[0].ID != second {
		t.Errorf("tickets %+v", sent)
	}
}

// A delivery that comes too early for a rate gets another ticket, for its time.
func TestDeliveriesOverARateAreArmedForTheirTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &deliveries{}
		var mu sync.Mutex
		var starts []time.Time
		sys := newSystem(t, setup{dispatch: out, exec: queue.ExecutorConfig{Concurrency: 50}}, queue.NewTaskFunc("t", func(context.Context, int) error {
			mu.Lock()
			defer mu.Unlock()
			starts = append(starts, time.Now())
			return nil
		}))
		out.sys = sys
		sys.limit(queue.Limit{Kind: queue.LimitName, Name: "t", Starts: 2, Per: time.Second})
		for i := range 12 {
			sys.enqueue("t", i)
		}
		out.group.Wait()
		slices.SortFunc(starts, time.Time.Compare)
		if len(starts) != 12 {
			t.Fatalf("%d starts", len(starts))
		}
		for i := 2; i < len(starts); i++ {
			if since := starts[i].Sub(starts[i-2]); since < time.Second {
				t.Errorf("starts %d to %d within %s", i-2, i, since)
			}
		}
		sys.shutdown()
	})
}

// Duplicate tickets of a task that waits for a rate become one. A delivery by that one, or
// after it could not be made, makes another.
func TestDuplicateTicketsOfARateBecomeOne(t *testing.T) {
	out := &recorder{}
	sys := newSystem(t, setup{dispatch: out}, queue.NewTask("t", nothing))
	sys.limit(queue.Limit{Kind: queue.LimitName, Name: "t", Starts: 1, Per: time.Hour})
	sys.run(sys.enqueue("t", nil))
	id := sys.enqueue("t", nil)
	deliver := func(by string, want error) (made string) {
		t.Helper()
		out.tickets = nil
		if _, err := sys.exec.RunByID(t.Context(), id, queue.RunOptions{Ticket: by}); !errors.Is(err, want) {
			t.Fatal(err)
		}
		sent := out.sent()
		if len(sent) != 1 || sent[0].Name == "" || time.Until(sent[0].DueAt) < time.Minute {
			t.Fatalf("tickets %+v", sent)
		}
		return sent[0].Name
	}
	name := deliver("1", queue.ErrLimited)
	for _, by := range []string{"2", "3-4", name + "-5"} {
		if made := deliver(by, queue.ErrLimited); made != name {
			t.Errorf("by %s another ticket is made, %s", by, made)
		}
	}
	for range 3 {
		next := deliver(name, queue.ErrLimited)
		if next == name {
			t.Error("the ticket is used up, and no other one is made")
		}
		name = next
	}
	out.err = errors.New("refused")
	refused := deliver(name, queue.ErrNotArmed)
	out.err = nil
	if made := deliver(name, queue.ErrLimited); made == name || made == refused {
		t.Errorf("after a refusal of %s the ticket %s is made", refused, made)
	}
}

// testPulled runs tasks with a limit of 3 that are pulled, and others, which may not wait
// for them.
func testPulled(t *testing.T, sys *system, m *most, wait func(ids []uuid.UUID)) {
	var ids []uuid.UUID
	for i := range 12 {
		ids = append(ids, sys.enqueue("limited", i), sys.enqueue("free", i))
	}
	wait(ids)
	for _, id := range ids {
		if row := sys.row(id); row.Attempts != 1 || row.Status != queue.StatusSuccessful {
			t.Errorf("%s is %s after %d attempts", row.Task, row.Status, row.Attempts)
		}
	}
	if m.greatest.Load() != 3 {
		t.Errorf("at most %d at once, want 3", m.greatest.Load())
	}
}

// pulledTasks are a task with a limit, which takes a second, and one without.
func pulledTasks(m *most) []queue.Definition {
	return []queue.Definition{
		queue.NewTaskFunc("limited", func(context.Context, int) error {
			defer m.run()()
			time.Sleep(time.Second)
			return nil
		}, queue.LimitRunning(3)),
		queue.NewTask("free", nothing),
	}
}

func TestWorkersKeepLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m most
		sys := newSystem(t, setup{exec: queue.ExecutorConfig{Concurrency: 8}}, pulledTasks(&m)...)
		testPulled(t, sys, &m, func(ids []uuid.UUID) {
			if result, err := sys.exec.Work(t.Context(), queue.WorkConfig{}); err != nil || result.Runs != len(ids) {
				t.Errorf("%+v, %v", result, err)
			}
		})
		sys.shutdown()
	})
}

// slowPull is a store in which the process is stopped between the first claim of a pull and
// the last one, for longer than the lease.
type slowPull struct {
	*sqlitestore.Store
	t      *testing.T
	claims []queue.Claim
}

func (s *slowPull) ClaimLimited(ctx context.Context, r queue.ClaimNextRequest) ([]*queue.Row, time.Duration, error) {
	if !r.Share && len(s.claims) == 1 {
		time.Sleep(r.Lease)
		if p, err := s.Promote(s.t.Context(), 10); err != nil || p.Reclaimed != 1 {
			s.t.Errorf("%+v, %v", p, err)
		}
	}
	rows, wait, err := s.Store.ClaimLimited(ctx, r)
	for _, row := range rows {
		s.claims = append(s.claims, row.Claim())
	}
	return rows, wait, err
}

// Two runs with one claim ID would both be its owner.
func TestAPullDoesNotUseAClaimIDTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &slowPull{Store: newStore(t), t: t}
		var outcomes []queue.Outcome
		sys := newSystem(t, setup{store: store, exec: queue.ExecutorConfig{Concurrency: 2, Lease: 2 * time.Second}},
			queue.NewTask("limited", nothing, queue.LimitRunning(5)))
		if err := sys.client.ApplyLimits(t.Context()); err != nil {
			t.Fatal(err)
		}
		id := sys.enqueue("limited", 1)
		_, err := sys.exec.Work(t.Context(), queue.WorkConfig{OnRun: func(run *queue.Run) { outcomes = append(outcomes, run.Outcome) }})
		if err != nil || sys.row(id).Status != queue.StatusSuccessful {
			t.Errorf("%+v, %v", sys.row(id), err)
		}
		if len(store.claims) != 2 || store.claims[0] == store.claims[1] {
			t.Errorf("claims %v", store.claims)
		}
		slices.Sort(outcomes)
		if !slices.Equal(outcomes, []queue.Outcome{queue.OutcomeLost, queue.OutcomeSucceeded}) {
			t.Errorf("outcomes %v", outcomes)
		}
		sys.shutdown()
	})
}

// A worker of one slot claims by priority, and tasks with and without limits in turn only
// at the same one.
func TestWorkersShareSlotsByPriority(t *testing.T) {
	for name, c := range map[string]struct {
		priority int
		order    string
	}{
		"a higher one": {10, "llllllffffff"},
		"a lower one":  {-10, "ffffffllllll"},
		"the same":     {0, "flflflflflfl"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var order strings.Builder
				runs := func(letter string) func(context.Context, int) error {
					return func(context.Context, int) error {
						order.WriteString(letter)
						time.Sleep(time.Second)
						return nil
					}
				}
				sys := newSystem(t, setup{exec: queue.ExecutorConfig{Concurrency: 1}},
					queue.NewTaskFunc("limited", runs("l"), queue.LimitRunning(5), queue.Priority(c.priority)), queue.NewTaskFunc("free", runs("f")))
				if err := sys.client.ApplyLimits(t.Context()); err != nil {
					t.Fatal(err)
				}
				for i := range 6 {
					sys.enqueue("free", i)
					sys.enqueue("limited", i)
				}
				if result, err := sys.exec.Work(t.Context(), queue.WorkConfig{}); err != nil || result.Runs != 12 {
					t.Errorf("%+v, %v", result, err)
				}
				sys.shutdown()
				if got := order.String(); got != c.order {
					t.Errorf("the order is %s, want %s", got, c.order)
				}
			})
		})
	}
}

func TestLocalKeepsLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m most
		sys, local := localSystem(t, setup{exec: queue.ExecutorConfig{Concurrency: 8}}, pulledTasks(&m)...)
		if err := sys.client.ApplyLimits(t.Context()); err != nil {
			t.Fatal(err)
		}
		sys.startLocal(local)
		begin := time.Now()
		testPulled(t, sys, &m, func(ids []uuid.UUID) {
			for _, id := range ids {
				if _, err := sys.client.Wait(t.Context(), id); err != nil {
					t.Fatal(err)
				}
			}
		})
		if took := time.Since(begin); took > 8*time.Second { // four rounds, and the wait for what a poll finds
			t.Errorf("it took %s", took)
		}
	})
}

// A rate makes a worker wait, and no longer than it has to.
func TestLocalKeepsARate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sys, local := localSystem(t, setup{}, queue.NewTask("t", nothing, queue.LimitStarts(2, time.Second)))
		if err := sys.client.ApplyLimits(t.Context()); err != nil {
			t.Fatal(err)
		}
		sys.startLocal(local)
		var ids []uuid.UUID
		for range 6 {
			ids = append(ids, sys.enqueue("t", nil))
		}
		var starts []time.Time
		for _, id := range ids {
			row, err := sys.client.Wait(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			starts = append(starts, row.StartedAt)
		}
		slices.SortFunc(starts, time.Time.Compare)
		for i := 2; i < len(starts); i++ {
			if since := starts[i].Sub(starts[i-2]); since < time.Second || since > 2*time.Second {
				t.Errorf("starts %d to %d within %s", i-2, i, since)
			}
		}
	})
}

func TestLimitKeys(t *testing.T) {
	type in struct{ Tenant string }
	tenant := queue.LimitKey(func(in in) string { return in.Tenant })
	task := queue.NewTaskFunc("t", func(context.Context, in) error { return nil }, tenant, queue.LimitRunningEach(2), queue.LimitStarts(5, time.Minute))
	sys := newSystem(t, setup{}, task)
	if key := sys.row(sys.enqueue("t", in{"acme"})).LimitKey; key != "acme" {
		t.Errorf("key %q", key)
	}
	if key := sys.row(sys.enqueue("t", in{})).LimitKey; key != "" {
		t.Errorf("key %q of none", key)
	}
	for what, err := range map[string]error{
		"a long key": func() error {
			_, err := task.Enqueue(t.Context(), sys.client, in{strings.Repeat("x", 201)})
			return err
		}(),
		"a limit of one call": func() error {
			_, err := task.Enqueue(t.Context(), sys.client, in{}, queue.LimitRunning(1))
			return err
		}(),
		"another type": func() error {
			_, err := task.Enqueue(t.Context(), sys.client, in{}, queue.LimitKey(func(int) string { return "" }))
			return err
		}(),
		"a panic": func() error {
			_, err := task.Enqueue(t.Context(), sys.client, in{}, queue.LimitKey(func(in) string { panic("no") }))
			return err
		}(),
	} {
		if err == nil {
			t.Errorf("%s was accepted", what)
		}
	}
	for range 2 {
		if err := sys.client.ApplyLimits(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	limits, err := sys.client.Limits(t.Context())
	want := []queue.Limit{{Kind: queue.LimitEach, Name: "t", Running: 2, Code: true}, {Kind: queue.LimitName, Name: "t", Starts: 5, Per: time.Minute, Code: true}}
	if err != nil || !slices.Equal(limits, want) {
		t.Errorf("%+v, %v", limits, err)
	}
	for what, option := range map[string]queue.Option{"0 running": queue.LimitRunning(0), "too many": queue.LimitStarts(queue.MaxLimit+1, time.Second), "no period": queue.LimitStarts(1, 0), "no key": queue.LimitRunningEach(1)} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s was accepted", what)
				}
			}()
			queue.NewTask("t", nothing, option)
		}()
	}
}

func TestLimitsOfQueuesAreShownAndAudited(t *testing.T) {
	sys := newSystem(t, setup{}, queue.NewTask("t", nothing))
	sys.limit(queue.Limit{Kind: queue.LimitQueue, Name: "emails", Running: 5, Starts: 10, Per: time.Second})
	states, err := sys.client.QueueStates(t.Context())
	if err != nil || len(states) != 1 || states[0].Name != "emails" || *states[0].Limit != 5 || *states[0].Rate != (queue.QueueRate{Starts: 10, Per: "1s"}) {
		t.Errorf("%+v, %v", states, err)
	}
	log, err := sys.operator().AuditLog(t.Context(), uuid.Nil, time.Time{}, 10)
	if err != nil || len(log) != 1 || log[0].Action != queue.AuditLimit || log[0].Actor != "ann" || log[0].Target != "queue emails: 5 running 10 starts per 1s" {
		t.Errorf("audit log: %+v, %v", log, err)
	}
}
