package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
)

// chains are the middleware of a client, put together once. Where there is none, an
// enqueue and a run look at one field.
type chains struct {
	enqueue EnqueueFunc           // that of the Config; nil: none
	tasks   map[string]taskChains // by names and aliases; nil: no middleware at all
}

// taskChains are those of one task.
type taskChains struct {
	enqueue EnqueueFunc // the task's own; nil: none
	run     RunFunc     // all around its function; nil: none
}

// newChains puts the middleware of a configuration together.
func newChains(cfg *Config) (c chains, err error) {
	if c.enqueue, err = enqueueChain("Config.Middleware", cfg.Middleware); err != nil {
		return c, err
	}
	tasks := make(map[string]taskChains)
	for name, d := range cfg.Registry.byName {
		var t taskChains
		if t.enqueue, err = enqueueChain("Use of task "+name, d.options.use); err != nil {
			return c, err
		}
		if d.run != nil {
			if t.run, err = runChain(name, d, slices.Concat(cfg.Middleware, d.options.use)); err != nil {
				return c, err
			}
		}
		if t.enqueue != nil || t.run != nil {
			tasks[name] = t
		}
	}
	if c.enqueue != nil || len(tasks) > 0 {
		c.tasks = tasks
	}
	return c, nil
}

func enqueueChain(where string, all []Middleware) (chain EnqueueFunc, err error) {
	for _, m := range slices.Backward(all) {
		if m.Enqueue == nil {
			continue
		}
		if chain == nil {
			chain = enqueueNext
		}
		if chain = m.Enqueue(chain); chain == nil {
			return nil, fmt.Errorf("queue: %s: the Enqueue of a Middleware returned nil: it returns the function that surrounds next", where)
		}
	}
	return chain, nil
}

func runChain(name string, d definition, all []Middleware) (chain RunFunc, err error) {
	for _, m := range slices.Backward(all) {
		if m.Run == nil {
			continue
		}
		if chain == nil {
			chain = runNext(d)
		}
		if chain = m.Run(chain); chain == nil {
			return nil, fmt.Errorf("queue: task %q: the Run of a Middleware returned nil: it returns the function that surrounds next", name)
		}
	}
	return chain, nil
}

// runNext is the end of a run's chain: it calls the task's function.
func runNext(d definition) RunFunc {
	return func(ctx context.Context, _ *Row) error {
		r := runFrom(ctx)
		if r == nil {
			return Discard(errors.New("a middleware has called next with a context that is not made from its own, so the function was not called"))
		}
		r.calls()
		value, err := d.run(ctx, r.args)
		r.value = value
		return err
	}
}

// runsOf has the runs of the rows that middleware has, for StatusAfter. A Row has no
// unexported field for it: programs compare rows.
var runsOf sync.Map

// surrounding returns the run whose middleware has the row; nil if there is none.
func (r *Row) surrounding() *activeRun {
	run, _ := runsOf.Load(r)
	active, _ := run.(*activeRun)
	return active
}

// surrounded calls the function of a run inside of its middleware.
func (r *activeRun) surrounded(chain RunFunc) (json.RawMessage, error) {
	row := r.row
	if row.KeyID != "" {
		opened := *row // the row keeps its arguments as they are stored
		opened.Args, opened.Decrypted.Args, row = r.args, true, &opened
	}
	runsOf.Store(row, r)
	defer runsOf.Delete(row)
	if err := chain(r.taskCtx, row); err != nil {
		return nil, err
	}
	if r.value == nil { // the function was not called, or its error was dropped
		return json.RawMessage(`null`), nil
	}
	return r.value, nil
}

// surrounds reports whether any middleware surrounds the enqueue of these rows.
func (c *chains) surrounds(rows []*NewRow) bool {
	if c.tasks == nil {
		return false
	}
	return c.enqueue != nil || slices.ContainsFunc(rows, func(row *NewRow) bool { return c.tasks[row.Task].enqueue != nil })
}

// enqueueCall is one enqueue on its way through the middleware. Each chain ends in
// enqueueNext, which finds in the context what follows it. So a chain that calls next again
// calls all of them again that are inside of it.
type enqueueCall struct {
	steps []enqueueStep // the last one has no chain: it stores the rows
	store func(ctx context.Context) error

	mu     sync.Mutex
	called bool  // store was, or the middleware has returned
	err    error // store's
}

// enqueueStep is a chain with the rows that it gets.
type enqueueStep struct {
	call  *enqueueCall
	at    int // among the steps
	chain EnqueueFunc
	rows  []*Row
}

