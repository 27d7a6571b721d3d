package queue

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
)

// Hooks are called at the events of tasks, by the goroutine of the event: they must
// be quick, safe for concurrent use, and must not change the row. Each may be nil,
// and then costs nothing. A hook that panics is logged, and the task continues.
// Package server/telemetry provides hooks for OpenTelemetry; [JoinHooks] combines
// several.
type Hooks struct {
	// Enqueuing is called before rows are stored, once for all rows of one call. It
	// may set their TraceContext (printable ASCII, at most [MaxTraceContext] bytes)
	// and nothing else. Storing and dispatching use the context that it returns;
	// ended is called afterwards, with the error of storing. A tick stores the tasks of
	// one schedule at a time, and dispatches them together later, in its own context.
	Enqueuing func(ctx context.Context, rows []*Row) (_ context.Context, ended func(error))
	Enqueued  func(ctx context.Context, row *Row) // stored, not yet dispatched
	// Dispatched is called when the dispatcher has accepted the ticket of a row, or
	// refused it with err.
	Dispatched func(ctx context.Context, row *Row, err error)

	// Running is called for a claimed row before Started. The function, the log line
	// and the next two hooks get the context that it returns. Running, Started and Dispatched
	// get the arguments of an encrypted task as they are stored.
	Running  func(ctx context.Context, row *Row) context.Context
	Started  func(ctx context.Context, row *Row) // claimed, before its function is called
	Finished func(ctx context.Context, run *Run) // its outcome, whatever it is, was stored or given up

	// Promoted is called when Promote found expired leases: their workers are gone.
	Promoted func(ctx context.Context, p PromoteResult)
	// Swept is called after each sweep of a client, by [Client.Sweep] or
	// [Client.SweepEvery], which wait for it.
	Swept func(ctx context.Context, s Swept)
}

// Swept is one sweep, for [Hooks].
type Swept struct {
	Client *Client // that has swept
	Result SweepResult
	Err    error // of a part of it
}

// JoinHooks combines several Hooks, such as your own and those of package
// server/telemetry. They are called in this order, each with the context that the
// one before has returned; ended and Finished, which end what another hook has
// started, in the opposite order. So the first surrounds the others: a span that it
// starts is still open in all of them.
func JoinHooks(hooks ...Hooks) Hooks {
	var joined Hooks
	for _, next := range hooks {
		joined = Hooks{
			Enqueuing:  enqueuingInTurn(joined.Enqueuing, next.Enqueuing),
			Enqueued:   inTurn(joined.Enqueued, next.Enqueued),
			Dispatched: dispatchedInTurn(joined.Dispatched, next.Dispatched),
			Running:    runningInTurn(joined.Running, next.Running),
			Started:    inTurn(joined.Started, next.Started),
			Finished:   inTurn(next.Finished, joined.Finished),
			Promoted:   inTurn(joined.Promoted, next.Promoted),
			Swept:      inTurn(joined.Swept, next.Swept),
		}
	}
	return joined
}

// inTurn combines two hooks. If both are nil the result is nil, and costs nothing.
func inTurn[T any](first, then func(context.Context, T)) func(context.Context, T) {
	if first == nil {
		return then
	}
	if then == nil {
		return first
	}
	return func(ctx context.Context, about T) {
		first(ctx, about)
		then(ctx, about)
	}
}

func dispatchedInTurn(first, then func(context.Context, *Row, error)) func(context.Context, *Row, error) {
	if first == nil {
		return then
	}
	if then == nil {
		return first
	}
	return func(ctx context.Context, row *Row, err error) {
		first(ctx, row, err)
		then(ctx, row, err)
	}
}

func runningInTurn(first, then func(context.Context, *Row) context.Context) func(context.Context, *Row) context.Context {
	if first == nil {
		return then
	}
	if then == nil {
		return first
	}
	return func(ctx context.Context, row *Row) context.Context { return then(first(ctx, row), row) }
}

