package api

import (
	"context"
	"fmt"
	"net/http"
	"runtime/debug"

	"github.com/claimcheck-go/claimcheck/queue"
)

// Enqueue enqueues a task for a request of HTTP. A panic of middleware, or of a function of
// the task's options, is an error: net/http would end the connection without an answer, which
// clients take for a failure of the network and repeat, and its log line would not name the
// task. What has been stored stays stored.
func Enqueue(ctx context.Context, client *queue.Client, request queue.Request) (handle *queue.Handle, err error) {
	defer func() {
		if value := recover(); value != nil {
			if value == http.ErrAbortHandler { //nolint:errorlint // a sentinel that is a panic's value
				panic(value)
			}
			handle, err = nil, &enqueuePanic{request.Task, &queue.PanicError{Value: value, Stack: debug.Stack()}}
		}
	}()
	return client.Enqueue(ctx, request.Task, request.Args, request.Options...)
}

// enqueuePanic is a panic around an enqueue.
type enqueuePanic struct {
	task string
	err  *queue.PanicError
}

func (e *enqueuePanic) Error() string { return fmt.Sprintf("enqueue of %s: %s", e.task, e.err) }

func (e *enqueuePanic) Unwrap() error { return e.err }

// ErrorAttrs are the attributes of an error in a log line.
func ErrorAttrs(err error) []any {
	panicked, ok := err.(*enqueuePanic) //nolint:errorlint // Enqueue returns it as it is
	if !ok {
		return []any{"error", err}
	}
	return []any{"error", err.Error(), "task_path", panicked.task, "stack", string(panicked.err.Stack)}
}
