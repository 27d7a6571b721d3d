package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/claimcheck-go/claimcheck/queue/internal/jsonvalue"
)

// Checkpointer is a [Store] that keeps what tasks have done so far, for their next
// attempts ([Step], [SaveCheckpoint], [Continue]): one JSON value, the checkpoint, of a
// row. Get returns it as [Row].Checkpoint; no other method reads it.
//
//   - Retry replaces the checkpoint by its own, if it has one, and raises MaxAttempts by
//     its MoreAttempts.
//   - Every end of a row removes its checkpoint, unless the row is FAILED then, and could be
//     retried: it is not [Row.Dropped]. An enqueue that replaces the row's arguments removes
//     it too.
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
// A checkpoint is kept until the task succeeds or is cancelled. With the results of the task's steps
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
		return Discard(hiding(keeper.run.row, err))
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
	value, err = decodeStored[T](keeper.run.row, c.Data)
	if err != nil {
		return value, false, fmt.Errorf("the checkpoint that attempt %d saved is no %s: %w", c.DataFrom, reflect.TypeFor[T](), err)
	}
	return value, true, nil
}

// Continue makes a task that returns it run again at once, in a new attempt, and stores
// a checkpoint for that: work that takes longer than one attempt may is done in pieces,
// of which each ends well before its deadline. The value that the function returns is
// ignored, and an error that is joined with it is logged as a warning and stored nowhere. A nil checkpoint keeps the one that was saved.
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
func decodeStored[T any](row *Row, data json.RawMessage) (T, error) {
	value, err := decodeOf[T](row, data)
	if err == nil && jsonvalue.SharesNoField(reflect.TypeFor[T](), data) {
		err = errors.New("it has none of the type's fields")
	}
	return value, err
}
