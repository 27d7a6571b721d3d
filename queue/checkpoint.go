package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/claimcheck-go/claimcheck/queue/internal/jsonvalue"
)

// Checkpointer is a [Store] that keeps what tasks have done so far, for their next
// attempts ([Step], [SaveCheckpoint], [Continue]): one JSON value, the checkpoint, of a
// row. Get returns it as [Row].Checkpoint; no other method reads it.
//
//   - Retry replaces the checkpoint by its own, if it has one, and raises MaxAttempts by
//     its MoreAttempts.
//   - Finish and FinishTx remove the checkpoint of a task that has succeeded, and every
//     end of a row removes it if the row is [Row.Dropped] then. An enqueue that replaces
//     the row's arguments removes it too.
//
// These writes, like a Finish, must survive a crash of the database.
type Checkpointer interface {
	// Checkpoint returns the checkpoint of a row that is RUNNING under claim; nil if it
	// has none. Otherwise the error is [ErrLeaseLost].
	Checkpoint(ctx context.Context, claim Claim) (json.RawMessage, error)

	// SaveCheckpoint replaces the checkpoint of a row that stays RUNNING under claim, and
	// raises its MaxAttempts to [MoreAttempts] of its Attempts. It may be repeated when its
	// answer was lost.
	SaveCheckpoint(ctx context.Context, claim Claim, checkpoint json.RawMessage, more int) error

	// SaveCheckpointTx is SaveCheckpoint as a part of tx.
	SaveCheckpointTx(ctx context.Context, tx Tx, claim Claim, checkpoint json.RawMessage, more int) error
}

// MoreAttempts returns the MaxAttempts of a row after progress that allows so many more
// attempts: attempts + more, at most [MaxAttemptsLimit], but never less than it was. No
// more attempts leave it unchanged.
func MoreAttempts(maxAttempts, attempts, more int) int {
	if more <= 0 {
		return maxAttempts
	}
	return max(maxAttempts, min(attempts+more, MaxAttemptsLimit))
}

// SaveCheckpoint stores how far the running task has come, in place of its last
// checkpoint, so that the next attempt can go on from there: it reads the value with
// [Checkpoint]. When SaveCheckpoint returns, the value survives a crash of the process
// and of the database. It is one statement, so save after a batch of work rather than
// after each item.
//
// A checkpoint is kept until the task succeeds. With the results of the task's steps
// ([Step]) it is at most [Config].MaxBytes of JSON; a larger one is a permanent error
// ([Discard]).
//
// SaveCheckpoint does not allow further attempts: only [Step] and [Continue] do. The error
// is [ErrLeaseLost] if the claim is lost, for example because the task was cancelled;
// then nothing is stored. It is [ErrUnsupported] if the store is no [Checkpointer], and
// [ErrInvalid] outside a task.
func SaveCheckpoint(ctx context.Context, value any) error {
	keeper, err := keeperFrom(ctx, "SaveCheckpoint")
	if err != nil {
		return err
	}
	data, err := encode("checkpoint", value)
	if err != nil {
		return Discard(err)
	}
	err = keeper.save(ctx, false, func(c *checkpoint) { c.Data = data })
	if err != nil {
		return fmt.Errorf("save the checkpoint: %w", err)
	}
	return nil
}

// Checkpoint returns what an earlier attempt of the running task, or this one, has saved
// with [SaveCheckpoint] or [Continue]; false if none has. A value that is no T is an error.
func Checkpoint[T any](ctx context.Context) (value T, ok bool, err error) {
	keeper, err := keeperFrom(ctx, "Checkpoint")
	if err != nil {
		return value, false, err
	}
	c, err := keeper.current(ctx)
	if err != nil {
		return value, false, fmt.Errorf("read the checkpoint: %w", err)
	}
	if c.Data == nil {
		return value, false, nil
	}
	value, err = decodeStored[T](c.Data)
	if err != nil {
		return value, false, fmt.Errorf("the checkpoint that attempt %d saved is no %s: %w", c.DataFrom, reflect.TypeFor[T](), err)
	}
	return value, true, nil
}

