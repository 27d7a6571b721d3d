package queue

import (
	"context"
	"errors"
	"fmt"
)

// allowedAttempts returns the row's MaxAttempts as the run has raised it.
func (r *activeRun) allowedAttempts() int {
	k := r.keeps.Load()
	if k == nil {
		return r.row.MaxAttempts
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return max(r.row.MaxAttempts, k.maxAttempts)
}

// hasCheckpoint reports whether the run has seen that its row has one.
func (r *activeRun) hasCheckpoint() bool {
	k := r.keeps.Load()
	if k == nil {
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.stored.Limit > 0
}

// continueLater makes the row READY for a task that has returned Continue, and dispatches
// it.
func (e *Executor) continueLater(r *activeRun, f *failure) *Run {
	asked := f.continuation
	k, err := r.keeper().supported()
	if err == nil {
		err = asked.err
	}
	if err != nil {
		return e.fail(r, classify(Discard(fmt.Errorf("the task cannot continue: %w", err))))
	}
	if r.row.Attempts >= MaxAttemptsLimit {
		return e.refuseToContinue(r, k, asked)
	}
	next, err := k.continued(r.ctx, asked)
	if err != nil {
		return e.notContinued(r, err)
	}
	next.Errors = r.restoredErrors()
	return e.retry(r, next, f)
}

// continued is the retry that stores a continuation.
func (k *keeper) continued(ctx context.Context, asked *continuation) (Retry, error) {
	returned, cancel := context.WithCancel(ctx)
	cancel() // what the function has left behind is not waited for
	done, err := k.write(returned)
	if err != nil {
		return Retry{}, err
	}
	defer done()
	if err := k.load(ctx); err != nil {
		return Retry{}, err
	}
	next, data, err := k.changed(asked.apply)
	if err != nil {
		return Retry{}, permanent(err)
	}
	k.set(next, 0)
	return Retry{Checkpoint: data, MoreAttempts: next.Limit}, nil
}

// apply changes a checkpoint as the task asked.
func (c *continuation) apply(to *checkpoint) {
	if c.data != nil {
		to.Data = c.data
	}
}

// notContinued ends a run whose checkpoint could not be read or made.
func (e *Executor) notContinued(r *activeRun, err error) *Run {
	f, ofCodec := classify(err), (*codecError)(nil)
	if f.discard || errors.As(err, &ofCodec) {
		return e.fail(r, f)
	}
	return e.notStored(r.ctx, r.row, err)
}

// refuseToContinue fails a task that has no attempt left, and keeps its checkpoint for an
// operator's retry.
func (e *Executor) refuseToContinue(r *activeRun, k *keeper, asked *continuation) *Run {
	if err := k.save(r.ctx, false, asked.apply); err != nil {
		return e.notContinued(r, err)
	}
	return e.fail(r, classify(Discard(fmt.Errorf("the task cannot continue: this was attempt %d, and a task has at most %d; retry it to continue from its checkpoint", r.row.Attempts, MaxAttemptsLimit))))
}
