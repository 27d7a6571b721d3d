package queue

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue/internal/jsonvalue"
)

// Func is what a task does. Its context ends when the task's timeout expires,
// its claim is lost, or the process stops; context.Cause says which
// ([*TimeoutError], [ErrLeaseLost], [ErrShutdown]). After an error the task is
// retried, unless the error says otherwise: [Discard], [Cancel], [RetryAt],
// [Snooze]. A function may run more than once for one task, so its side effects
// must tolerate that.
type Func[In, Out any] func(ctx context.Context, in In) (Out, error)

// Task is a typed task: In are its arguments and Out its return value, both as
// encoding/json sees them. Make one with [NewTask], [NewTaskFunc] or [Declare].
// It is safe for concurrent use.
type Task[In, Out any] struct {
	def definition
}

// Definition is a [*Task] of any type, or what its Handle returned; or a schedule
// ([*Periodic]).
type Definition interface {
	definition() definition
}

// definition is a task without its types: how to run a name.
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
	// periodic makes it the definition of a schedule, which has nothing else.
	periodic *Periodic
}

func (d definition) definition() definition { return d }

// NewTask defines a task. The name is stored with every row, so it must not
// change while rows wait ([Alias] allows renames): 1 to 200 letters, digits,
// or any of "_.:/-". NewTask panics when the name or a default is invalid, when
// fn is nil, and when In or Out is, or contains in a field that JSON includes, what
// JSON cannot store (a func, a channel, a complex number) or would lose (a struct
// with only unexported fields).
func NewTask[In, Out any](name string, fn Func[In, Out], defaults ...Option) *Task[In, Out] {
	t := Declare[In, Out](name, defaults...)
	t.def = bind(t.def, fn)
	return t
}

// NewTaskFunc is [NewTask] for a function that returns only an error. The return
// value of such a task is JSON's null, and its Result is nil.
func NewTaskFunc[In any](name string, fn func(ctx context.Context, in In) error, defaults ...Option) *Task[In, any] {
	return NewTask(name, withoutResult[In, any](fn), defaults...)
}

// withoutResult is fn with a return value: Out's zero value.
func withoutResult[In, Out any](fn func(context.Context, In) error) Func[In, Out] {
	if fn == nil {
		return nil
	}
	return func(ctx context.Context, in In) (out Out, err error) { return out, fn(ctx, in) }
}