// Continue makes a task that returns it run again at once, in a new attempt, and stores
// a checkpoint for that: work that takes longer than one attempt may is done in pieces,
// of which each ends well before its deadline. What the function returns besides is
// ignored. A nil checkpoint keeps the one that was saved.
//
//	for !done {
//		if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < time.Minute {
//			return Result{}, queue.Continue(position)
//		}
//		…
//	}
//
// The checkpoint and the end of the attempt are one statement, which survives a crash of
// the database. Then the task is dispatched, as by [RetryAt]. No error is recorded, but the attempt counts, and the task may
// be attempted so many times more as its own limit says ([MaxAttempts]), up to 1000 attempts
// in all: the attempt after which there is none left is FAILED, and an operator's retry
// continues it.
//
// A task that is interrupted by a shutdown, or whose time is over, can still return
// Continue. On a store that is no [Checkpointer], and with a checkpoint that cannot be
// stored ([SaveCheckpoint]), the task is FAILED.
func Continue(checkpoint any) error {
	c := &continuation{}
	if checkpoint != nil {
		c.data, c.err = encode("checkpoint", checkpoint)
	}
	return c
}

// continuation is the error of Continue.
type continuation struct {
	data json.RawMessage // nil: unchanged
	err  error           // why it cannot be stored
}

func (c *continuation) Error() string {
	if c.err != nil {
		return c.err.Error()
	}
	return "the task continues in another attempt"
}

func (c *continuation) Unwrap() error { return c.err }

// checkpoint is the JSON that is stored. encode and decodeCheckpoint are the only places
// that know its form.
type checkpoint struct {
	// Limit is the task's MaxAttempts when it had not made progress yet.
	Limit int          `json:"limit"`
	Steps []storedStep `json:"steps,omitempty"` // in the order in which they ended
	// Data is the value of SaveCheckpoint, and DataFrom the attempt that saved it.
	Data     json.RawMessage `json:"data,omitempty"`
	DataFrom int             `json:"data_from,omitempty"`
}

// storedStep is the result of a step.
type storedStep struct {
	Name    string          `json:"name"`
	Result  json.RawMessage `json:"result"`
	Attempt int             `json:"attempt"`
	At      time.Time       `json:"at"`
}

func (c *checkpoint) encode(limit int) (json.RawMessage, error) {
	data, err := encode("checkpoint", c)
	if err == nil && len(data) > limit {
		err = fmt.Errorf("the checkpoint is %d bytes of JSON, with the results of %d steps; at most %d are accepted", len(data), len(c.Steps), limit)
	}
	if err == nil {
		err = invalid(jsonvalue.CheckEncoded("checkpoint", data))
	}
	return data, err
}

func decodeCheckpoint(data json.RawMessage) (checkpoint, error) {
	c, err := jsonvalue.Decode[checkpoint](data)
	if err != nil {
		return c, fmt.Errorf("the stored checkpoint is invalid: %w", err)
	}
	return c, nil
}

// step returns the result of a step, or nil.
func (c *checkpoint) step(name string) *storedStep {
	if i := slices.IndexFunc(c.Steps, func(s storedStep) bool { return s.Name == name }); i >= 0 {
		return &c.Steps[i]
	}
	return nil
}

// decodeStored reads a value that an earlier attempt, perhaps of another version of the
// program, has stored.
func decodeStored[T any](data json.RawMessage) (T, error) {
	value, err := jsonvalue.Decode[T](data)
	if err == nil && jsonvalue.SharesNoField(reflect.TypeFor[T](), data) {
		err = errors.New("it has none of the type's fields")
	}
	return value, err
}

// keeper keeps the checkpoint of one run.
type keeper struct {
	run   *activeRun
	store Checkpointer

	writing chan struct{} // has a value while the checkpoint is read, changed and stored
	loaded  bool          // of a writer

	mu          sync.Mutex
	stored      checkpoint
	maxAttempts int             // as this run has raised it
	steps       map[string]bool // those that run or have ended in this run
}

// keeper returns the run's, which most runs do not have.
func (r *activeRun) keeper() *keeper {
	if k := r.keeps.Load(); k != nil {
		return k
	}
	store, _ := r.executor.store.(Checkpointer)
	r.keeps.CompareAndSwap(nil, &keeper{run: r, store: store, writing: make(chan struct{}, 1), steps: make(map[string]bool)})
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
		return Discard(err)
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
	return next, data, err
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
