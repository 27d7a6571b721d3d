package queue_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

func TestHooksAreCalledInOrder(t *testing.T) {
	var calls []string
	type key struct{}
	in := func(ctx context.Context) string { s, _ := ctx.Value(key{}).(string); return s }
	sys := newSystem(t, setup{dispatch: &recorder{}, client: queue.Config{Hooks: queue.Hooks{
		Enqueuing: func(ctx context.Context, rows []*queue.Row) (context.Context, func(error)) {
			rows[0].TraceContext = "trace"
			return context.WithValue(ctx, key{}, "E"), func(err error) { calls = append(calls, fmt.Sprint("ended ", err)) }
		},
		Enqueued: func(ctx context.Context, row *queue.Row) {
			calls = append(calls, in(ctx)+" enqueued "+string(row.Status))
		},
		Dispatched: func(ctx context.Context, _ *queue.Row, err error) {
			calls = append(calls, fmt.Sprint(in(ctx), " dispatched ", err))
		},
		Running: func(ctx context.Context, row *queue.Row) context.Context {
			return context.WithValue(ctx, key{}, "R "+row.TraceContext)
		},
		Started: func(ctx context.Context, row *queue.Row) {
			calls = append(calls, in(ctx)+" started "+string(row.Status))
		},
		Finished: func(ctx context.Context, run *queue.Run) {
			calls = append(calls, in(ctx)+" finished "+string(run.Outcome)+" "+string(run.Row.Status))
		},
	}}}, task(func(ctx context.Context) (any, error) { calls = append(calls, in(ctx)+" runs"); return nil, nil }))
	id := uuid.New()
	sys.enqueue("t", nil, queue.WithID(id))
	sys.enqueue("t", nil, queue.WithID(id)) // stored already, so that only its ticket is dispatched again
	sys.run(id)
	want := []string{"E enqueued READY", "E dispatched <nil>", "ended <nil>", "E dispatched <nil>", "ended <nil>",
		"R trace started RUNNING", "R trace runs", "R trace finished succeeded SUCCESSFUL"}
	if !slices.Equal(calls, want) {
		t.Errorf("calls %q, want %q", calls, want)
	}
}

// recordingHooks record each call with a name and the contexts that it is within.
func recordingHooks(name string, calls *[]string) queue.Hooks {
	type key struct{}
	inside := func(ctx context.Context) string { s, _ := ctx.Value(key{}).(string); return s }
	record := func(ctx context.Context, what string) { *calls = append(*calls, name+" "+what+" in "+inside(ctx)) }
	within := func(ctx context.Context) context.Context { return context.WithValue(ctx, key{}, inside(ctx)+name) }
	return queue.Hooks{
		Enqueuing: func(ctx context.Context, _ []*queue.Row) (context.Context, func(error)) {
			record(ctx, "enqueuing")
			return within(ctx), func(err error) { record(ctx, fmt.Sprint("ended ", err)) }
		},
		Enqueued:   func(ctx context.Context, _ *queue.Row) { record(ctx, "enqueued") },
		Dispatched: func(ctx context.Context, _ *queue.Row, err error) { record(ctx, fmt.Sprint("dispatched ", err)) },
		Running:    func(ctx context.Context, _ *queue.Row) context.Context { record(ctx, "running"); return within(ctx) },
		Started:    func(ctx context.Context, _ *queue.Row) { record(ctx, "started") },
		Finished:   func(ctx context.Context, _ *queue.Run) { record(ctx, "finished") },
		Promoted:   func(ctx context.Context, _ queue.PromoteResult) { record(ctx, "promoted") },
		Swept:      func(ctx context.Context, _ queue.Swept) { record(ctx, "swept") },
	}
}

