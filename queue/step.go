package queue

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"time"

	"github.com/claimcheck-go/claimcheck/queue/internal/jsonvalue"
)

// MaxStepName is how many bytes the name of a [Step] may have.
const MaxStepName = 200

// Step calls f and stores its result under a name, so that no later attempt of the task
// calls f again: it gets the stored result. A task that charges a card, writes an invoice
// and sends a mail repeats, after a failure of the last, only that.
//
//	receipt, err := queue.Step(ctx, "charge", func(ctx context.Context) (Receipt, error) {
//		return card.Charge(ctx, in.Amount)
//	})
//	if err != nil {
//		return err
//	}
//
// The result is JSON, and Step returns what later attempts will get: it decodes the
// result even the first time. It is stored in one statement when f returns, and survives
// a crash of the process and of the database from then on. If the process ends between
// the last effect of f and that statement, f is called again: it should be idempotent, or
// use the task's ID and the step's name as an idempotency key elsewhere, or write in the
// task's database and store its result with [StoreTx].
//
// An error of f is returned as it is, and not stored. Once the task's context has ended,
// f is not called; the error is the context's cause.
//
// A step that is stored is progress: the task may be attempted so many times more as its
// own limit says ([MaxAttempts]), up to 1000 attempts in all. The results are kept until
// the task succeeds or is cancelled, so an operator's retry of a FAILED task skips its
// steps as well. Together they are at most [Config].MaxBytes of JSON: a result that exceeds
// that, or that JSON cannot represent, is a permanent error ([Discard]). Store large results
// elsewhere, and return where.
//
// The name is 1 to [MaxStepName] bytes, and unique within the task. Another name, and a
// second step of one name in an attempt unless the first has failed, are permanent errors
// that are [ErrInvalid]. A stored result that is no T, because the program has changed, is
// an error that names the step: give the changed step another name. Steps may run
// concurrently. ctx is the task's own, or one made from it.
//
// The error is [ErrLeaseLost] if the claim is lost, for example because the task was
// cancelled; then nothing is stored. It is [ErrUnsupported] if the store is no
// [Checkpointer], and [ErrInvalid] outside a task.
func Step[T any](ctx context.Context, name string, f func(context.Context) (T, error)) (T, error) {
	value, err := step(ctx, name, f)
	if err != nil {
		var none T
		return none, err
	}
	return value, nil
}

func step[T any](ctx context.Context, name string, f func(context.Context) (T, error)) (value T, err error) {
	k, err := keeperFrom(ctx, "Step")
	if err == nil {
		err = permanent(checkStep[T](name)) // another attempt would make the same mistake
	}
	if err != nil {
		return value, err
	}
	stored, err := k.begin(ctx, name)
	if err != nil {
		return value, err
	}
	if stored != nil {
		return decodeStep[T](k.run.row, stored)
	}
	s := &runningStep{keeper: k, name: name}
	defer s.ended() // also if f panics
	if ctx.Err() != nil {
		return value, context.Cause(ctx)
	}
	value, err = f(context.WithValue(ctx, stepKey{}, s))
	switch {
	case s.inTx != nil:
		err = s.committed(ctx, err)
	case err == nil:
		err = s.store(ctx, value)
	}
	if err != nil {
		return value, err
	}
	return decodeStep[T](k.run.row, s.stored)
}

// runningStep is a step whose function is called.
type runningStep struct {
	keeper *keeper
	name   string
	stored *storedStep
	inTx   *storedStep // what StoreTx has written
	done   func()      // ends the write of StoreTx
}

// stepState is how far a step has come in a run.
type stepState int

const (
	stepRuns stepState = iota
	stepEnded
	stepLeft // it runs, and the function was called again since
)

// stepKey is the key of the step in its function's context.
type stepKey struct{}

// stepFrom returns the step whose function got ctx, or nil.
func stepFrom(ctx context.Context) *runningStep {
	s, _ := ctx.Value(stepKey{}).(*runningStep)
	return s
}

// ended makes a step that has failed one that may be called again; one that is stored may be
// in another call of the task's function.
func (s *runningStep) ended() {
	if s.done != nil {
		s.done()
	}
	s.keeper.mu.Lock()
	defer s.keeper.mu.Unlock()
	if s.stored == nil {
		delete(s.keeper.steps, s.name)
	} else {
		s.keeper.steps[s.name] = stepEnded
	}
}

// calls lets a call of the task's function, which middleware may repeat in the same attempt,
// call the steps that have ended in the one before: it gets their stored results.
func (r *activeRun) calls() {
	k := r.keeps.Load()
	if k == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	maps.DeleteFunc(k.steps, func(_ string, state stepState) bool { return state == stepEnded })
	for name := range k.steps {
		k.steps[name] = stepLeft
	}
}

// checkStep refuses a step before its function has an effect that could not be stored.
func checkStep[T any](name string) error {
	if name == "" || cleanText(name, MaxStepName) != name {
		return invalidf("the name of a step must have 1 to %d bytes of UTF-8 without NUL, not %.100q", MaxStepName, name)
	}
	if problem := typeProblem[T]("the result"); problem != "" {
		return invalidf("step %q: %s", name, problem)
	}
	return nil
}

// begin returns the result of a step, or nil if it is to be called.
func (k *keeper) begin(ctx context.Context, name string) (*storedStep, error) {
	current, err := k.current(ctx)
	if err != nil {
		return nil, fmt.Errorf("step %q: %w", name, err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	switch state, called := k.steps[name]; {
	case called && state == stepLeft:
		return nil, invalidf("step %q still runs, from an earlier call of the function in this attempt", name)
	case called:
		return nil, Discard(invalidf("step %q was called before in this attempt: each step of a task needs a name of its own", name))
	}
	stored := current.step(name)
	if k.steps[name] = stepRuns; stored != nil {
		k.steps[name] = stepEnded
	}
	return stored, nil
}

// what is how errors call the step's result.
func (s *runningStep) what() string { return fmt.Sprintf("the result of step %q", s.name) }

// result is what is stored of a value.
func (s *runningStep) result(value any) (*storedStep, error) {
	data, err := encode(s.what(), value)
	if err == nil {
		err = invalid(jsonvalue.CheckEncoded(s.what(), data))
	}
	if err != nil {
		return nil, Discard(hiding(s.keeper.run.row, err))
	}
	e := s.keeper.run.executor
	return &storedStep{Name: s.name, Result: data, Attempt: s.keeper.run.info.Attempt, At: e.client.now().UTC().Truncate(time.Microsecond)}, nil
}

// store stores the result of a step whose function has returned.
func (s *runningStep) store(ctx context.Context, value any) error {
	result, err := s.result(value)
	if err != nil {
		return err
	}
	if err := s.keeper.save(ctx, true, func(c *checkpoint) { c.Steps = append(c.Steps, *result) }); err != nil {
		return fmt.Errorf("store %s: %w", s.what(), err)
	}
	s.stored = result
	return nil
}

func decodeStep[T any](row *Row, s *storedStep) (T, error) {
	value, err := decodeStored[T](row, s.Result)
	if err != nil {
		return value, fmt.Errorf("step %q: its result, which attempt %d stored, is no %s: %w; give the changed step another name", s.Name, s.Attempt, reflect.TypeFor[T](), err)
	}
	return value, nil
}
