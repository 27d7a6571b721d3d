package queue

import (
	"context"
	"errors"
	"fmt"
)

// CompleteTx ends the running task successfully as a part of the caller's
// transaction: what the task has written in tx and its success become durable
// together, or neither does. The function then commits tx and returns; what it
// returns counts no more. Until the commit the row is locked, so commit soon.
//
//	func charge(ctx context.Context, in Charge) (Receipt, error) {
//		tx, err := pool.Begin(ctx)
//		…
//		defer tx.Rollback(ctx)
//		… the charge is written in tx …
//		if err := queue.CompleteTx(ctx, pgstore.Tx(tx), receipt); err != nil {
//			return Receipt{}, err
//		}
//		return receipt, tx.Commit(ctx)
//	}
//
// ctx is the task's own; outside a task the error is ErrInvalid. out is the
// return value, as the task's own would be. ErrLeaseLost means that the row is
// somebody else's by now. After any error tx must be rolled back, and if tx does
// not commit the attempt has failed. An out that cannot be stored, because it is
// larger than Config.MaxBytes or than the database accepts for instance, is a permanent error (Discard).
func CompleteTx(ctx context.Context, tx Tx, out any) error {
	r, ok := ctx.Value(runningKey{}).(*running)
	if !ok {
		return invalidf("CompleteTx needs the context of a running task")
	}
	if err := checkTx(tx); err != nil {
		return err
	}
	value, err := encode("return value", out)
	if err == nil {
		err = checkResult(value, r.executor.client.cfg.MaxBytes)
	}
	if err != nil {
		return Discard(err)
	}
	if followed, ok := tx.(*followedTx); ok {
		tx = followed.Tx
	}
	r.completed.Store(true)
	_, err = r.executor.store.FinishTx(ctx, tx, r.claim, Finish{Status: StatusSuccessful, ReturnValue: value, Errors: r.kept()})
	r.executor.client.outage.observe(err)
	if errors.Is(err, ErrTooLarge) {
		return Discard(fmt.Errorf("complete: %w", err))
	}
	if err != nil {
		return fmt.Errorf("complete: %w", err)
	}
	return nil
}

// errNotCommitted is the failure of a task that called CompleteTx, and returned
// without an error and without having committed.
var errNotCommitted = errors.New("the task called CompleteTx, but its transaction was not committed")

// ifCompleted returns the run of a function whose CompleteTx took effect; nil if
// its transaction did not commit and its claim holds.
func (e *Executor) ifCompleted(ctx context.Context, row *Row) *Run {
	var now *Row
	err := e.persist(ctx, func(ctx context.Context) (err error) {
		now, err = e.store.Get(ctx, row.ID)
		return err
	})
	switch {
	case errors.Is(err, ErrNotFound): // finished, and purged
		return &Run{Row: row, Outcome: OutcomeLost, Err: ErrLeaseLost}
	case err != nil:
		return &Run{Row: row, Outcome: OutcomeUnknown, Err: err}
	case now.ClaimID != row.ClaimID:
		return &Run{Row: now, Outcome: OutcomeLost, Err: ErrLeaseLost}
	case now.Status == StatusSuccessful:
		return &Run{Row: now, Outcome: OutcomeSucceeded}
	}
	return nil
}
