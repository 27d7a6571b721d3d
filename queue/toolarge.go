package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// refused ends a claim whose end f the database does not store for its size: the
// row is FAILED, or CANCELLED as it asked, and says why. Another attempt would
// repeat the side effects and end in the same way. Where the error history is too
// large, only its latest records are kept.
func (e *Executor) refused(ctx context.Context, row *Row, f Finish, err error) *Run {
	what := fmt.Sprintf("the error history of %d records", len(f.Errors))
	if f.Status == StatusSuccessful {
		what = fmt.Sprintf("the return value of %d bytes of JSON", len(f.ReturnValue))
	}
	cause := judge(Discard(fmt.Errorf("%s cannot be stored: %w", what, err)))
	end, outcome := Finish{Status: StatusFailed}, OutcomeFailed
	if f.Status == StatusCancelled {
		end.Status, outcome = StatusCancelled, OutcomeCancelled
	}
	history := f.Errors
	if history == nil {
		history = row.Errors
	}
	history = append(slices.Clone(history), cause.record(row, time.Now()))
	for _, kept := range []int{MaxErrors, 2, 1} {
		end.Errors = history[max(0, len(history)-kept):]
		err = e.persist(ctx, func(ctx context.Context) (err error) {
			row.FinishedAt, err = e.store.Finish(ctx, row.Claim(), end)
			return err
		})
		if !errors.Is(err, ErrTooLarge) {
			break
		}
	}
	if err != nil {
		return e.notStored(ctx, row, err)
	}
	return e.finished(row, end, outcome, cause)
}
