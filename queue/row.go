package queue

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue/internal/jsonvalue"
)

// Status is the state of a task. READY and RUNNING tasks are live; the other three
// states are final, and only an operator's retry of a FAILED task reopens one.
type Status string

// The states of a task. docs/design.md draws the legal transitions.
const (
	StatusReady      Status = "READY"
	StatusRunning    Status = "RUNNING"
	StatusSuccessful Status = "SUCCESSFUL"
	StatusFailed     Status = "FAILED"
	StatusCancelled  Status = "CANCELLED"
)

// Final reports whether the task has ended, successfully or not.
func (s Status) Final() bool {
	return s == StatusSuccessful || s == StatusFailed || s == StatusCancelled
}

// Row is one task as the store keeps it. Its JSON form is the task result of
// the HTTP API; fields tagged "-" are internal and not part of it.
//
// All times are UTC, from the database's clock, with microsecond precision; the
// zero time means "not known" or "not yet".
type Row struct {
	ID       uuid.UUID `json:"id"`
	Status   Status    `json:"status"`
	Task     string    `json:"task_path"`
	Queue    string    `json:"queue_name"`
	Backend  string    `json:"backend_name"`
	Priority int       `json:"priority"` // -100..100, higher first

	// Attempts counts claims. It rises by one when the row is claimed and
	// falls by one only when a claim is released without counting.
	Attempts    int `json:"attempts"`
	MaxAttempts int `json:"max_attempts"`

	EnqueuedAt time.Time `json:"enqueued_at"`
	// RunAfter is hard: no claim of any kind, on any attempt, runs before it.
	RunAfter time.Time `json:"run_after,omitzero"`
	// RetryAt is soft, the end of the default backoff: workers that pull and the
	// sweeper wait for it; a delivery, whose queue has its own backoff, does not.
	RetryAt         time.Time `json:"retry_at,omitzero"`
	StartedAt       time.Time `json:"started_at,omitzero"` // first attempt
	LastAttemptedAt time.Time `json:"last_attempted_at,omitzero"`
	FinishedAt      time.Time `json:"finished_at,omitzero"`

	// ReturnValue is set only when Status is SUCCESSFUL.
	ReturnValue json.RawMessage `json:"return_value,omitempty"`
	// Errors has one record for each failed attempt, oldest first, up to the latest
	// [MaxErrors].
	Errors []AttemptError `json:"errors,omitempty"`
	// WorkerIDs has one entry for each attempt, repeats kept.
	WorkerIDs []string `json:"worker_ids,omitempty"`
	// DispatchError says why the last attempt to create a Cloud Task for this
	// row failed. A claim clears it.
	DispatchError string `json:"dispatch_error,omitempty"`

	// UniqueKey is the idempotency key; empty without one. The row holds it as
	// UniqueScope says.
	UniqueKey   string      `json:"unique_key,omitempty"`
	UniqueScope UniqueScope `json:"-"`
	// UniqueUntil ends a UniqueKept; zero: it ends with the row.
	UniqueUntil time.Time `json:"-"`

	// Schedule is the name of the schedule whose occurrence the row is, and
	// ScheduledFor the time of the occurrence.
	Schedule     string    `json:"schedule,omitempty"`
	ScheduledFor time.Time `json:"scheduled_for,omitzero"`

	// Group is the group whose member the row is ([InGroup]), and Completes the group that
	// has enqueued the row because its members have ended.
	Group     uuid.UUID `json:"group_id,omitzero"`
	Completes uuid.UUID `json:"completes_group,omitzero"`

	// KeyID is the key with which the row's values are encrypted; empty: they are not. Rows
	// that a [Client] returns are decrypted, as far as Decrypted says. Otherwise Unreadable
	// says why not, Args are as they are stored, and ReturnValue and Checkpoint are left out.
	KeyID      string    `json:"key_id,omitempty"`
	Unreadable string    `json:"unreadable,omitempty"`
	Decrypted  Decrypted `json:"-"`

	// LimitKey is what limits for each key count the row under.
	LimitKey string `json:"limit_key,omitempty"`
	// ExpiresAt is the time from which the row is not started.
	ExpiresAt time.Time `json:"expires_at,omitzero"`
	// Progress and Note are what the function last reported ([Progress], [Note]), in this
	// attempt or an earlier one.
	Progress *TaskProgress `json:"progress,omitempty"`
	Note     string        `json:"note,omitempty"`
	// Checkpoint is what the task has saved for its next attempt ([Step],
	// [SaveCheckpoint], [Continue]), if the row comes from Get.
	Checkpoint json.RawMessage `json:"checkpoint,omitempty"`
	// Keep is how long the ended row is kept; nil leaves it to the purges.
	Keep *Retention `json:"-"`
	// OnFailed is what is enqueued when the row has FAILED; nil is nothing.
	OnFailed *DeadLetter `json:"-"`
	// DeleteAt is when an ended row with Keep is deleted; see [Row.KeptUntil].
	DeleteAt time.Time `json:"-"`

	// Limited is set by a claim of a row that a limit concerns ([Limiter]).
	Limited bool `json:"-"`

	// ErrorGroup and ErrorText are [LastError] of Errors, for lists.
	ErrorGroup string `json:"-"`
	ErrorText  string `json:"-"`

	// Invalid is an [*InvalidColumnError] if the store could not decode a column: such
	// a row fails when it runs, and its function is not called.
	Invalid error `json:"-"`

	// Args are the arguments: compact JSON, checked by [CheckJSON].
	Args json.RawMessage `json:"-"`
	// Timeout is the [Timeout] of this one enqueue; 0 leaves it to the task, or the
	// executor.
	Timeout time.Duration `json:"-"`

	// TraceContext is the trace in which the task was enqueued, set by the hook
	// Enqueuing; empty without one. Stores keep it as it is.
	TraceContext string `json:"-"`

	// ClaimID is random and new for each claim: it is the fence. It stays on the row
	// afterwards, so that a worker whose commit was not acknowledged recognizes its
	// own finish.
	ClaimID        uuid.UUID `json:"-"`
	LeaseExpiresAt time.Time `json:"-"` // zero unless RUNNING
	// Interruptions counts the attempts released because the process stopped.
	Interruptions int `json:"-"`

	// DispatchDueAt is the time by which a READY row should have been claimed;
	// past it the sweeper dispatches the row again.
	DispatchDueAt time.Time `json:"-"`
	DispatchTries int       `json:"-"` // how often the sweeper has dispatched it since the last claim
}

