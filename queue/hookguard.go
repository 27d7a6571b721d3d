package queue

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
)

// guarded are the hooks with their panics put into the log: one that watches
// shall not end the process, in which other tasks run, again and again for the
// same row.
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
