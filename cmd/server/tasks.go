package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server"
	"github.com/claimcheck-go/claimcheck/server/webhook"
)

// The tasks that this program registers to try things with.

type sleepArgs struct {
	DurationMS int64 `json:"duration_ms"`
}

type failArgs struct {
	Message string `json:"message"`
}

type flakyArgs struct {
	Failures int `json:"failures"`
}

type flakyResult struct {
	Attempts int `json:"attempts"`
}

var tasks = []queue.Definition{
	queue.NewTask("demo.echo", echo),
	queue.NewTask("demo.sleep", sleep),
	queue.NewTask("demo.fail", fail, queue.MaxAttempts(1)),
	queue.NewTask("demo.flaky", flaky, queue.MaxAttempts(5)),
	queue.NewTask("demo.panic", panics, queue.MaxAttempts(1)),
	webhook.Deliver, // its function needs settings
}

// setup returns the tasks that need settings.
func setup(_ context.Context, app *server.App) ([]queue.Definition, error) {
	settings := app.Settings()
	deliver, err := webhook.New(webhook.Config{Secret: settings.WebhookSecret, AllowHosts: settings.WebhookAllowHosts})
	return []queue.Definition{deliver}, err
}

// echo returns its arguments unchanged.
func echo(_ context.Context, args json.RawMessage) (json.RawMessage, error) { return args, nil }

// sleep takes the given time, unless its context ends.
func sleep(ctx context.Context, args sleepArgs) (any, error) {
	const longest = 24 * 60 * 60 * 1000
	if args.DurationMS < 0 || args.DurationMS > longest {
		return nil, queue.Discard(fmt.Errorf("duration_ms must be from 0 to %d, not %d", longest, args.DurationMS))
	}
	select {
	case <-time.After(time.Duration(args.DurationMS) * time.Millisecond):
		return nil, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// fail always fails.
func fail(_ context.Context, args failArgs) (any, error) { return nil, errors.New(args.Message) }

// flaky fails its first attempts.
func flaky(ctx context.Context, args flakyArgs) (flakyResult, error) {
	info, _ := queue.InfoFrom(ctx)
	if info.Attempt <= args.Failures {
		return flakyResult{}, fmt.Errorf("failure %d of %d", info.Attempt, args.Failures)
	}
	return flakyResult{Attempts: info.Attempt}, nil
}

// panics does.
func panics(context.Context, json.RawMessage) (any, error) { panic("demo.panic was asked for") }
