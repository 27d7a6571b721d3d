package queue_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/sqlitestore"
)

// stepped is a system whose task is given anew for each attempt.
type stepped struct {
	*system
	attempt func(ctx context.Context) (any, error)
}

func newStepped(t *testing.T, s setup, opts ...queue.Option) *stepped {
	t.Helper()
	st := &stepped{}
	st.system = newSystem(t, s, queue.NewTask("t", func(ctx context.Context, _ any) (any, error) { return st.attempt(ctx) }, opts...))
	return st
}

// try runs one attempt of a task.
func (s *stepped) try(id uuid.UUID, attempt func(ctx context.Context) (any, error)) *queue.Run {
	s.t.Helper()
	s.attempt = attempt
	return s.run(id)
}

// checkpoint returns what is stored of a row's steps and data.
func (s *stepped) checkpoint(id uuid.UUID) (steps []string, data string) {
	s.t.Helper()
	row := s.row(id)
	if row.Checkpoint == nil {
		return nil, ""
	}
	var c struct {
		Steps []struct {
			Name   string
			Result json.RawMessage
		}
		Data json.RawMessage
	}
	if err := json.Unmarshal(row.Checkpoint, &c); err != nil {
		s.t.Fatal(err)
	}
	for _, step := range c.Steps {
		steps = append(steps, step.Name+"="+string(step.Result))
	}
	return steps, string(c.Data)
}

// savingStore counts the saves of a store.
type savingStore struct {
	*sqlitestore.Store
	mu    sync.Mutex
	save  int
	fails error // of the next save
}

func (s *savingStore) SaveCheckpoint(ctx context.Context, claim queue.Claim, data json.RawMessage, more int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.save++
	if err := s.fails; err != nil {
		s.fails = nil
		return err
	}
	return s.Store.SaveCheckpoint(ctx, claim, data, more)
}

type receipt struct {
	ID     string `json:"id"`
	Amount int    `json:"amount"`
}

var errBoom = errors.New("boom")

func TestAStepIsNotRepeated(t *testing.T) {
	s := newStepped(t, setup{})
	id := s.enqueue("t", nil)
	charged, mailed := 0, 0
	work := func(ctx context.Context) (any, error) {
		got, err := queue.Step(ctx, "charge", func(context.Context) (receipt, error) {
			charged++
			return receipt{"r-1", 1200}, nil
		})
		if err != nil {
			return nil, err
		}
		if got != (receipt{"r-1", 1200}) {
			t.Errorf("charge returned %+v", got)
		}
		_, err = queue.Step(ctx, "mail", func(context.Context) (bool, error) {
			if mailed++; mailed < 3 {
				return false, errBoom
			}
			return true, nil
		})
		return "done", err
	}
	for range 2 {
		if run := s.try(id, work); run.Outcome != queue.OutcomeFailed || !errors.Is(run.Err, errBoom) {
			t.Fatalf("%s, %v", run.Outcome, run.Err)
		}
		if steps, _ := s.checkpoint(id); len(steps) != 1 || steps[0] != `charge={"id":"r-1","amount":1200}` {
			t.Errorf("stored %v", steps)
		}
	}
	run := s.try(id, work)
	if run.Outcome != queue.OutcomeSucceeded || charged != 1 || mailed != 3 {
		t.Errorf("%s, %v: charged %d times, mailed %d times", run.Outcome, run.Err, charged, mailed)
	}
	if row := s.row(id); row.Checkpoint != nil || row.Status != queue.StatusSuccessful {
		t.Errorf("%s, checkpoint %s", row.Status, row.Checkpoint)
	}
}

func TestStepsAllowMoreAttempts(t *testing.T) {
	s := newStepped(t, setup{}, queue.MaxAttempts(2))
	id := s.enqueue("t", nil)
	step := func(name string) func(context.Context) (any, error) {
		return func(ctx context.Context) (any, error) {
			if name != "" {
				if _, err := queue.Step(ctx, name, func(context.Context) (int, error) { return 1, nil }); err != nil {
					return nil, err
				}
			}
			return nil, errBoom
		}
	}
	for i, attempt := range []struct {
		step string
		want int
	}{{"a", 3}, {"b", 4}, {"", 4}, {"c", 6}, {"c", 6}} {
		run := s.try(id, step(attempt.step))
		if row := s.row(id); row.Attempts != i+1 || row.MaxAttempts != attempt.want || row.Status != queue.StatusReady || run.Row.MaxAttempts != attempt.want {
			t.Fatalf("attempt %d: %s, attempts %d of %d, run %d", i+1, row.Status, row.Attempts, row.MaxAttempts, run.Row.MaxAttempts)
		}
	}
	if run := s.try(id, step("")); run.Row.Status != queue.StatusFailed {
		t.Fatalf("the last attempt: %s", run.Row.Status)
	}
	if steps, _ := s.checkpoint(id); len(steps) != 3 {
		t.Errorf("a FAILED task has the steps %v", steps)
	}
	s.attempt = step("a")
	run, err := s.exec.RunByID(t.Context(), id, queue.RunOptions{AllowRetry: true})
	if err != nil || run.Row.Status != queue.StatusFailed || run.Row.Attempts != 7 || run.Row.MaxAttempts != 7 {
		t.Errorf("an operator's retry: %v, %+v", err, run)
	}
	s.attempt = step("d")
	if run, err = s.exec.RunByID(t.Context(), id, queue.RunOptions{AllowRetry: true}); err != nil || run.Row.Status != queue.StatusReady || run.Row.MaxAttempts != 10 {
		t.Errorf("a retry with progress: %v, %+v", err, run)
	}
}

