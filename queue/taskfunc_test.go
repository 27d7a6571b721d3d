package queue_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// A task that returns only an error returns JSON's null, however it was defined.
func TestATaskMayReturnOnlyAnError(t *testing.T) {
	var ran []int
	note := func(_ context.Context, n int) error {
		ran = append(ran, n)
		if n < 0 {
			return queue.Discard(errors.New("negative"))
		}
		return nil
	}
	direct := queue.NewTaskFunc("direct", note, queue.OnQueue("mail"))
	declared := queue.Declare[int, any]("declared")
	typed := queue.Declare[int, welcomeArgs]("typed")
	sys := newSystem(t, setup{}, direct, declared.HandleFunc(note), typed.HandleFunc(note))
	for i, task := range []*queue.Task[int, any]{direct, declared} {
		handle, err := task.Enqueue(t.Context(), sys.client, i+1)
		if err != nil {
			t.Fatal(err)
		}
		if run := sys.run(handle.ID); run.Outcome != queue.OutcomeSucceeded || string(run.Row.ReturnValue) != "null" {
			t.Errorf("%s: %s with return value %q", task.Name(), run.Outcome, run.Row.ReturnValue)
		}
		if row := sys.row(handle.ID); string(row.ReturnValue) != "null" {
			t.Errorf("%s: stored return value %q", task.Name(), row.ReturnValue)
		}
		if out, err := task.Result(t.Context(), sys.client, handle.ID); out != nil || err != nil {
			t.Errorf("%s: result %v, %v", task.Name(), out, err)
		}
	}
	if len(ran) != 2 || ran[0] != 1 || ran[1] != 2 {
		t.Errorf("ran with %v", ran)
	}
	failing, err := direct.Enqueue(t.Context(), sys.client, -1)
	if err != nil || failing.Row.Queue != "mail" {
		t.Fatalf("%+v, %v", failing, err)
	}
	if run := sys.run(failing.ID); run.Row.Status != queue.StatusFailed || run.Row.Errors[0].Message != "negative" {
		t.Errorf("an error: %+v", run.Row)
	}
	handle, err := typed.Enqueue(t.Context(), sys.client, 3)
	if err != nil {
		t.Fatal(err)
	}
	sys.run(handle.ID)
	if out, err := typed.Result(t.Context(), sys.client, handle.ID); err != nil || out != (welcomeArgs{}) {
		t.Errorf("the zero value of the declared type: %+v, %v", out, err)
	}
}

func TestATaskFuncWithoutFunctionPanics(t *testing.T) {
	for _, define := range []func(){
		func() { queue.NewTaskFunc[int]("t", nil) },
		func() { queue.Declare[int, any]("t").HandleFunc(nil) },
	} {
		func() {
			defer func() {
				if text, _ := recover().(string); !strings.Contains(text, `task "t": its function is nil: pass a function`) {
					t.Errorf("panic: %q", text)
				}
			}()
			define()
		}()
	}
}

func TestTypedEnqueueMany(t *testing.T) {
	sent := &recorder{}
	task := queue.NewTask("emails.send_welcome", welcome, queue.Priority(1))
	sys := newSystem(t, setup{dispatch: sent}, task)
	handles, err := task.EnqueueMany(t.Context(), sys.client, []welcomeArgs{{UserID: 1}, {UserID: 2}, {UserID: 3}}, queue.Priority(5), queue.Delay(time.Hour))
	if err != nil || len(handles) != 3 || len(sent.sent()) != 3 {
		t.Fatalf("%d handles, %d tickets, %v", len(handles), len(sent.sent()), err)
	}
	for i, handle := range handles {
		row := sys.row(handle.ID)
		if want := `{"user_id":` + string(rune('1'+i)) + `,"name":""}`; string(row.Args) != want || row.Priority != 5 || row.RunAfter.IsZero() {
			t.Errorf("row %d: %+v with args %s", i, row, row.Args)
		}
	}
	if handles, err := task.EnqueueMany(t.Context(), sys.client, nil); err != nil || len(handles) != 0 || len(sent.sent()) != 3 {
		t.Errorf("nothing to enqueue: %v, %v", handles, err)
	}
	_, err = task.EnqueueMany(t.Context(), sys.client, []welcomeArgs{{UserID: 1}, {UserID: 2}}, queue.WithID(uuid.New()))
	if !errors.Is(err, queue.ErrInvalid) || !strings.Contains(err.Error(), "Client.EnqueueMany") {
		t.Errorf("one ID for all: %v", err)
	}
	_, err = task.EnqueueMany(t.Context(), sys.client, []welcomeArgs{{UserID: 1}, {Name: "\x00"}})
	var refused *queue.RequestError
	if !errors.Is(err, queue.ErrInvalid) || !errors.As(err, &refused) || refused.Index != 1 {
		t.Errorf("an element that cannot be stored: %v", err)
	}
	if stats, err := sys.client.Stats(t.Context(), queue.Filter{}); err != nil || stats.Delayed+stats.Pending != 3 {
		t.Errorf("after refusals: %+v, %v", stats, err)
	}
}