func enqueuingInTurn(first, then func(context.Context, []*Row) (context.Context, func(error))) func(context.Context, []*Row) (context.Context, func(error)) {
	if first == nil {
		return then
	}
	if then == nil {
		return first
	}
	return func(ctx context.Context, rows []*Row) (context.Context, func(error)) {
		ctx, endFirst := first(ctx, rows)
		ctx, endThen := then(ctx, rows)
		return ctx, func(err error) {
			endThen(err)
			endFirst(err)
		}
	}
}

// enqueuing calls the hook Enqueuing, if there is one.
func (c *Client) enqueuing(ctx context.Context, rows []*NewRow) (_ context.Context, ended func(error)) {
	hook := c.cfg.Hooks.Enqueuing
	if hook == nil {
		return ctx, func(error) {}
	}
	stored := make([]*Row, len(rows))
	for i, row := range rows {
		stored[i] = row.Row
	}
	ctx, ended = hook(ctx, stored)
	for _, row := range stored {
		if !storableTrace(row.TraceContext) {
			row.TraceContext = ""
		}
	}
	return ctx, ended
}

// storableTrace reports whether every database can store s. Another trace is
// dropped: it is no reason to refuse the task.
func storableTrace(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return len(s) <= MaxTraceContext
}

// dispatched calls the hook Dispatched, if there is one, for each row.
func (c *Client) dispatched(ctx context.Context, rows []*Row, refused func(*Row) error) {
	hook := c.cfg.Hooks.Dispatched
	if hook == nil {
		return
	}
	for _, row := range rows {
		hook(ctx, row, refused(row))
	}
}

// promoted calls the hook Promoted, if there is one, when leases had expired.
func (c *Client) promoted(ctx context.Context, p PromoteResult) {
	if hook := c.cfg.Hooks.Promoted; hook != nil && p.Reclaimed+p.Failed > 0 {
		hook(ctx, p)
	}
}

// guarded wraps the hooks so that a panic is logged: an observer must not end the
// process, in which other tasks run, and do so again for each attempt.
func (h Hooks) guarded(log *slog.Logger) Hooks {
	contain := func(name string) {
		if value := recover(); value != nil {
			log.Error("a hook panicked", "hook", name, "panic", fmt.Sprint(value), "stack", string(debug.Stack()))
		}
	}
	if hook := h.Enqueuing; hook != nil {
		h.Enqueuing = func(ctx context.Context, rows []*Row) (inner context.Context, ended func(error)) {
			inner, ended = ctx, func(error) {}
			defer contain("Enqueuing")
			if got, end := hook(ctx, rows); got != nil && end != nil {
				inner = got
				ended = func(err error) {
					defer contain("Enqueuing's end")
					end(err)
				}
			}
			return inner, ended
		}
	}
	if hook := h.Dispatched; hook != nil {
		h.Dispatched = func(ctx context.Context, row *Row, err error) {
			defer contain("Dispatched")
			hook(ctx, row, err)
		}
	}
	if hook := h.Running; hook != nil {
		h.Running = func(ctx context.Context, row *Row) (inner context.Context) {
			inner = ctx
			defer contain("Running")
			if got := hook(ctx, row); got != nil {
				inner = got
			}
			return inner
		}
	}
	h.Enqueued = guardedHook("Enqueued", h.Enqueued, contain)
	h.Started = guardedHook("Started", h.Started, contain)
	h.Finished = guardedHook("Finished", h.Finished, contain)
	h.Promoted = guardedHook("Promoted", h.Promoted, contain)
	h.Swept = guardedHook("Swept", h.Swept, contain)
	return h
}

func guardedHook[T any](name string, hook func(context.Context, T), contain func(string)) func(context.Context, T) {
	if hook == nil {
		return nil
	}
	return func(ctx context.Context, about T) {
		defer contain(name)
		hook(ctx, about)
	}
}