func TestTheLimitOfOneEnqueueCounts(t *testing.T) {
	s := newStepped(t, setup{}, queue.MaxAttempts(10))
	id := s.enqueue("t", nil, queue.MaxAttempts(1))
	run := s.try(id, func(ctx context.Context) (any, error) {
		_, err := queue.Step(ctx, "a", func(context.Context) (int, error) { return 1, nil })
		return nil, errors.Join(err, errBoom)
	})
	if run.Row.Status != queue.StatusReady || run.Row.MaxAttempts != 2 {
		t.Errorf("%s, max_attempts %d", run.Row.Status, run.Row.MaxAttempts)
	}
}

func TestStepsThatAreRefused(t *testing.T) {
	s := newStepped(t, setup{client: queue.Config{MaxBytes: 1000}})
	one := func(context.Context) (int, error) { return 1, nil }
	for name, attempt := range map[string]struct {
		f         func(ctx context.Context) error
		permanent bool
		want      []string
	}{
		"a second step of the name": {func(ctx context.Context) error {
			_, err := queue.Step(ctx, "pay", one)
			_, second := queue.Step(ctx, "pay", one)
			return errors.Join(err, second)
		}, true, []string{`step "pay"`, "needs a name of its own"}},
		"no name":  {func(ctx context.Context) error { _, err := queue.Step(ctx, "", one); return err }, true, []string{"1 to 200 bytes"}},
		"too long": {func(ctx context.Context) error { _, err := queue.Step(ctx, strings.Repeat("x", 201), one); return err }, true, []string{"1 to 200 bytes"}},
		"NUL":      {func(ctx context.Context) error { _, err := queue.Step(ctx, "a\x00", one); return err }, true, []string{"1 to 200 bytes"}},
		"a type without JSON": {func(ctx context.Context) error {
			_, err := queue.Step(ctx, "chan", func(context.Context) (chan int, error) { panic("it was called") })
			return err
		}, true, []string{`step "chan"`, "chan int"}},
		"a type whose fields are lost": {func(ctx context.Context) error {
			_, err := queue.Step(ctx, "lost", func(context.Context) (struct{ a int }, error) { panic("it was called") })
			return err
		}, true, []string{`step "lost"`, "unexported"}},
		"a value without JSON": {func(ctx context.Context) error {
			_, err := queue.Step(ctx, "inf", func(context.Context) (any, error) { return func() {}, nil })
			return err
		}, true, []string{`the result of step "inf"`}},
		"a value that databases refuse": {func(ctx context.Context) error {
			_, err := queue.Step(ctx, "nul", func(context.Context) (string, error) { return "a\x00b", nil })
			return err
		}, true, []string{`the result of step "nul"`}},
		"too many bytes": {func(ctx context.Context) error {
			_, err := queue.Step(ctx, "big", func(context.Context) (string, error) { return strings.Repeat("x", 1000), nil })
			return err
		}, true, []string{`step "big"`, "at most 1000 are accepted"}},
		"a checkpoint of too many bytes":   {func(ctx context.Context) error { return queue.SaveCheckpoint(ctx, strings.Repeat("x", 1000)) }, true, []string{"at most 1000"}},
		"a checkpoint without JSON":        {func(ctx context.Context) error { return queue.SaveCheckpoint(ctx, func() {}) }, true, []string{"checkpoint"}},
		"a continuation of too many bytes": {func(context.Context) error { return queue.Continue(strings.Repeat("x", 1000)) }, true, []string{"at most 1000"}},
		"a continuation without JSON":      {func(context.Context) error { return queue.Continue(func() {}) }, true, []string{"cannot continue", "checkpoint"}},
	} {
		run := s.try(s.enqueue("t", nil), func(ctx context.Context) (any, error) { return nil, attempt.f(ctx) })
		for _, want := range attempt.want {
			if run.Err == nil || !strings.Contains(run.Err.Error(), want) {
				t.Errorf("%s: %v; want %s", name, run.Err, want)
			}
		}
		if (run.Row.Status == queue.StatusFailed) != attempt.permanent {
			t.Errorf("%s: %s", name, run.Row.Status)
		}
	}
}

