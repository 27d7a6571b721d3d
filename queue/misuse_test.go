package queue_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/sqlitestore"
)

// panicOf returns what f panics with, as text.
func panicOf(f func()) (text string) {
	defer func() {
		if value := recover(); value != nil {
			text = fmt.Sprint(value)
		}
	}()
	f()
	return ""
}

type silentDispatcher struct{}

func (*silentDispatcher) Dispatch(context.Context, ...queue.Ticket) error { return nil }

func TestConstructorsRefuseNil(t *testing.T) {
	t.Parallel()
	registry := queue.NewRegistry(queue.NewTask("t", nothing))
	store := newStore(t)
	shared := queue.NewLocal()
	for want, cfg := range map[string]queue.Config{
		"Config.Store is required":                    {Registry: registry},
		"Config.Store is a nil *sqlitestore.Store":    {Registry: registry, Store: (*sqlitestore.Store)(nil)},
		"Config.Registry is required":                 {Store: store},
		`backend "default" is a nil *queue_test.sile`: {Store: store, Registry: registry, Dispatcher: (*silentDispatcher)(nil)},
		`backend "b" is a nil *queue.Local`:           {Store: store, Registry: registry, Backends: map[string]queue.Backend{"b": {Dispatcher: (*queue.Local)(nil)}}},
		"was not made with NewLocal":                  {Store: store, Registry: registry, Dispatcher: &queue.Local{}},
		`backends "b" and "default" have the same Local`: {Store: store, Registry: registry, Dispatcher: shared,
			Backends: map[string]queue.Backend{"b": {Dispatcher: shared}}},
	} {
		if _, err := queue.NewClient(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if _, err := queue.NewExecutor(nil, queue.ExecutorConfig{}); err == nil || !strings.Contains(err.Error(), "Client is nil") {
		t.Errorf("executor: %v", err)
	}
	var task *queue.Task[any, any]
	for want, f := range map[string]func(){
		"definition 2 is nil":      func() { queue.NewRegistry(queue.NewTask("t", nothing), nil) },
		"definition 1 is nil":      func() { queue.NewRegistry(task) },
		"definition 1 has no name": func() { queue.NewRegistry(&queue.Task[any, any]{}) },
		"the Executor is nil":      func() { queue.NewLocal().Run(t.Context(), nil) },
	} {
		if got := panicOf(f); !strings.Contains(got, want) {
			t.Errorf("panic %q, want %q", got, want)
		}
	}
}

// A nil Client, which comes beside an error that was not checked, is an error that
// says so and no nil dereference.
func TestNilClientIsAnError(t *testing.T) {
	t.Parallel()
	task, id, ctx := queue.NewTask("t", nothing), uuid.New(), t.Context()
	tx := sqlitestore.Tx(nil)
	for name, call := range map[string]func(c *queue.Client) error{
		"Enqueue": func(c *queue.Client) error { _, err := task.Enqueue(ctx, c, nil); return err },
		"EnqueueTx": func(c *queue.Client) error {
			_, err := task.EnqueueTx(ctx, c, tx, nil)
			return err
		},
		"Result":  func(c *queue.Client) error { _, err := task.Result(ctx, c, id); return err },
		"Wait":    func(c *queue.Client) error { _, err := task.Wait(ctx, c, id); return err },
		"Get":     func(c *queue.Client) error { _, err := c.Get(ctx, id); return err },
		"Cancel":  func(c *queue.Client) error { _, _, err := c.Cancel(ctx, id); return err },
		"Stats":   func(c *queue.Client) error { _, err := c.Stats(ctx, queue.Filter{}); return err },
		"InTx":    func(c *queue.Client) error { return c.InTx(ctx, tx, func(queue.Tx) error { return nil }) },
		"Requeue": func(c *queue.Client) error { _, err := c.Requeue(ctx, queue.RequeueRequest{}); return err },
		"Sweep":   func(c *queue.Client) error { _, err := c.Sweep(ctx, 0); return err },
		"Purge":   func(c *queue.Client) error { _, _, err := c.Purge(ctx, queue.PurgeRequest{}, nil); return err },
	} {
		if err := call(nil); err == nil || !strings.Contains(err.Error(), "check the error of NewClient or StartLocal") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The Tx that InTx was called with would leave the task to the sweeper, minutes
// later.
func TestEnqueueTxWithinInTxNeedsItsOwnTx(t *testing.T) {
	l := newLedger(t, setup{}, queue.NewTask("t", nothing))
	tx := l.begin()
	outer := sqlitestore.Tx(tx)
	err := l.client.InTx(t.Context(), outer, func(q queue.Tx) error {
		if err := l.client.InTx(t.Context(), q, func(queue.Tx) error { return nil }); !errors.Is(err, queue.ErrInvalid) {
			t.Errorf("InTx within InTx: %v", err)
		}
		if _, err := l.client.EnqueueTx(t.Context(), q, "t", nil); err != nil {
			t.Errorf("with its own Tx: %v", err)
		}
		for _, wrong := range []queue.Tx{outer, sqlitestore.Tx(tx)} {
			_, err := l.client.EnqueueTx(t.Context(), wrong, "t", nil)
			if !errors.Is(err, queue.ErrInvalid) || !strings.Contains(err.Error(), "the Tx that InTx gives to its function") {
				t.Errorf("with the outer Tx: %v", err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	next := l.begin() // outside InTx the same is no mistake
	if _, err := l.client.EnqueueTx(t.Context(), sqlitestore.Tx(next), "t", nil); err != nil {
		t.Error(err)
	}
	if err := next.Commit(); err != nil {
		t.Error(err)
	}
	if err := l.client.InTx(t.Context(), nil, func(queue.Tx) error { return nil }); !errors.Is(err, queue.ErrInvalid) {
		t.Errorf("nil transaction: %v", err)
	}
}

func TestDelayWithRunAfterIsRefused(t *testing.T) {
	t.Parallel()
	sys := newSystem(t, setup{}, queue.NewTask("t", nothing))
	for _, options := range [][]queue.Option{
		{queue.Delay(time.Minute), queue.RunAfter(time.Now())}, {queue.RunAfter(time.Now()), queue.Delay(time.Minute)},
	} {
		if _, err := sys.client.Enqueue(t.Context(), "t", nil, options...); !errors.Is(err, queue.ErrInvalid) || !strings.Contains(err.Error(), "exclude each other") {
			t.Errorf("%v", err)
		}
	}
	later := queue.Delay(2 * time.Hour)
	if row := sys.row(sys.enqueue("t", nil, queue.Delay(time.Hour), later)); row.RunAfter.Sub(row.EnqueuedAt) != 2*time.Hour {
		t.Errorf("the last of two delays: %s", row.RunAfter.Sub(row.EnqueuedAt))
	}
}

func TestStartLocalRefusesWhatWouldNeverRun(t *testing.T) {
	t.Parallel()
	empty, err := sqlitestore.Open(t.Context(), sqlitestore.Config{URL: "sqlite::memory:"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = empty.Close() })
	runnable, declared := queue.NewRegistry(queue.NewTask("t", nothing)), queue.NewRegistry(queue.Declare[any, any]("t"))
	store := newStore(t)
	for want, cfg := range map[string]queue.Config{
		"call the store's Migrate before StartLocal": {Store: empty, Registry: runnable},
		"pass what the Handle":                       {Store: store, Registry: declared},
		"sets Config.Dispatcher":                     {Store: store, Registry: runnable, Dispatcher: &silentDispatcher{}},
		"is a nil *sqlitestore.Store":                {Store: (*sqlitestore.Store)(nil), Registry: runnable},
	} {
		if _, err := queue.StartLocal(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	_, err = queue.StartLocal(t.Context(), queue.Config{Store: empty, Registry: runnable})
	if !errors.Is(err, queue.ErrSchema) {
		t.Errorf("no tables: %v", err)
	}
}

// A process that stores tasks for itself and runs none says so.
func TestLocalThatIsNeverRunWarns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		local := queue.NewLocal()
		sys := newSystem(t, setup{dispatch: local}, queue.NewTask("t", nothing))
		const want = "call Local.Run with an Executor"
		sys.enqueue("t", nil)
		sys.enqueue("t", nil)
		time.Sleep(999 * time.Millisecond)
		if strings.Contains(sys.log.String(), want) {
			t.Errorf("warned too soon: %s", sys.log)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if strings.Count(sys.log.String(), want) != 1 {
			t.Errorf("log: %s", sys.log)
		}
	})
}

// A Local that starts just after the first enqueue loses nothing and is no mistake;
// tasks that it cannot run are named once.
func TestLocalNamesTasksWithoutAFunction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		local := queue.NewLocal()
		sys := newSystem(t, setup{dispatch: local}, queue.NewTask("t", nothing), queue.Declare[any, any]("elsewhere"))
		sys.enqueue("t", nil)
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go local.Run(ctx, sys.exec)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		log := sys.log.String()
		if strings.Contains(log, "call Local.Run") || strings.Count(log, "tasks=elsewhere") != 1 {
			t.Errorf("log: %s", log)
		}
		if got := panicOf(func() { local.Run(ctx, sys.exec) }); !strings.Contains(got, "running already") {
			t.Errorf("a second Run: %q", got)
		}
		if got := panicOf(func() { queue.NewLocal().Run(ctx, sys.exec) }); !strings.Contains(got, "does not dispatch to this Local") {
			t.Errorf("another client's executor: %q", got)
		}
	})
}

func TestWorkRefusesWhatWouldNeverRun(t *testing.T) {
	t.Parallel()
	sys := newSystem(t, setup{}, queue.NewTask("t", nothing))
	for want, cfg := range map[string]queue.WorkConfig{
		`backend_name "standard" is not known; known: default`: {From: queue.From{Backend: "standard"}, Continuous: true},
		"MaxTasks and Interval must not be negative":           {MaxTasks: -1},
	} {
		if _, err := sys.exec.Work(t.Context(), cfg); !errors.Is(err, queue.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if _, err := sys.exec.ProcessOne(t.Context(), queue.From{Backend: "standard"}); !errors.Is(err, queue.ErrInvalid) {
		t.Errorf("ProcessOne: %v", err)
	}
	declared := newSystem(t, setup{}, queue.Declare[any, any]("t"))
	if _, err := declared.exec.Work(t.Context(), queue.WorkConfig{}); err == nil || !strings.Contains(err.Error(), "pass what the Handle") {
		t.Errorf("nothing runnable: %v", err)
	}
	for _, r := range []queue.PurgeRequest{{}, {Statuses: []queue.Status{queue.StatusReady}}, {Statuses: []queue.Status{queue.StatusFailed}, Age: -1}} {
		if _, _, err := sys.client.Purge(t.Context(), r, nil); !errors.Is(err, queue.ErrInvalid) {
			t.Errorf("purge %+v: %v", r, err)
		}
	}
	if got := panicOf(func() { sys.client.SweepEvery(t.Context(), 0) }); !strings.Contains(got, "must be positive") {
		t.Errorf("SweepEvery(0): %q", got)
	}
}

// A result is read as the type that the caller declared; that of another type is
// an error and not a zero value.
func TestResultOfAnotherType(t *testing.T) {
	t.Parallel()
	type receipt struct {
		Number int `json:"number"`
	}
	sys := newSystem(t, setup{}, queue.NewTask("t", func(context.Context, any) (receipt, error) { return receipt{7}, nil }))
	id := sys.enqueue("t", nil)
	sys.run(id)
	if got, err := queue.Declare[any, receipt]("t").Result(t.Context(), sys.client, id); err != nil || got.Number != 7 {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := queue.Declare[any, map[string]int]("t").Result(t.Context(), sys.client, id); err != nil || got["number"] != 7 {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := queue.Declare[any, string]("t").Result(t.Context(), sys.client, id); err == nil || !strings.Contains(err.Error(), "is no string") {
		t.Errorf("string: %v", err)
	}
	if _, err := queue.Declare[any, struct{ Total int }]("t").Result(t.Context(), sys.client, id); err == nil || !strings.Contains(err.Error(), "none of the type's fields") {
		t.Errorf("other fields: %v", err)
	}
}

// What StartLocal made logs a declared task once, and runs the others.
func TestStartLocalWarnsAboutDeclaredTasks(t *testing.T) {
	t.Parallel()
	log := &lockedBuffer{}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	task := queue.NewTask("t", nothing)
	client, err := queue.StartLocal(ctx, queue.Config{
		Store: newStore(t), Registry: queue.NewRegistry(task, queue.Declare[any, any]("elsewhere")),
		Logger: slog.New(slog.NewTextHandler(log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	handle, err := task.Enqueue(t.Context(), client, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := task.Wait(t.Context(), client, handle.ID); err != nil {
		t.Error(err)
	}
	if !bytes.Contains([]byte(log.String()), []byte("tasks=elsewhere")) {
		t.Errorf("log: %s", log)
	}
}