func TestJoinedHooksAreCalledInTurn(t *testing.T) {
	var calls []string
	// Empty Hooks are skipped wherever they are in the list.
	hooks := queue.JoinHooks(queue.Hooks{}, recordingHooks("a", &calls), queue.Hooks{}, recordingHooks("b", &calls), queue.Hooks{})
	ctx, ended := hooks.Enqueuing(t.Context(), nil)
	hooks.Enqueued(ctx, nil)
	hooks.Dispatched(ctx, nil, errors.New("refused"))
	ended(nil)
	ctx = hooks.Running(t.Context(), nil)
	hooks.Started(ctx, nil)
	hooks.Finished(ctx, nil)
	hooks.Promoted(t.Context(), queue.PromoteResult{})
	hooks.Swept(t.Context(), queue.Swept{})
	want := []string{
		"a enqueuing in ", "b enqueuing in a", "a enqueued in ab", "b enqueued in ab", "a dispatched refused in ab", "b dispatched refused in ab",
		"b ended <nil> in a", "a ended <nil> in ", "a running in ", "b running in a", "a started in ab", "b started in ab",
		"b finished in ab", "a finished in ab", "a promoted in ", "b promoted in ", "a swept in ", "b swept in ",
	}
	if !slices.Equal(calls, want) {
		t.Errorf("calls %q\nwant %q", calls, want)
	}
}

// A hook that none has stays nil, and JoinHooks joins every field of Hooks.
func TestJoinHooksJoinsEveryField(t *testing.T) {
	none, all := reflect.ValueOf(queue.JoinHooks(queue.Hooks{}, queue.Hooks{})), reflect.ValueOf(queue.JoinHooks(queue.Hooks{}, recordingHooks("", new([]string))))
	for i := range none.NumField() {
		if name := none.Type().Field(i).Name; !none.Field(i).IsNil() || all.Field(i).IsNil() {
			t.Errorf("%s: of none %v, of one %v", name, none.Field(i), all.Field(i))
		}
	}
}

func TestHooksAreCalledOnFailuresToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls []string
		record := func(format string, args ...any) { calls = append(calls, fmt.Sprintf(format, args...)) }
		out := &recorder{err: errors.New("refused")}
		sys := newSystem(t, setup{dispatch: out, client: queue.Config{Hooks: queue.Hooks{
			Enqueuing: func(ctx context.Context, rows []*queue.Row) (context.Context, func(error)) {
				rows[0].TraceContext = "line\nbreak" // not for every database
				return ctx, func(err error) { record("ended %v", errors.Is(err, queue.ErrIDConflict)) }
			},
			Dispatched: func(_ context.Context, _ *queue.Row, err error) { record("dispatched %v", err) },
			Finished:   func(_ context.Context, run *queue.Run) { record("%s after %s", run.Outcome, run.Duration) },
			Promoted: func(_ context.Context, p queue.PromoteResult) {
				record("%d reclaimed, %d failed", p.Reclaimed, p.Failed)
			},
		}}}, queue.NewTask("t", func(context.Context, any) (any, error) { time.Sleep(time.Hour); return nil, nil }, queue.Timeout(time.Second)))
		id := uuid.New()
		sys.enqueue("t", nil, queue.WithID(id))
		if got := sys.row(id).TraceContext; got != "" {
			t.Errorf("%q was stored", got)
		}
		if _, err := sys.client.Enqueue(t.Context(), "t", "other", queue.WithID(id)); err == nil {
			t.Error("there is no conflict")
		}
		out.err = nil
		sys.run(id) // ignores its context, so its lease expires
		for range 2 {
			time.Sleep(time.Hour)
			if _, err := sys.client.Sweep(t.Context(), 0); err != nil {
				t.Error(err)
			}
		}
		want := []string{"dispatched refused", "ended false", "ended true", "abandoned after 1m1s", "1 reclaimed, 0 failed", "dispatched <nil>", "dispatched <nil>"}
		if !slices.Equal(calls, want) {
			t.Errorf("calls %q, want %q", calls, want)
		}
	})
}
