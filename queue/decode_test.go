package queue_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

// Errors and the log are in plain text, so what a program of another version cannot decode
// must not be in them.
func TestErrorsOfDecodingHaveNothingOfAnEncryptedValue(t *testing.T) {
	type before struct {
		Card any `json:"card"`
	}
	type after struct {
		Card time.Time `json:"card"`
	}
	type small struct {
		Card int8 `json:"card"`
	}
	const place = "card: cannot use a JSON string as time.Time"
	wrong := func(ctx context.Context) error {
		if _, _, err := queue.Checkpoint[after](ctx); err != nil {
			return err
		}
		_, err := queue.Step(ctx, "s", func(context.Context) (after, error) { return after{}, nil })
		return err
	}
	for name, test := range map[string]struct {
		args          any
		first, second queue.Definition
		want          string
	}{
		"arguments": {before{"4711"}, queue.NewTask("t", func(context.Context, before) (any, error) { return nil, queue.Snooze(0) }),
			queue.NewTask("t", func(context.Context, after) (any, error) { return nil, nil }), place},
		"a number": {before{4711}, queue.NewTask("t", func(context.Context, before) (any, error) { return nil, queue.Snooze(0) }),
			queue.NewTask("t", func(context.Context, small) (any, error) { return nil, nil }), "card: cannot use a JSON number as int8"},
		"a step": {nil, queue.NewTask("t", func(ctx context.Context, _ any) (any, error) {
			_, err := queue.Step(ctx, "s", func(context.Context) (before, error) { return before{"4711"}, nil })
			if err != nil {
				return nil, err
			}
			return nil, queue.Snooze(0)
		}), queue.NewTaskFunc("t", func(ctx context.Context, _ any) error { return wrong(ctx) }), place},
		"a checkpoint": {nil, queue.NewTask("t", func(context.Context, any) (any, error) { return nil, queue.Continue(before{"4711"}) }),
			queue.NewTaskFunc("t", func(ctx context.Context, _ any) error { return wrong(ctx) }), place},
	} {
		t.Run(name, func(t *testing.T) {
			codec := newKeyring(t, "k1")
			old := newSystem(t, setup{client: queue.Config{Codec: codec}}, test.first)
			id := old.enqueue("t", test.args)
			old.run(id)
			sys := newSystem(t, setup{store: old.store, client: queue.Config{Codec: codec}}, test.second)
			run := sys.run(id)
			if len(run.Row.Errors) != 1 || !strings.Contains(run.Row.Errors[0].Message, test.want) {
				t.Fatalf("%s: %+v", run.Outcome, run.Row.Errors)
			}
			e := run.Row.Errors[0]
			for what, text := range map[string]string{"message": e.Message, "traceback": e.Traceback, "log": sys.log.String()} {
				if strings.Contains(text, "4711") {
					t.Errorf("the %s has the value: %s", what, text)
				}
			}
		})
	}
}

func TestErrorsOfResultHaveNothingOfAnEncryptedValue(t *testing.T) {
	sys := newSystem(t, setup{client: queue.Config{Codec: newKeyring(t, "k1")}}, queue.NewTask("t", func(context.Context, any) (string, error) { return "4711", nil }))
	id := sys.enqueue("t", nil)
	sys.run(id)
	_, err := queue.Declare[any, time.Time]("t").Result(t.Context(), sys.client, id)
	if err == nil || strings.Contains(err.Error(), "4711") || !strings.Contains(err.Error(), "cannot use a JSON string as time.Time") {
		t.Errorf("got %v", err)
	}
}

// What cannot be stored is in no error, either, and nor are the names of its parts.
func TestErrorsOfEncodingHaveNothingOfAnEncryptedValue(t *testing.T) {
	nul, surrogate := map[string]any{"4711\x00": 1}, map[string]any{"4711": json.RawMessage(`"\ud800"`)}
	for name, f := range map[string]func(context.Context) (any, error){
		"a return value":           func(context.Context) (any, error) { return nul, nil },
		"its nested member":        func(context.Context) (any, error) { return surrogate, nil },
		"what is no JSON":          func(context.Context) (any, error) { return map[string]any{"4711": func() {}}, nil },
		"what MarshalJSON returns": func(context.Context) (any, error) { return json.RawMessage(`4711x`), nil },
		"a step": func(ctx context.Context) (any, error) {
			return queue.Step(ctx, "s", func(context.Context) (any, error) { return surrogate, nil })
		},
		"a checkpoint": func(ctx context.Context) (any, error) { return nil, queue.SaveCheckpoint(ctx, surrogate) },
		"a checkpoint of no JSON": func(ctx context.Context) (any, error) {
			return nil, queue.SaveCheckpoint(ctx, json.RawMessage(`4711x`))
		},
		"what continues":        func(context.Context) (any, error) { return nil, queue.Continue(json.RawMessage(`4711x`)) },
		"a continued surrogate": func(context.Context) (any, error) { return nil, queue.Continue(surrogate) },
	} {
		t.Run(name, func(t *testing.T) {
			sys := newSystem(t, setup{client: queue.Config{Codec: newKeyring(t, "k1")}},
				queue.NewTask("t", func(ctx context.Context, _ any) (any, error) { return f(ctx) }))
			run := sys.run(sys.enqueue("t", nil))
			if run.Row.Status != queue.StatusFailed || len(run.Row.Errors) != 1 || !strings.Contains(run.Row.Errors[0].Message, "left out, since the task is encrypted") {
				t.Fatalf("%s: %+v", run.Row.Status, run.Row.Errors)
			}
			for what, text := range map[string]string{"message": run.Row.Errors[0].Message, "traceback": run.Row.Errors[0].Traceback, "log": sys.log.String()} {
				if strings.Contains(text, "4711") {
					t.Errorf("the %s has the value: %s", what, text)
				}
			}
		})
	}
}

// A value that fits only without its encryption is refused with both sizes.
func TestTheSizeOfAnEncryptedReturnValueCounts(t *testing.T) {
	sys := newSystem(t, setup{client: queue.Config{Codec: newKeyring(t, "k1"), MaxBytes: 4000}},
		queue.NewTask("t", func(context.Context, any) (string, error) { return strings.Repeat("x", 3500), nil }))
	run := sys.run(sys.enqueue("t", nil))
	if run.Row.Status != queue.StatusFailed || !strings.Contains(run.Row.Errors[0].Message, "the return value is 3502 bytes of JSON, encrypted 4") {
		t.Errorf("%s: %+v", run.Row.Status, run.Row.Errors)
	}
}
