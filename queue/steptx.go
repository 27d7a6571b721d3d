package queue

import (
	"context"
	"errors"
	"fmt"
)

// StoreTx stores the result of a [Step] as a part of a transaction of the caller's: what the
// step has written in tx and its result become durable together, or neither does, so that
// the step takes effect exactly once. The step's function calls it, commits tx and returns;
// its own result is ignored. The task's row is locked until the commit, so commit soon.
//
//	total, err := queue.Step(ctx, "book", func(ctx context.Context) (int, error) {
//		tx, err := pool.Begin(ctx)
//		…
//		defer tx.Rollback(ctx)
//		… the booking is written in tx …
//		if err := queue.StoreTx(ctx, pgstore.Tx(tx), total); err != nil {
//			return 0, err
//		}
//		return total, tx.Commit(ctx)
//	})
//
// ctx is that of the step's function; elsewhere the error is [ErrInvalid]. [ErrLeaseLost]
// means that the claim was lost. After any error tx must be rolled back; if tx does not
// commit, the step has failed. Until its function returns, other steps of the task wait before they begin or
// are stored.
func StoreTx(ctx context.Context, tx Tx, result any) error {
	s := stepFrom(ctx)
	switch {
	case s == nil:
		return invalidf("StoreTx needs the context of a step's function")
	case s.inTx != nil:
		return invalidf("StoreTx was called before in step %q", s.name)
	}
	if err := checkTx(tx); err != nil {
		return err
	}
	stored, err := s.result(result)
	if err != nil {
		return err
	}
	if managed, ok := tx.(*managedTx); ok {
		tx = managed.Tx
	}
	if err := s.writeTx(ctx, tx, stored); err != nil {
		return fmt.Errorf("store %s: %w", s.what(), err)
	}
	return nil
}

// writeTx makes the step the writer of the checkpoint until it has ended.
func (s *runningStep) writeTx(ctx context.Context, tx Tx, result *storedStep) error {
	k := s.keeper
	done, err := k.write(ctx)
	if err != nil {
		return err
	}
	s.done, s.inTx = done, result
	next, data, err := k.changed(func(c *checkpoint) { c.Steps = append(c.Steps, *result) })
	if err != nil {
		return Discard(err)
	}
	err = k.store.SaveCheckpointTx(ctx, tx, k.run.claim, data, next.Limit)
	k.run.executor.client.availability.observe(err)
	if err != nil {
		return k.failed(err)
	}
	return nil
}

// errStepNotCommitted is the failure of a step that called StoreTx and returned without an
// error, but did not commit.
var errStepNotCommitted = errors.New("its function called StoreTx, but the transaction was not committed")

// committed reads whether the transaction of StoreTx has stored the step, and else returns
// the error of the step's function.
func (s *runningStep) committed(ctx context.Context, failure error) error {
	k := s.keeper
	c, err := k.read(ctx)
	if err != nil {
		return fmt.Errorf("step %q: whether its transaction was committed: %w", s.name, err)
	}
	switch s.stored = c.step(s.name); {
	case s.stored != nil:
		k.set(c, c.Limit)
		return nil
	case failure != nil:
		return failure
	}
	return fmt.Errorf("step %q: %w", s.name, errStepNotCommitted)
}
