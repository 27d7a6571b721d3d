package queue_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

type welcomeArgs struct {
	UserID int    `json:"user_id"`
	Name   string `json:"name"`
}

func welcome(_ context.Context, in welcomeArgs) (string, error) { return "welcome " + in.Name, nil }

func nothing(context.Context, json.RawMessage) (any, error) { return nil, nil }

func TestTypedTaskFromEnqueueToResult(t *testing.T) {
	task := queue.NewTask("emails.send_welcome", welcome, queue.OnQueue("emails"), queue.Priority(10), queue.MaxAttempts(8))
	sys := newSystem(t, setup{}, task)
	handle, err := task.Enqueue(t.Context(), sys.client, welcomeArgs{UserID: 7, Name: "<Ada>"})
	if err != nil {
		t.Fatal(err)
	}
	row := sys.row(handle.ID)
	if row.Status != queue.StatusReady || row.Queue != "emails" || row.Priority != 10 || row.MaxAttempts != 8 ||
		row.Backend != "default" || string(row.Args) != `{"user_id":7,"name":"<Ada>"}` {
		t.Errorf("stored %+v with args %s", row, row.Args)
	}
	if _, err := task.Result(t.Context(), sys.client, handle.ID); !errors.Is(err, queue.ErrPending) {
		t.Errorf("result before the run: %v, want ErrPending", err)
	}
	sys.run(handle.ID)
	out, err := task.Wait(t.Context(), sys.client, handle.ID)
	if err != nil || out != "welcome <Ada>" {
		t.Errorf("got %q, %v", out, err)
	}
}

// loud is written as a string, which it cannot be read from.
type loud struct{}

func (loud) MarshalJSON() ([]byte, error) { return []byte(`"loud"`), nil }

func TestArgumentsThatCannotBeReadBackAreRefused(t *testing.T) {
	task := queue.NewTask("t", func(context.Context, struct{ Voice loud }) (any, error) { return nil, nil })
	sys := newSystem(t, setup{}, task)
	if _, err := task.Enqueue(t.Context(), sys.client, struct{ Voice loud }{}); !errors.Is(err, queue.ErrInvalid) {
		t.Errorf("got %v", err)
	}
}

func TestOptionsOfOneCallOverrideTheTasks(t *testing.T) {
	task := queue.NewTask("t", nothing, queue.OnQueue("a"), queue.Priority(10), queue.MaxAttempts(3), queue.Timeout(time.Minute))
	sys := newSystem(t, setup{}, task)
	plain := sys.row(sys.enqueue("t", nil))
	if plain.Queue != "a" || plain.Priority != 10 || plain.MaxAttempts != 3 || plain.Timeout != 0 {
		t.Errorf("defaults were not taken: %+v", plain)
	}
	at := time.Date(2040, 5, 6, 7, 8, 9, 123456789, time.FixedZone("", 3600))
	other := sys.row(sys.enqueue("t", nil, queue.OnQueue("b"), queue.Priority(0), queue.MaxAttempts(1), queue.Timeout(time.Second), queue.RunAfter(at)))
	if other.Queue != "b" || other.Priority != 0 || other.MaxAttempts != 1 || other.Timeout != time.Second ||
		!other.RunAfter.Equal(at.Truncate(time.Microsecond)) || other.RunAfter.Location() != time.UTC {
		t.Errorf("overrides were not taken: %+v", other)
	}
}

