package server

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/doctor"
	"github.com/claimcheck-go/claimcheck/server/webhook"
)

// echo returns its arguments.
func echo(_ context.Context, args json.RawMessage) (json.RawMessage, error) { return args, nil }

// testTasks are the tasks of programs that run within a test; processes run
// cmd/server, which has the same names.
var testTasks = []queue.Definition{
	webhook.Deliver.Handle(func(context.Context, webhook.Args) (webhook.Result, error) { return webhook.Result{}, nil }),
	queue.NewTask("demo.echo", echo),
	queue.NewTask("demo.sleep", func(ctx context.Context, args struct {
		DurationMS int64 `json:"duration_ms"`
	}) (any, error) {
		select {
		case <-time.After(time.Duration(args.DurationMS) * time.Millisecond):
			return nil, nil
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}),
	queue.NewTask("demo.fail", func(_ context.Context, args struct{ Message string }) (any, error) {
		return nil, errors.New(args.Message)
	}, queue.MaxAttempts(1)),
	queue.NewTask("demo.flaky", func(ctx context.Context, args struct{ Failures int }) (map[string]int, error) {
		info, _ := queue.InfoFrom(ctx)
		if info.Attempt <= args.Failures {
			return nil, errors.New("not yet")
		}
		return map[string]int{"attempts": info.Attempt}, nil
	}, queue.MaxAttempts(5)),
	queue.NewTask("demo.panic", func(context.Context, json.RawMessage) (any, error) { panic("demo.panic was asked for") }, queue.MaxAttempts(1)),
}

// testRegistry has the same tasks, for programs that are not started.
var testRegistry = queue.NewRegistry(append(testTasks, doctor.Probe())...)
