package queue

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
)

// EnqueueFunc stores rows, and dispatches them as its call does: Enqueue and EnqueueMany
// after the commit, EnqueueTx and a tick later. The rows have their IDs, arguments and
// options, and no times before they are stored.
type EnqueueFunc func(ctx context.Context, rows []*Row) error

// RunFunc runs one attempt of a claimed row, and returns the error of its function.
type RunFunc func(ctx context.Context, row *Row) error

// Middleware surrounds enqueues, runs, or both; either field may be nil. Each function
// gets the next one and returns one that calls it, as middleware of net/http does: it may
// pass on a context with values or a deadline, and refuse, by returning an error without
// calling next. It is called once, by [NewClient]; what it returns is called for each
// enqueue or run, from any goroutine. It must not change rows.
//
// The order from the outside: those of [Config].Middleware, then those of the task
// ([Use]), each in the order given, then, around a run, those of [Around], and then the
// function. The first is the outermost. [Hooks] observe, and cannot refuse or fail
// anything; docs/middleware.md compares the two.
//
// Enqueue surrounds the checks of backlogs, the hook Enqueuing, storing and dispatching.
// It is called once for all rows of a call, also of schedules and for rows that turn out
// to exist already; that of a task gets the rows of that task only. It calls next
// with a context made from its own; again, if an inner one has refused: that calls all inner
// ones again. The store is called once, and a call of next after that is an error. Its error
// is the caller's; an error after next has stored the rows does not remove them. A panic is the caller's, too; in a tick it is
// the error of the schedule. An occurrence passes within the transaction that has locked
// its schedule: there, middleware must not wait for the database. It does not surround the row that [OnFailed] stores, which is
// a part of the transaction that ends another one, nor what a [Group] enqueues.
//
// Run surrounds the function in its goroutine, and its decoding and encoding. It gets the
// function's context ([InfoFrom], [ClientFrom], [CompleteTx]) and must pass on one made
// from it. It decides the outcome of the attempt: its error, panic or Goexit counts as the
// function's would. Without a call of next, and without an error, the task has succeeded
// with JSON's null. [Row.StatusAfter] says what an error will lead to; what was stored at
// last, the hook Finished learns.
type Middleware struct {
	Enqueue func(next EnqueueFunc) EnqueueFunc
	Run     func(next RunFunc) RunFunc
}

// Use gives the task middleware of its own, inside of [Config].Middleware. It is an option
// of [NewTask] or [Declare]; the Enqueue of an option counts where the task is enqueued, and
// its Run where it runs.
func Use(more ...Middleware) Option {
	return func(o *options) { o.use = append(slices.Clip(o.use), more...) }
}

// Around surrounds the task's function with typed middleware, the first outermost: it sees
// the decoded arguments and the return value, and may replace both. The types must be the
// task's: for [NewTaskFunc], Out is any. It is an option of [NewTask] or [Declare], and is
// applied once, when the function is bound.
func Around[In, Out any](more ...func(next Func[In, Out]) Func[In, Out]) Option {
	return func(o *options) {
		o.around = slices.Clip(o.around)
		for _, wrap := range more {
			o.around = append(o.around, typedMiddleware{reflect.TypeFor[In](), reflect.TypeFor[Out](), wrap})
		}
	}
}

// typedMiddleware is one of Around.
type typedMiddleware struct {
	in, out reflect.Type
	wrap    any // func(Func[In, Out]) Func[In, Out]
}

// checkAround returns the error of middleware that does not fit the task's types.
func (o *options) checkAround(in, out reflect.Type) error {
	for _, m := range o.around {
		if m.in != in || m.out != out {
			return invalidf("Around has the types %s and %s, and the task has %s and %s: let it have these", m.in, m.out, in, out)
		}
	}
	return nil
}

// surround returns fn inside of the typed middleware of a task.
func surround[In, Out any](d *definition, fn Func[In, Out]) Func[In, Out] {
	if len(d.options.around) > 0 {
		called := fn
		fn = func(ctx context.Context, in In) (Out, error) {
			if r := runFrom(ctx); r != nil {
				r.calls()
			}
			return called(ctx, in)
		}
	}
	for _, m := range slices.Backward(d.options.around) {
		wrap, _ := m.wrap.(func(Func[In, Out]) Func[In, Out])
		if wrap != nil {
			fn = wrap(fn)
		}
		if wrap == nil || fn == nil {
			panic(fmt.Sprintf("queue: task %q: middleware of Around is nil, or returned nil: it returns the function that surrounds next", d.name))
		}
	}
	return fn
}

// StatusAfter returns the status that the attempt of a RUNNING row leads to if its function
// returns err: READY if it will run again, and a final one otherwise. It is for [Middleware],
// and counts the attempts that progress has allowed ([Step], [Continue]). A lost claim, a
// stop of the process, or a value that cannot be stored may lead to another one.
func (r *Row) StatusAfter(err error) Status {
	var cancel *cancelError
	var discard *discardError
	var reschedule *rescheduleError
	var again *continuation
	allowed, active := r.MaxAttempts, r.surrounding()
	if active != nil {
		allowed = active.allowedAttempts()
	}
	switch {
	case err == nil:
		return StatusSuccessful
	case errors.As(err, &again):
		return again.statusAfter(r, active)
	case active != nil && active.timedOut(err):
		// What the function asked for besides does not count then.
	case errors.As(err, &reschedule) && reschedule.snooze:
		return StatusReady
	case errors.As(err, &cancel):
		return StatusCancelled
	case errors.As(err, &discard):
		return StatusFailed
	}
	if r.Attempts >= allowed {
		return StatusFailed
	}
	return StatusReady
}

// statusAfter is that of a row whose function has returned Continue.
func (c *continuation) statusAfter(r *Row, active *activeRun) Status {
	supported := true
	if active != nil {
		_, supported = active.executor.store.(Checkpointer)
	}
	if c.err != nil || !supported || r.Attempts >= MaxAttemptsLimit {
		return StatusFailed
	}
	return StatusReady
}

// timedOut reports whether err is that of a function which its timeout has ended.
func (r *activeRun) timedOut(err error) bool {
	var timeout *TimeoutError
	return errors.As(context.Cause(r.taskCtx), &timeout) && (errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled))
}