func TestEnqueueRefusesAndNamesTheField(t *testing.T) {
	type user struct {
		Name  string
		Photo any `json:"photo"`
	}
	sys := newSystem(t, setup{client: queue.Config{Queues: []string{"default", "emails"}, MaxBytes: 200}},
		queue.NewTask("emails.send_welcome", welcome), queue.NewTask("any", nothing))
	loop := map[string]any{}
	loop["self"] = loop
	for name, c := range map[string]struct {
		task string
		args any
		opts []queue.Option
		want string
	}{
		"unknown name":     {"emails.send_welcom", nil, nil, "did you mean emails.send_welcome?"},
		"unlike any":       {"zzz", nil, nil, "registered: any, emails.send_welcome"},
		"low priority":     {"any", nil, []queue.Option{queue.Priority(-101)}, "priority must be a whole number from -100 to 100, not -101"},
		"high priority":    {"any", nil, []queue.Option{queue.Priority(101)}, "priority"},
		"no attempts":      {"any", nil, []queue.Option{queue.MaxAttempts(0)}, "max_attempts must be a whole number from 1 to 1000"},
		"queue name":       {"any", nil, []queue.Option{queue.OnQueue("a b")}, "queue_name"},
		"queue not listed": {"any", nil, []queue.Option{queue.OnQueue("email")}, `queue_name "email" is not allowed; allowed: default, emails`},
		"backend":          {"any", nil, []queue.Option{queue.OnBackend("bulk")}, `backend_name "bulk" is not known; known: default`},
		"negative delay":   {"any", nil, []queue.Option{queue.Delay(-1)}, "delay must not be negative"},
		"negative timeout": {"any", nil, []queue.Option{queue.Timeout(-1)}, "timeout"},
		"ID of zeros":      {"any", nil, []queue.Option{queue.WithID(uuid.Nil)}, "id must be a UUID that is not all zeros"},
		"year 10000":       {"any", nil, []queue.Option{queue.RunAfter(time.Date(9999, 12, 31, 23, 0, 0, 0, time.FixedZone("", -7200)))}, "not in 10000"},
		"year 300000":      {"any", nil, []queue.Option{queue.RunAfter(time.Date(300000, 1, 1, 0, 0, 0, 0, time.UTC))}, "run_after must be between the years 1970 and 9999, not in 300000"},
		"NUL":              {"any", map[string]any{"user": user{Name: "a\x00"}}, nil, "args.user.Name contains U+0000"},
		"channel":          {"any", map[string]any{"user": []any{1, user{Photo: make(chan int)}}}, nil, "args.user[1].photo cannot be encoded"},
		"NaN":              {"any", []float64{1, math.NaN()}, nil, "args[1] cannot be encoded"},
		"cycle":            {"any", loop, nil, "args.self"},
		"too large":        {"any", strings.Repeat("x", 300), nil, "args are 302 bytes of JSON; at most 200 are accepted"},
		"wrong type":       {"emails.send_welcome", json.RawMessage(`{"user_id":"7"}`), nil, "args of emails.send_welcome: user_id: cannot use a JSON string as int"},
		"not an object":    {"emails.send_welcome", json.RawMessage(`[1]`), nil, "args of emails.send_welcome: cannot use a JSON array"},
		"no JSON":          {"any", json.RawMessage(`{`), nil, "args"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := sys.client.Enqueue(t.Context(), c.task, c.args, c.opts...)
			if !errors.Is(err, queue.ErrInvalid) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want ErrInvalid with %q", err, c.want)
			}
		})
	}
	if p, err := sys.store.Promote(t.Context(), 10); err != nil || p.Claimable {
		t.Errorf("something was stored: %+v, %v", p, err)
	}
}

func TestEnqueueManyStoresAllOrNothing(t *testing.T) {
	sys := newSystem(t, setup{}, queue.NewTask("t", nothing))
	_, err := sys.client.EnqueueMany(t.Context(), queue.Request{Task: "t"}, queue.Request{Task: "t", Options: []queue.Option{queue.Priority(500)}})
	var refused *queue.RequestError
	if !errors.As(err, &refused) || refused.Index != 1 {
		t.Fatalf("got %v, want a RequestError for the second", err)
	}
	if p, _ := sys.store.Promote(t.Context(), 10); p.Claimable {
		t.Error("the first was stored")
	}
	handles, err := sys.client.EnqueueMany(t.Context(), queue.Request{Task: "t", Args: 1}, queue.Request{Task: "t", Args: 2})
	if err != nil || len(handles) != 2 || string(sys.row(handles[1].ID).Args) != "2" {
		t.Errorf("got %v, %v", handles, err)
	}
}

