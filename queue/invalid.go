package queue

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue/internal/jsonvalue"
)

// InvalidColumnError reports a stored value that is not what its column must hold,
// such as an error history that is not a JSON list. Only a statement from outside
// writes one.
type InvalidColumnError struct {
	ID     uuid.UUID // the row
	Column string
	Err    error // what is wrong with the value
}

func (e *InvalidColumnError) Error() string {
	return fmt.Sprintf("column %s of task %s is invalid: %s", e.Column, e.ID, e.Err)
}

// Unwrap returns what is wrong with the value.
func (e *InvalidColumnError) Unwrap() error { return e.Err }

// SetInvalid records that a column holds a value that cannot be used. Stores call
// it instead of failing, so that the row does not take others along. The value is
// kept, cut to 16 KiB, in an error record of the row.
func (r *Row) SetInvalid(column, value string, err error) {
	invalid := &InvalidColumnError{ID: r.ID, Column: column, Err: err}
	if r.Invalid == nil {
		r.Invalid = invalid
	}
	record := AttemptError{
		ExceptionClassPath: class(invalid), Message: cleanText(invalid.Error(), maxMessageBytes),
		Traceback: cleanText("the value: "+value, maxTracebackBytes),
		At:        cmp.Or(r.LastAttemptedAt, r.EnqueuedAt),
	}
	// A failed attempt has stored the record already if the column is still invalid.
	if !slices.ContainsFunc(r.Errors, func(e AttemptError) bool { return e.Message == record.Message }) {
		r.Errors = r.WithError(record)
	}
}

// DecodeErrors sets the error history to what the column errors holds; nil is NULL.
func (r *Row) DecodeErrors(stored []byte) {
	history, err := jsonvalue.Decode[[]AttemptError](stored)
	if err != nil {
		r.SetInvalid("errors", string(stored), fmt.Errorf("it must be a JSON list of error records: %w", err))
		return
	}
	r.Errors = history
}

// notCalled is the failure of a row with an invalid column: another attempt would
// meet the same value.
func notCalled(row *Row) *failure {
	return judge(Discard(fmt.Errorf("the function was not called, because %w; check the row, then retry the task", row.Invalid)))
}