// Declare defines a task whose function is bound later, with [Task.Handle]:
// because it needs dependencies, enqueues itself, or runs in another program. A
// registry that is given the bare declaration can enqueue the task, but not run
// it. A task that returns only an error is declared with any for Out. Declare
// panics as [NewTask] does.
func Declare[In, Out any](name string, defaults ...Option) *Task[In, Out] {
	o := defaultOptions()
	for _, option := range defaults {
		option(&o)
	}
	if err := o.check(time.Now()); err != nil {
		panic(fmt.Sprintf("queue: task %q: %v", name, err))
	}
	if o.withID || o.delay != 0 || !o.runAfter.IsZero() || o.expiry == "expires_at" || o.inGroup || o.unique != nil && o.unique.derive == nil {
		panic(fmt.Sprintf("queue: task %q: WithID, Delay, RunAfter, ExpiresAt, InGroup and Unique are options of Enqueue: pass them there (UniqueBy and UniqueArgs are options of the task)", name))
	}
	if err := o.unique.fits(reflect.TypeFor[In]()); err != nil {
		panic(fmt.Sprintf("queue: task %q: %v", name, err))
	}
	for _, n := range append([]string{name}, o.aliases...) {
		if !validTaskName(n) {
			panic(fmt.Sprintf(`queue: task name %q: use 1 to 200 letters, digits or "_.:/-", and no part "." or ".." between slashes`, n))
		}
	}
	if err := o.checkAround(reflect.TypeFor[In](), reflect.TypeFor[Out]()); err != nil {
		panic(fmt.Sprintf("queue: task %q: %v", name, err))
	}
	limited := definition{name: name, options: o, in: reflect.TypeFor[In]()}
	if err := limited.checkLimits(); err != nil {
		panic(fmt.Sprintf("queue: task %q: %v", name, err))
	}
	checkType[In](name, "args")
	checkType[Out](name, "return value")
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

// Handle binds fn to the declared task, for a registry. It panics when fn is nil.
func (t *Task[In, Out]) Handle(fn Func[In, Out]) Definition { return bind(t.def, fn) }

// HandleFunc is [Task.Handle] for a function that returns only an error. The
// return value is the zero value of Out: JSON's null where Out is any.
func (t *Task[In, Out]) HandleFunc(fn func(ctx context.Context, in In) error) Definition {
	return bind(t.def, withoutResult[In, Out](fn))
}

func bind[In, Out any](d definition, fn Func[In, Out]) definition {
	if fn == nil {
		panic(fmt.Sprintf("queue: task %q: its function is nil: pass a function, or use Declare for a task that another program runs", d.name))
	}
	fn = surround(&d, fn)
	d.run = func(ctx context.Context, args json.RawMessage) (json.RawMessage, error) {
		in, err := decodeArgs[In](ctx, args)
		if err != nil {
			return nil, err
		}
		out, err := fn(ctx, in)
		if err != nil {
			return nil, err
		}
		value, err := encode("return value", out)
		if err != nil {
			if r := runFrom(ctx); r != nil {
				err = hiding(r.row, err)
			}
			err = Discard(err) // another attempt would only repeat its side effects
		}
		return value, err
	}
	return d
}

func (t *Task[In, Out]) definition() definition { return t.def }

// Name returns the task's name.
func (t *Task[In, Out]) Name() string { return t.def.name }

// Enqueue stores the task with its arguments and then dispatches it. When it
// returns without an error the task is durable: a dispatch that failed is logged
// and recorded on the row, and the sweeper repeats it. Errors: [ErrInvalid],
// [ErrIDConflict] (with [WithID]), [ErrDuplicate] (with [Unique]), [ErrTooLarge], and
// those of every [Store] method.
func (t *Task[In, Out]) Enqueue(ctx context.Context, c *Client, in In, opts ...Option) (*Handle, error) {
	return c.Enqueue(ctx, t.def.name, in, opts...)
}

// EnqueueMany stores the task once for each element of in, in one transaction,
// and then dispatches them: all are stored, or none. The options are those of
// every one of them, so [WithID] and [Unique] are refused. The handles are in the order of in;
// none for an empty in, which stores nothing. An error that is [ErrInvalid] is a
// [*RequestError] that names the element.
func (t *Task[In, Out]) EnqueueMany(ctx context.Context, c *Client, in []In, opts ...Option) ([]*Handle, error) {
	requests, err := t.requests(in, opts)
	if err != nil {
		return nil, err
	}
	return c.EnqueueMany(ctx, requests...)
}

// EnqueueManyTx is [Task.EnqueueMany] as a part of the caller's transaction, as
// [Task.EnqueueTx] is Enqueue's.
func (t *Task[In, Out]) EnqueueManyTx(ctx context.Context, c *Client, tx Tx, in []In, opts ...Option) ([]*Handle, error) {
	requests, err := t.requests(in, opts)
	if err != nil {
		return nil, err
	}
	return c.EnqueueManyTx(ctx, tx, requests...)
}

func (t *Task[In, Out]) requests(in []In, opts []Option) ([]Request, error) {
	var o options
	for _, option := range opts {
		option(&o)
	}
	if o.withID {
		return nil, invalidf("WithID gives an ID to one task, and the options of EnqueueMany are those of all: use Client.EnqueueMany with a Request for each")
	}
	if o.unique != nil && o.unique.derive == nil {
		return nil, invalidf("Unique gives a key to one task, and the options of EnqueueMany are those of all: use UniqueBy, or Client.EnqueueMany with a Request for each")
	}
	requests := make([]Request, len(in))
	for i := range in {
		requests[i] = Request{Task: t.def.name, Args: in[i], Options: opts}
	}
	return requests, nil
}

// EnqueueTx is [Task.Enqueue] as a part of the caller's transaction: the row
// exists if tx commits, and nothing is dispatched before. Within [Client.InTx] it
// is dispatched right after the commit; otherwise the caller calls
// [Client.Dispatch] then, or leaves it to the sweeper. If it fails, tx must be
// rolled back; after [ErrConflict] all of it can be repeated.
func (t *Task[In, Out]) EnqueueTx(ctx context.Context, c *Client, tx Tx, in In, opts ...Option) (*Handle, error) {
	return c.EnqueueTx(ctx, tx, t.def.name, in, opts...)
}

// Result returns what the task with this ID returned. Errors: [ErrNotFound],
// [ErrPending] while it has not ended, a [*FailedError] when it failed,
// [ErrCancelled], and [ErrWrongTask] when the ID is another task's. A return value
// that Out cannot hold is an error, and so is an object with none of its fields.
func (t *Task[In, Out]) Result(ctx context.Context, c *Client, id uuid.UUID) (Out, error) {
	row, err := c.Get(ctx, id)
	if err != nil {
		var out Out
		return out, err
	}
	return resultOf[Out](c, t.def.name, row)
}

// Wait is [Task.Result], once the task has ended. It reads the row at growing
// intervals, up to a second, until ctx ends.
func (t *Task[In, Out]) Wait(ctx context.Context, c *Client, id uuid.UUID) (Out, error) {
	row, err := c.Wait(ctx, id)
	if err != nil {
		var out Out
		return out, err
	}
	return resultOf[Out](c, t.def.name, row)
}