func TestAStepThatFailedMayBeTriedAgainInTheSameAttempt(t *testing.T) {
	s := newStepped(t, setup{})
	calls := 0
	run := s.try(s.enqueue("t", nil), func(ctx context.Context) (any, error) {
		step := func() (n int, err error) {
			defer func() {
				if value := recover(); value != nil {
					err = errBoom
				}
			}()
			return queue.Step(ctx, "a", func(context.Context) (int, error) {
				switch calls++; calls {
				case 1:
					return 0, errBoom
				case 2:
					panic("boom")
				}
				return calls, nil
			})
		}
		for {
			if n, err := step(); !errors.Is(err, errBoom) {
				return n, err
			}
		}
	})
	if string(run.Row.ReturnValue) != "3" {
		t.Errorf("%s, %v", run.Row.ReturnValue, run.Err)
	}
}

func TestAStepOfAnotherTypeIsNamed(t *testing.T) {
	s := newStepped(t, setup{})
	for what, again := range map[string]func(ctx context.Context) error{
		"cannot use a JSON object as []string": func(ctx context.Context) error {
			_, err := queue.Step(ctx, "charge", func(context.Context) ([]string, error) { panic("it was called") })
			return err
		},
		"none of the type's fields": func(ctx context.Context) error {
			_, err := queue.Step(ctx, "charge", func(context.Context) (struct{ Total float64 }, error) { panic("it was called") })
			return err
		},
	} {
		id := s.enqueue("t", nil)
		s.try(id, func(ctx context.Context) (any, error) {
			_, err := queue.Step(ctx, "charge", func(context.Context) (receipt, error) { return receipt{"r", 1}, nil })
			return nil, errors.Join(err, errBoom)
		})
		run := s.try(id, func(ctx context.Context) (any, error) { return nil, again(ctx) })
		for _, want := range []string{`step "charge"`, "which attempt 1 stored", what, "another name"} {
			if run.Err == nil || !strings.Contains(run.Err.Error(), want) {
				t.Errorf("%v; want %s", run.Err, want)
			}
		}
		if run.Row.Status != queue.StatusReady { // the next version may fix it
			t.Errorf("%s", run.Row.Status)
		}
	}
}

func TestAStepReturnsWhatLaterAttemptsGet(t *testing.T) {
	s := newStepped(t, setup{})
	id := s.enqueue("t", nil)
	type value struct {
		At    time.Time
		Any   any
		Local string `json:"-"`
	}
	var got []value
	for range 2 {
		s.try(id, func(ctx context.Context) (any, error) {
			v, err := queue.Step(ctx, "a", func(context.Context) (value, error) { return value{time.Now(), 7, "lost"}, nil })
			got = append(got, v)
			return nil, errors.Join(err, errBoom)
		})
	}
	if !got[0].At.Equal(got[1].At) || fmt.Sprint(got[0].Any, got[0].Local) != fmt.Sprint(got[1].Any, got[1].Local) || got[0].Local != "" {
		t.Errorf("%+v", got)
	}
}

func TestStepsAtOnce(t *testing.T) {
	s := newStepped(t, setup{})
	id := s.enqueue("t", nil)
	var mu sync.Mutex
	calls := make(map[string]int)
	work := func(ctx context.Context) (any, error) {
		errs := make(chan error)
		for i := range 20 {
			go func() {
				n, err := queue.Step(ctx, fmt.Sprint("step ", i), func(context.Context) (int, error) {
					mu.Lock()
					defer mu.Unlock()
					calls[fmt.Sprint(i)]++
					return i, nil
				})
				if err == nil && n != i {
					err = fmt.Errorf("step %d returned %d", i, n)
				}
				errs <- err
			}()
		}
		var all error
		for range 20 {
			all = errors.Join(all, <-errs)
		}
		if all != nil {
			return nil, queue.Discard(all)
		}
		return nil, errBoom
	}
	s.try(id, work)
	run := s.try(id, work)
	if !errors.Is(run.Err, errBoom) || len(calls) != 20 {
		t.Errorf("%v, %v", run.Err, calls)
	}
	for i, n := range calls {
		if n != 1 {
			t.Errorf("step %s ran %d times", i, n)
		}
	}
}