func TestRepeatedEnqueueUnderOneIDIsOneTask(t *testing.T) {
	sent := &recorder{}
	sys := newSystem(t, setup{dispatch: sent}, queue.NewTask("t", nothing))
	id := uuid.New()
	first, err := sys.client.Enqueue(t.Context(), "t", json.RawMessage(`{"a":1,"b":2}`), queue.WithID(id))
	if err != nil || first.Existed || first.ID != id {
		t.Fatalf("%+v, %v", first, err)
	}
	second, err := sys.client.Enqueue(t.Context(), "t", json.RawMessage(`{"b":2,"a":1}`), queue.WithID(id))
	if err != nil || !second.Existed || !second.Row.EnqueuedAt.Equal(first.Row.EnqueuedAt) {
		t.Fatalf("repeat: %+v, %v", second, err)
	}
	// The first process may have died before its ticket went out.
	if n := len(sent.sent()); n != 2 {
		t.Errorf("%d tickets, want 2", n)
	}
	if _, err := sys.client.Enqueue(t.Context(), "t", 3, queue.WithID(id)); !errors.Is(err, queue.ErrIDConflict) {
		t.Errorf("other arguments: %v, want ErrIDConflict", err)
	}
	same := queue.Request{Task: "t", Options: []queue.Option{queue.WithID(uuid.New())}}
	if _, err := sys.client.EnqueueMany(t.Context(), same, queue.Request{Task: "t"}, same); err != nil || len(sent.sent()) != 4 {
		t.Errorf("twice in one call: %v, %d tickets, want 2 more", err, len(sent.sent()))
	}
}