type enqueueKey struct{}

var (
	errNextTwice  = errors.New("a middleware around an enqueue has called next again after the store was called, or after the enqueue has ended: the call did nothing")
	errNoNext     = errors.New("a middleware around the enqueue returned neither an error nor the result of next, so nothing was stored")
	errNextNoCall = errors.New("a middleware around an enqueue has called next with a context that is not made from its own; nothing was stored")
)

// enqueueNext is the end of each chain around an enqueue.
func enqueueNext(ctx context.Context, _ []*Row) error {
	step, ok := ctx.Value(enqueueKey{}).(*enqueueStep)
	if !ok {
		return errNextNoCall
	}
	return step.next(ctx)
}

// next calls the chain of a step, or stores the rows.
func (s *enqueueStep) next(ctx context.Context) error {
	if s.chain == nil {
		return s.call.storeOnce(ctx)
	}
	return s.chain(context.WithValue(ctx, enqueueKey{}, &s.call.steps[s.at+1]), s.rows)
}

// storeOnce stores the rows. A second call is refused, with the error of the first one: the
// store may be in the caller's transaction, or hold the lock of a schedule.
func (call *enqueueCall) storeOnce(ctx context.Context) error {
	if first, err := call.begin(); !first {
		if err != nil {
			return fmt.Errorf("%w; %w", err, errNextTwice)
		}
		return errNextTwice
	}
	err := call.store(ctx)
	call.mu.Lock()
	defer call.mu.Unlock()
	call.err = err
	return err
}

// begin reports whether the store was not called before, and then counts as a call of it;
// otherwise it returns the error of that call.
func (call *enqueueCall) begin() (first bool, err error) {
	call.mu.Lock()
	defer call.mu.Unlock()
	first, call.called = !call.called, true
	return first, call.err
}

// add adds a chain with the rows that it gets.
func (call *enqueueCall) add(chain EnqueueFunc, rows ...*Row) {
	call.steps = append(call.steps, enqueueStep{call, len(call.steps), chain, rows})
}

// around calls store inside of the middleware of the rows: that of the Config with all
// rows, then those of each task with its rows.
func (c *chains) around(ctx context.Context, rows []*NewRow, store func(context.Context) error) error {
	call := &enqueueCall{store: store, steps: make([]enqueueStep, 0, 3)}
	if c.enqueue != nil {
		all := make([]*Row, len(rows))
		for i, row := range rows {
			all[i] = row.Row
		}
		call.add(c.enqueue, all...)
	}
	steps := make(map[string]int)
	for _, row := range rows {
		chain := c.tasks[row.Task].enqueue
		if chain == nil {
			continue
		}
		if i, known := steps[row.Task]; known {
			call.steps[i].rows = append(call.steps[i].rows, row.Row)
			continue
		}
		steps[row.Task] = len(call.steps)
		call.add(chain, row.Row)
	}
	call.add(nil)
	if err := call.steps[0].next(ctx); err != nil {
		_, _ = call.begin() // what calls next from now on stores nothing
		return err
	}
	if first, err := call.begin(); !first {
		return err
	}
	return errNoNext
}

// splitEnqueue is an enqueue whose rows are stored by a transaction that calls back: the
// middleware runs in a goroutine of its own, and waits in next for the transaction.
type splitEnqueue struct {
	reached chan context.Context // next was called
	stored  chan error
	ended   chan error
}

// begin starts the middleware of rows, and returns when next was called, with its context;
// or the error of a middleware that has refused.
func (c *chains) begin(ctx context.Context, rows []*NewRow) (*splitEnqueue, context.Context, error) {
	s := &splitEnqueue{reached: make(chan context.Context), stored: make(chan error), ended: make(chan error, 1)}
	go func() {
		err := error(&PanicError{Value: errGoexit})
		defer func() {
			if value := recover(); value != nil {
				err = &PanicError{Value: value, Stack: debug.Stack()}
			}
			s.ended <- err
		}()
		err = c.around(ctx, rows, func(ctx context.Context) error {
			s.reached <- ctx
			return <-s.stored
		})
	}()
	select {
	case ctx := <-s.reached:
		return s, ctx, nil
	case err := <-s.ended:
		return nil, ctx, fmt.Errorf("enqueue: %w", err)
	}
}

// end lets next return err, and returns the middleware's result. It does nothing for nil.
func (s *splitEnqueue) end(err error) error {
	if s == nil {
		return err
	}
	s.stored <- err
	return <-s.ended
}
