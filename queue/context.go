package queue

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// Info is what a running task can know about itself.
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

// InfoFrom returns the running task's Info. Outside a task it returns false.
// The task's deadline is the context's own.
func InfoFrom(ctx context.Context) (Info, bool) {
	info, ok := ctx.Value(infoKey{}).(Info)
	return info, ok
}

// ClientFrom returns the client of the running task, with which it can enqueue
// others; nil outside a task.
func ClientFrom(ctx context.Context) *Client {
	if r, ok := ctx.Value(runningKey{}).(*activeRun); ok {
		return r.executor.client
	}
	return nil
}

// Stopping returns a channel that is closed when the process has been asked to
// stop: a long task can come to a good end before its context is cancelled.
// Outside a task it is nil.
func Stopping(ctx context.Context) <-chan struct{} {
	if r, ok := ctx.Value(runningKey{}).(*activeRun); ok {
		return r.executor.stopping
	}
	return nil
}

// withTask puts what a task may ask for into its context.
func withTask(ctx context.Context, r *activeRun, row *Row) context.Context {
	ctx = context.WithValue(ctx, runningKey{}, r)
	return context.WithValue(ctx, infoKey{}, Info{
		ID: row.ID, Task: row.Task, Queue: row.Queue, Backend: row.Backend, Priority: row.Priority,
		Attempt: row.Attempts, MaxAttempts: row.MaxAttempts, EnqueuedAt: row.EnqueuedAt,
	})
}