func TestNoStepBeginsOrIsStoredUnderALostClaim(t *testing.T) {
	s := newStepped(t, setup{})
	id := s.enqueue("t", nil)
	run := s.try(id, func(ctx context.Context) (any, error) {
		_, err := queue.Step(ctx, "a", func(ctx context.Context) (int, error) {
			_, _, err := s.client.Cancel(ctx, id)
			return 1, err
		})
		if !errors.Is(err, queue.ErrLeaseLost) || context.Cause(ctx) != queue.ErrLeaseLost {
			t.Errorf("%v, cause %v", err, context.Cause(ctx))
		}
		if _, err := queue.Step(ctx, "b", func(context.Context) (int, error) { panic("it was called") }); !errors.Is(err, queue.ErrLeaseLost) {
			t.Errorf("the next step: %v", err)
		}
		if err := queue.SaveCheckpoint(ctx, 1); !errors.Is(err, queue.ErrLeaseLost) {
			t.Errorf("SaveCheckpoint: %v", err)
		}
		return nil, queue.Continue(1)
	})
	if run.Outcome != queue.OutcomeLost || run.Row.Status != queue.StatusCancelled || run.Row.Checkpoint != nil {
		t.Errorf("%s, %s, %s", run.Outcome, run.Row.Status, run.Row.Checkpoint)
	}
	if log := s.log.String(); !strings.Contains(log, `level=INFO msg="task was cancelled while it ran"`) || strings.Contains(log, "level=ERROR") {
		t.Errorf("what was asked for is logged as a failure: %s", log)
	}
}

func TestAStepIsStoredThoughTheTaskIsInterrupted(t *testing.T) {
	s := newStepped(t, setup{})
	id := s.enqueue("t", nil)
	s.attempt = func(ctx context.Context) (any, error) {
		_, err := queue.Step(ctx, "a", func(ctx context.Context) (int, error) {
			go s.shutdown()
			<-ctx.Done()
			return 1, nil
		})
		if err != nil {
			t.Errorf("the step that ran: %v", err)
		}
		_, err = queue.Step(ctx, "b", func(context.Context) (int, error) { panic("it was called") })
		return nil, err
	}
	if run := s.run(id); run.Outcome != queue.OutcomeInterrupted {
		t.Errorf("%s, %v", run.Outcome, run.Err)
	}
	if steps, _ := s.checkpoint(id); len(steps) != 1 || steps[0] != "a=1" {
		t.Errorf("stored %v", steps)
	}
	if row := s.row(id); row.Attempts != 0 {
		t.Errorf("attempts %d", row.Attempts)
	}
	// The attempt was given back, so that the next one is the first again.
	next := newStepped(t, setup{store: s.store})
	run := next.try(id, func(ctx context.Context) (any, error) {
		return queue.Step(ctx, "a", func(context.Context) (int, error) { panic("it was called") })
	})
	if string(run.Row.ReturnValue) != "1" {
		t.Errorf("%s, %v", run.Row.ReturnValue, run.Err)
	}
}

func TestASaveWhoseAnswerIsLostIsRepeated(t *testing.T) {
	store := &savingStore{Store: newStore(t), fails: fmt.Errorf("%w: once", queue.ErrUnavailable)}
	s := newStepped(t, setup{store: store})
	run := s.try(s.enqueue("t", nil), func(ctx context.Context) (any, error) {
		return queue.Step(ctx, "a", func(context.Context) (int, error) { return 7, nil })
	})
	if run.Outcome != queue.OutcomeSucceeded || store.save != 2 {
		t.Errorf("%s, %v, %d saves", run.Outcome, run.Err, store.save)
	}
}

func TestStepsNeedATaskAndACheckpointer(t *testing.T) {
	one := func(context.Context) (int, error) { return 1, nil }
	if _, err := queue.Step(t.Context(), "a", one); !errors.Is(err, queue.ErrInvalid) {
		t.Errorf("Step: %v", err)
	}
	if err := queue.SaveCheckpoint(t.Context(), 1); !errors.Is(err, queue.ErrInvalid) {
		t.Errorf("SaveCheckpoint: %v", err)
	}
	if _, _, err := queue.Checkpoint[int](t.Context()); !errors.Is(err, queue.ErrInvalid) {
		t.Errorf("Checkpoint: %v", err)
	}
	s := newStepped(t, setup{store: silentStore{newStore(t)}})
	run := s.try(s.enqueue("t", nil), func(ctx context.Context) (any, error) {
		_, step := queue.Step(ctx, "a", one)
		_, _, read := queue.Checkpoint[int](ctx)
		for name, err := range map[string]error{"Step": step, "SaveCheckpoint": queue.SaveCheckpoint(ctx, 1), "Checkpoint": read} {
			if !errors.Is(err, queue.ErrUnsupported) {
				t.Errorf("%s: %v", name, err)
			}
		}
		return nil, queue.Continue(1)
	})
	if run.Row.Status != queue.StatusFailed || !errors.Is(run.Err, queue.ErrUnsupported) {
		t.Errorf("%s, %v", run.Row.Status, run.Err)
	}
}
