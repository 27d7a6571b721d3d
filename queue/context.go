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
	// Schedule is the name of the schedule whose occurrence the task is, and
	// ScheduledFor the time of the occurrence; zero for other tasks.
	Schedule     string
	ScheduledFor time.Time
	// Group is the group whose member the task is, or whose end it handles; zero for other
	// tasks.
	Group uuid.UUID
}

// taskKey is the key of the running task in its function's context.
type taskKey struct{}

// taskContext is the context of a task's function, with all that InfoFrom, ClientFrom,
// Stopping and CompleteTx need. It is a part of its run, which spares allocations.
type taskContext struct {
	context.Context
	run *activeRun
}

func (c *taskContext) Value(key any) any {
	if key == (taskKey{}) {
		return c.run
	}
	return c.Context.Value(key)
}

// runFrom returns the run of the task whose function got ctx, or nil.
func runFrom(ctx context.Context) *activeRun {
	r, _ := ctx.Value(taskKey{}).(*activeRun)
	return r
}

// InfoFrom returns the [Info] of the running task whose function got ctx. Outside a
// task it returns false. The task's deadline is the context's own.
func InfoFrom(ctx context.Context) (Info, bool) {
	if r := runFrom(ctx); r != nil {
		return r.info, true
	}
	return Info{}, false
}

// ClientFrom returns the [Client] of the running task, for enqueueing others; nil
// outside a task.
func ClientFrom(ctx context.Context) *Client {
	if r := runFrom(ctx); r != nil {
		return r.executor.client
	}
	return nil
}

// Stopping returns a channel that is closed when [Executor.Shutdown] begins: a long
// task can save its progress and return before its context is cancelled. Outside a
// task it is nil.
func Stopping(ctx context.Context) <-chan struct{} {
	if r := runFrom(ctx); r != nil {
		return r.executor.stopping
	}
	return nil
}

func infoOf(row *Row) Info {
	group := row.Group
	if group == uuid.Nil {
		group = row.Completes
	}
	return Info{
		ID: row.ID, Task: row.Task, Queue: row.Queue, Backend: row.Backend, Priority: row.Priority,
		Attempt: row.Attempts, MaxAttempts: row.MaxAttempts, EnqueuedAt: row.EnqueuedAt,
		Schedule: row.Schedule, ScheduledFor: row.ScheduledFor, Group: group,
	}
}
