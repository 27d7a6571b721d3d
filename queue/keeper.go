package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// keeper keeps the checkpoint of one run.
type keeper struct {
	run   *activeRun
	store Checkpointer

	writing chan struct{} // has a value while the checkpoint is read, changed and stored
	loaded  bool          // of a writer

	mu          sync.Mutex
	stored      checkpoint
	maxAttempts int                  // as this run has raised it
	steps       map[string]stepState // those that run or have ended in this call of the function
}

// keeper returns the run's, which most runs do not have.
func (r *activeRun) keeper() *keeper {
	if k := r.keeps.Load(); k != nil {
		return k
	}
	store, _ := r.executor.store.(Checkpointer)
	r.keeps.CompareAndSwap(nil, &keeper{run: r, store: store, writing: make(chan struct{}, 1), steps: make(map[string]stepState)})
	return r.keeps.Load()
}

// keeperFrom returns the keeper of the running task whose function got ctx.
func keeperFrom(ctx context.Context, call string) (*keeper, error) {
	r := runFrom(ctx)
	if r == nil {
		return nil, invalidf("%s needs the context of a running task", call)
	}
	if r.completed.Load() {
		return nil, invalidf("%s must not follow CompleteTx in the same attempt", call)
	}
	if s := stepFrom(ctx); s != nil && s.inTx != nil {
		return nil, invalidf("%s must not follow StoreTx in the function of step %q", call, s.name)
	}
	return r.keeper().supported()
}

func (k *keeper) supported() (*keeper, error) {
	if k.store == nil {
		return nil, fmt.Errorf("%w: %T is no queue.Checkpointer, which steps and checkpoints require", ErrUnsupported, k.run.executor.store)
	}
	return k, nil
}

// write makes the caller the only writer until it calls done. It waits for another step's
// transaction ([StoreTx]), but not for long once ctx has ended: that one may never end.
func (k *keeper) write(ctx context.Context) (done func(), err error) {
	done = func() { <-k.writing }
	select {
	case k.writing <- struct{}{}:
		return done, nil
	case <-ctx.Done():
	}
	select {
	case k.writing <- struct{}{}:
		return done, nil
	case <-time.After(settleBudget):
		return nil, fmt.Errorf("another step's transaction (StoreTx) has not ended: %w", context.Cause(ctx))
	}
}

// now returns the checkpoint as this run knows it.
func (k *keeper) now() checkpoint {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.stored
}

// set records what is stored, and how many more attempts that allows.
func (k *keeper) set(c checkpoint, more int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.stored = c
	k.maxAttempts = MoreAttempts(k.maxAttempts, k.run.row.Attempts, more)
}

// current returns the checkpoint as it is.
func (k *keeper) current(ctx context.Context) (checkpoint, error) {
	done, err := k.write(ctx)
	if err != nil {
		return checkpoint{}, err
	}
	defer done()
	err = k.load(ctx)
	return k.now(), err
}

// isFirst reports whether the run's attempt is the first that has begun, also of those
// that do not count. Where a test sets the clock, the times do not tell.
func (k *keeper) isFirst() bool {
	_, fake := k.run.executor.store.(Clocked)
	row := k.run.row
	return !fake && row.Attempts == 1 && row.StartedAt.Equal(row.LastAttemptedAt)
}

// load reads the checkpoint, once. A first attempt has none. The caller is the writer.
func (k *keeper) load(ctx context.Context) error {
	if k.loaded || k.isFirst() {
		k.loaded = true
		return nil
	}
	c, err := k.read(ctx)
	if err == nil {
		k.loaded = true
		k.set(c, 0)
	}
	return err
}

// read returns the checkpoint that the row has.
func (k *keeper) read(ctx context.Context) (checkpoint, error) {
	var data json.RawMessage
	err := k.run.executor.persist(context.WithoutCancel(ctx), func(ctx context.Context) (err error) {
		data, err = k.store.Checkpoint(ctx, k.run.claim)
		return err
	})
	if err != nil {
		return checkpoint{}, k.failed(err)
	}
	if data, err = k.run.executor.client.openValue(context.WithoutCancel(ctx), k.run.row, checkpointKind, data); err != nil {
		return checkpoint{}, err
	}
	return decodeCheckpoint(data)
}

// save changes the checkpoint, and stores it. If that is progress, it allows further
// attempts. A function whose context has ended may still save.
func (k *keeper) save(ctx context.Context, progress bool, change func(*checkpoint)) error {
	done, err := k.write(ctx)
	if err != nil {
		return err
	}
	defer done()
	if err := k.load(ctx); err != nil {
		return err
	}
	next, data, err := k.changed(change)
	if err != nil {
		return permanent(err)
	}
	more := 0
	if progress {
		more = next.Limit
	}
	e := k.run.executor
	err = e.persist(context.WithoutCancel(ctx), func(ctx context.Context) error {
		return k.store.SaveCheckpoint(ctx, k.run.claim, data, more)
	})
	if err != nil {
		return k.failed(err)
	}
	k.set(next, more)
	return nil
}

// changed returns the checkpoint with a change, and its JSON. The caller is the writer.
func (k *keeper) changed(change func(*checkpoint)) (next checkpoint, data json.RawMessage, err error) {
	next = k.now()
	next.Steps = slices.Clone(next.Steps)
	if next.Limit == 0 {
		next.Limit = k.run.row.MaxAttempts
	}
	before := next.Data
	if change(&next); before == nil || next.Data == nil || &before[0] != &next.Data[0] {
		next.DataFrom = k.run.info.Attempt
	}
	client := k.run.executor.client
	if data, err = next.encode(client.cfg.MaxBytes); err == nil {
		data, err = client.sealCheckpoint(k.run, data)
	}
	return next, data, hiding(k.run.row, err)
}

// failed returns the error of a read or write, and ends the function's context if the
// claim is lost.
func (k *keeper) failed(err error) error {
	if errors.Is(err, ErrLeaseLost) {
		k.run.cancel(ErrLeaseLost)
	}
	if errors.Is(err, ErrTooLarge) {
		return Discard(err)
	}
	return err
}
