package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue/internal/jsonvalue"
)

// Func is what a task does. Its context ends when the task's timeout is over,
// its claim is lost, or the process stops; context.Cause says which. An error
// makes the task be tried again, unless Discard, Cancel, RetryAt or Snooze says
// otherwise. Side effects must bear running twice.
type Func[In, Out any] func(ctx context.Context, in In) (Out, error)

// Task is a typed task: In are its arguments and Out its return value, both as
// encoding/json sees them. It is safe for concurrent use.
type Task[In, Out any] struct {
	def definition
}

// Definition is a *Task of any type, or what its Handle returned.
type Definition interface {
	definition() definition
}

// definition is a task without its types: how a name is run.
type definition struct {
	name    string
	options options
	// check reports arguments that the function's parameter cannot hold.
	check func(args json.RawMessage) error
	// roundTrips is the type of arguments that need no check; may be nil.
	roundTrips reflect.Type
	// in is the type of the function's parameter.
	in reflect.Type
	// run decodes, calls and encodes; nil for a task that is only declared.
	run func(ctx context.Context, args json.RawMessage) (json.RawMessage, error)
}

func (d definition) definition() definition { return d }

// NewTask defines a task. The name is stored with every row, so it must not
// change while rows wait (Alias allows renames): 1 to 200 letters, digits,
// or any of "_.:/-". NewTask panics when the name or a default is invalid, and
// when In or Out is, or contains, a struct with only unexported fields, whose
// values JSON would lose.
func NewTask[In, Out any](name string, fn Func[In, Out], defaults ...Option) *Task[In, Out] {
	t := Declare[In, Out](name, defaults...)
	t.def = bind(t.def, fn)
	return t
}

// Declare defines a task whose function is bound later, with Handle: because it
// needs dependencies, enqueues itself, or runs in another program. A registry
// that is given the bare declaration can enqueue the task, but not run it.
func Declare[In, Out any](name string, defaults ...Option) *Task[In, Out] {
	o := defaultOptions()
	for _, option := range defaults {
		option(&o)
	}
	if err := o.check(); err != nil {
		panic(fmt.Sprintf("queue: task %q: %v", name, err))
	}
	if o.withID || o.delay != 0 || !o.runAfter.IsZero() {
		panic(fmt.Sprintf("queue: task %q: WithID, Delay and RunAfter belong to Enqueue", name))
	}
	for _, n := range append([]string{name}, o.aliases...) {
		if !taskNamePattern.MatchString(n) {
			panic(fmt.Sprintf(`queue: task name %q: use 1 to 200 letters, digits or "_.:/-"`, n))
		}
	}
	checkLossless[In](name, "args")
	checkLossless[Out](name, "return value")
	return &Task[In, Out]{def: definition{
		name:       name,
		options:    o,
		roundTrips: jsonvalue.RoundTrips[In](),
		in:         reflect.TypeFor[In](),
		check: func(args json.RawMessage) error {
			_, err := jsonvalue.Decode[In](args)
			return err
		},
	}}
}

// Handle binds fn to the declared task, for a registry.
func (t *Task[In, Out]) Handle(fn Func[In, Out]) Definition { return bind(t.def, fn) }

func bind[In, Out any](d definition, fn Func[In, Out]) definition {
	if fn == nil {
		panic(fmt.Sprintf("queue: task %q: its function is nil", d.name))
	}
	d.run = func(ctx context.Context, args json.RawMessage) (json.RawMessage, error) {
		in, err := jsonvalue.Decode[In](args)
		if err != nil {
			return nil, err
		}
		out, err := fn(ctx, in)
		if err != nil {
			return nil, err
		}
		value, err := encode("return value", out)
		if err != nil {
			err = Discard(err) // another attempt would only repeat its side effects
		}
		return value, err
	}
	return d
}

func (t *Task[In, Out]) definition() definition { return t.def }

// Name returns the task's name.
func (t *Task[In, Out]) Name() string { return t.def.name }

// Enqueue stores the task with its arguments and sends it on its way. When it
// returns without an error the task is durable: should sending have failed,
// that is logged and noted on the row, and the sweeper does it later. Errors:
// ErrInvalid, ErrIDConflict (with WithID), and those of Store.
func (t *Task[In, Out]) Enqueue(ctx context.Context, c *Client, in In, opts ...Option) (*Handle, error) {
	return c.Enqueue(ctx, t.def.name, in, opts...)
}

// Result returns what the task with this ID returned. Errors: ErrNotFound,
// ErrPending while it has not ended, a *FailedError when it failed,
// ErrCancelled, and ErrWrongTask when the ID is another task's. A return value
// that Out cannot hold is an error, and so is an object with none of its fields.
func (t *Task[In, Out]) Result(ctx context.Context, c *Client, id uuid.UUID) (Out, error) {
	var out Out
	row, err := c.Get(ctx, id)
	if err != nil {
		return out, err
	}
	if d, ok := c.registry.lookup(row.Task); row.Task != t.def.name && (!ok || d.name != t.def.name) {
		return out, fmt.Errorf("%w: %s is a %s, not a %s", ErrWrongTask, id, row.Task, t.def.name)
	}
	if err := row.outcome(); err != nil {
		return out, err
	}
	out, err = jsonvalue.Decode[Out](row.ReturnValue)
	if err == nil && jsonvalue.SharesNoField(reflect.TypeFor[Out](), row.ReturnValue) {
		err = errors.New("it has none of the type's fields")
	}
	if err != nil {
		return out, fmt.Errorf("the return value of task %s (%s) is no %s: %w", id, row.Task, reflect.TypeFor[Out](), err)
	}
	return out, nil
}

// Wait is Result, once the task has ended. It looks at the row at growing
// intervals, up to a second, until ctx ends.
func (t *Task[In, Out]) Wait(ctx context.Context, c *Client, id uuid.UUID) (Out, error) {
	if _, err := c.Wait(ctx, id); err != nil {
		var out Out
		return out, err
	}
	return t.Result(ctx, c, id)
}

// Errors of Result.
var (
	// ErrPending: the task is READY or RUNNING.
	ErrPending = errors.New("task has not ended yet")
	// ErrCancelled: the task was cancelled.
	ErrCancelled = errors.New("task was cancelled")
	// ErrWrongTask: the ID belongs to a task of another name.
	ErrWrongTask = errors.New("another task's result")
)

// FailedError is the Result of a task that is FAILED.
type FailedError struct{ Row *Row }

func (e *FailedError) Error() string {
	last := "no error recorded"
	if n := len(e.Row.Errors); n > 0 {
		last = e.Row.Errors[n-1].Message
	}
	return fmt.Sprintf("task %s failed on attempt %d of %d: %s", e.Row.ID, e.Row.Attempts, e.Row.MaxAttempts, last)
}

// outcome is nil when there is a return value to read.
func (r *Row) outcome() error {
	switch r.Status {
	case StatusSuccessful:
		return nil
	case StatusFailed:
		return &FailedError{Row: r}
	case StatusCancelled:
		return ErrCancelled
	default:
		return fmt.Errorf("%w: it is %s", ErrPending, r.Status)
	}
}

// Wait polls a row until it has ended, and returns it.
func (c *Client) Wait(ctx context.Context, id uuid.UUID) (*Row, error) {
	const shortest, longest = 2 * time.Millisecond, time.Second
	for pause := shortest; ; pause = min(pause*2, longest) {
		row, err := c.Get(ctx, id)
		if err != nil || row.Status.Final() {
			return row, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for task %s, which is %s: %w", id, row.Status, ctx.Err())
		case <-time.After(pause):
		}
	}
}