func TestNewClientRefusesWhatNoEnqueueCouldUse(t *testing.T) {
	for name, cfg := range map[string]queue.Config{
		"queues":                        {Queues: []string{"default", "a b"}},
		"\"b\"":                         {Backends: map[string]queue.Backend{"b": {Queues: []string{""}}}},
		"MaxBytes must not be negative": {MaxBytes: -1},
		"DispatchTimeout and":           {DispatchTimeout: -1},
	} {
		cfg.Store, cfg.Registry = newStore(t), queue.NewRegistry()
		if _, err := queue.NewClient(cfg); err == nil || !strings.Contains(strings.ToLower(err.Error()), strings.ToLower(name)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDeclaredTaskCanEnqueueItself(t *testing.T) {
	countdown := queue.Declare[int, int]("countdown")
	sys := newSystem(t, setup{}, countdown.Handle(func(ctx context.Context, n int) (int, error) {
		if n == 0 {
			return 0, nil
		}
		h, err := countdown.Enqueue(ctx, queue.ClientFrom(ctx), n-1)
		if err != nil {
			return 0, err
		}
		if h.ID == uuid.Nil {
			return 0, errors.New("no ID")
		}
		return n, nil
	}))
	id := sys.enqueue("countdown", 1)
	if run := sys.run(id); run.Outcome != queue.OutcomeSucceeded {
		t.Fatalf("%+v", run)
	}
	if p, err := sys.store.Promote(t.Context(), 1); err != nil || !p.Claimable {
		t.Errorf("the second task is not there: %+v, %v", p, err)
	}
}

func TestDeclaredWithoutFunctionIsEnqueuedButNotClaimed(t *testing.T) {
	sys := newSystem(t, setup{}, queue.Declare[int, int]("elsewhere"))
	id := sys.enqueue("elsewhere", 1)
	_, err := sys.exec.RunByID(t.Context(), id, queue.RunOptions{})
	if !errors.Is(err, queue.ErrUnknownTask) || sys.row(id).Attempts != 0 {
		t.Errorf("got %v with %d attempts used, want ErrUnknownTask and none", err, sys.row(id).Attempts)
	}
}

func TestAliasRunsRowsOfTheOldName(t *testing.T) {
	store := newStore(t)
	before := newSystem(t, setup{store: store}, queue.NewTask("old.name", welcome))
	id := before.enqueue("old.name", welcomeArgs{Name: "x"})
	task := queue.NewTask("new.name", welcome, queue.Alias("old.name"))
	after := newSystem(t, setup{store: store}, task)
	if run := after.run(id); run.Outcome != queue.OutcomeSucceeded {
		t.Fatalf("%+v", run)
	}
	if out, err := task.Result(t.Context(), after.client, id); err != nil || out != "welcome x" {
		t.Errorf("result under the new name: %q, %v", out, err)
	}
}

func TestResultSaysWhyThereIsNone(t *testing.T) {
	fails := queue.NewTask("fails", func(context.Context, int) (int, error) { return 0, errors.New("no luck") }, queue.MaxAttempts(1))
	sys := newSystem(t, setup{}, fails, queue.NewTask("other", nothing))
	if _, err := fails.Result(t.Context(), sys.client, uuid.New()); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("unknown ID: %v", err)
	}
	if _, err := fails.Result(t.Context(), sys.client, sys.enqueue("other", nil)); !errors.Is(err, queue.ErrWrongTask) {
		t.Errorf("another task's ID: %v", err)
	}
	id := sys.enqueue("fails", 1)
	sys.run(id)
	var failed *queue.FailedError
	if _, err := fails.Wait(t.Context(), sys.client, id); !errors.As(err, &failed) || !strings.Contains(err.Error(), "no luck") {
		t.Errorf("failed task: %v", err)
	}
}

func TestBackendsEachHaveTheirDispatcherAndQueues(t *testing.T) {
	toDefault, toBulk := &recorder{}, &recorder{err: errors.New("quota")}
	sys := newSystem(t, setup{dispatch: toDefault, client: queue.Config{
		Queues:   []string{"default"},
		Backends: map[string]queue.Backend{"bulk": {Dispatcher: toBulk, Queues: []string{"big"}}, "pulled": {}},
	}}, queue.NewTask("t", nothing), queue.NewTask("big", nothing, queue.OnBackend("bulk"), queue.OnQueue("big")))
	handles, err := sys.client.EnqueueMany(t.Context(), queue.Request{Task: "t"}, queue.Request{Task: "big"},
		queue.Request{Task: "t", Options: []queue.Option{queue.OnBackend("pulled")}})
	if err != nil {
		t.Fatal(err)
	}
	if len(toDefault.sent()) != 1 || toDefault.sent()[0].ID != handles[0].ID || len(toBulk.sent()) != 1 || toBulk.sent()[0].ID != handles[1].ID {
		t.Errorf("default got %v, bulk got %v", toDefault.sent(), toBulk.sent())
	}
	for i, want := range []struct{ backend, failure string }{{"default", ""}, {"bulk", "quota"}, {"pulled", ""}} {
		if row := sys.row(handles[i].ID); row.Backend != want.backend || row.DispatchError != want.failure {
			t.Errorf("%+v, want %+v", row, want)
		}
	}
	for want, opts := range map[string][]queue.Option{
		`backend_name "x" is not known; known: bulk, default, pulled`: {queue.OnBackend("x")},
		`queue_name "big" is not allowed; allowed: default`:           {queue.OnQueue("big")},
		`queue_name "default" is not allowed; allowed: big`:           {queue.OnBackend("bulk")},
	} {
		if _, err := sys.client.Enqueue(t.Context(), "t", nil, opts...); !errors.Is(err, queue.ErrInvalid) || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	for _, name := range []string{"default", "", "a b"} {
		cfg := queue.Config{Store: sys.store, Registry: sys.client.Registry(), Backends: map[string]queue.Backend{name: {}}}
		if _, err := queue.NewClient(cfg); err == nil {
			t.Errorf("a backend named %q was accepted", name)
		}
	}
}

func TestMistakesInDefinitionsPanic(t *testing.T) {
	for name, define := range map[string]func(){
		"bad name":     func() { queue.NewTask("a b", nothing) },
		"bad alias":    func() { queue.NewTask("a", nothing, queue.Alias("")) },
		"bad priority": func() { queue.NewTask("a", nothing, queue.Priority(200)) },
		"nil function": func() { queue.NewTask[int, int]("a", nil) },
		"fixed ID":     func() { queue.NewTask("a", nothing, queue.WithID(uuid.New())) },
		"delay":        func() { queue.NewTask("a", nothing, queue.Delay(time.Second)) },
		"twice":        func() { queue.NewRegistry(queue.NewTask("a", nothing), queue.NewTask("b", nothing, queue.Alias("a"))) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			define()
		})
	}
}