// UniqueScope is how long a row holds its UniqueKey.
type UniqueScope int

// The scopes. Their values are stored.
const (
	UniqueReleased   UniqueScope = 0 // the row holds no key, or no longer
	UniqueUnfinished UniqueScope = 1 // until the row has ended
	UniqueKept       UniqueScope = 2 // until UniqueUntil, or while the row exists
)

// HasExtras reports whether the row has any of what only some rows have: a key, a
// schedule, a limit's key, an expiry, a retention, a dead letter, a group or encrypted
// values.
func (r *Row) HasExtras() bool {
	return r.UniqueKey != "" || r.Schedule != "" || !r.ScheduledFor.IsZero() || r.LimitKey != "" || !r.ExpiresAt.IsZero() || r.Keep != nil || r.OnFailed != nil || r.Group != uuid.Nil || r.Completes != uuid.Nil || r.KeyID != ""
}

// Claim identifies one claim of one row: the right to finish it.
type Claim struct {
	ID      uuid.UUID // the row
	ClaimID uuid.UUID // the fence
}

// Claim returns the row's latest claim.
func (r *Row) Claim() Claim { return Claim{ID: r.ID, ClaimID: r.ClaimID} }

// MaxTraceContext is how many bytes [Row].TraceContext may have: a W3C traceparent
// and the 512 bytes of tracestate that every participant has to pass on.
const MaxTraceContext = 600

// InvalidColumnError reports a stored value that its column must not have, such as
// an error history that is not a JSON list. Only a statement from outside this
// module writes one. Get it with errors.As.
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

// SetInvalid records that a column contains a value that cannot be used. Stores call
// it instead of failing, so that one row does not make a statement about many fail.
// The value is kept, cut to 16 KiB, in an error record of the row.
func (r *Row) SetInvalid(column, value string, err error) {
	invalid := &InvalidColumnError{ID: r.ID, Column: column, Err: err}
	if r.Invalid == nil {
		r.Invalid = invalid
	}
	record := AttemptError{
		ExceptionClassPath: typeName(invalid), Message: cleanText(invalid.Error(), maxMessageBytes),
		Traceback: cleanText("the value: "+value, maxTracebackBytes),
		At:        cmp.Or(r.LastAttemptedAt, r.EnqueuedAt),
	}
	// A failed attempt has stored the record already if the column is still invalid.
	if !slices.ContainsFunc(r.Errors, func(e AttemptError) bool { return e.Message == record.Message }) {
		r.Errors = r.withError(record)
	}
}

// DecodeErrors sets the error history to the value of the column errors; nil is NULL.
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
	return classify(Discard(fmt.Errorf("the function was not called, because %w; check the row, then retry the task", row.Invalid)))
}
