package queue

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// Info describes a running task to its own function.
type Info struct {
	ID          uuid.UUID
	Task        string
	Queue       string
	Backend     string
	Priority    int
	Attempt     int // 1 for the first
	MaxAttempts int
	EnqueuedAt  time.Time
}

type (
	infoKey    struct{}
	runningKey struct{}
)

// InfoFrom returns the [Info] of the running task whose function got ctx. Outside a
// task it returns false. The task's deadline is the context's own.
func InfoFrom(ctx context.Context) (Info, bool) {
	info, ok := ctx.Value(infoKey{}).(Info)
	return info, ok
}

// ClientFrom returns the [Client] of the running task, for enqueueing others; nil
// outside a task.
func ClientFrom(ctx context.Context) *Client {
	if r, ok := ctx.Value(runningKey{}).(*activeRun); ok {
		return r.executor.client
	}
	return nil
}

// Stopping returns a channel that is closed when [Executor.Shutdown] begins: a long
// task can save its progress and return before its context is cancelled. Outside a
// task it is nil.
func Stopping(ctx context.Context) <-chan struct{} {
	if r, ok := ctx.Value(runningKey{}).(*activeRun); ok {
		return r.executor.stopping
	}
	return nil
}

// withTask adds the values behind InfoFrom, ClientFrom, Stopping and CompleteTx.
func withTask(ctx context.Context, r *activeRun, row *Row) context.Context {
	ctx = context.WithValue(ctx, runningKey{}, r)
	return context.WithValue(ctx, infoKey{}, Info{
		ID: row.ID, Task: row.Task, Queue: row.Queue, Backend: row.Backend, Priority: row.Priority,
		Attempt: row.Attempts, MaxAttempts: row.MaxAttempts, EnqueuedAt: row.EnqueuedAt,
	})
}
