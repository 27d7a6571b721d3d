package queue

import (
	"cmp"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"
)

// AttemptError records why one attempt failed.
type AttemptError struct {
	// ExceptionClassPath is the type of the Go error, for example
	// "*fs.PathError"; "WorkerLost" when the lease expired without a result.
	ExceptionClassPath string `json:"exception_class_path"`
	Message            string `json:"message"`
	// Traceback is the stack for a panic, otherwise the wrapped chain, one
	// error a line.
	Traceback string    `json:"traceback"`
	Attempt   int       `json:"attempt"`
	At        time.Time `json:"at"`
	// StartedAt is when the attempt was claimed, by WorkerID.
	StartedAt time.Time `json:"started_at,omitzero"`
	WorkerID  string    `json:"worker_id,omitempty"`
}

// MaxErrors is how many error records a row keeps: the latest ones, so that neither
// the row nor the write that records a failure can grow without bound.
const MaxErrors = 50

const (
	maxMessageBytes   = 4096  // of AttemptError.Message
	maxTracebackBytes = 16384 // of AttemptError.Traceback
	maxGroupBytes     = 200   // of Row.ErrorGroup
	maxTextBytes      = 500   // of Row.ErrorText
)

// withError returns the row's error history with e added: the latest [MaxErrors]
// records, oldest first. The row is not changed.
func (r *Row) withError(e AttemptError) []AttemptError {
	history := append(append([]AttemptError(nil), r.Errors...), e)
	if over := len(history) - MaxErrors; over > 0 {
		history = history[over:]
	}
	return history
}

// variable matches what differs from one failure to the next of the same kind.
var variable = regexp.MustCompile(`[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}|"(?:[^"\\]|\\.)*"|'[^']*'|0x[0-9a-fA-F]+|\b[0-9a-fA-F]{16,}\b|\d+(?:[.:]\d+)*`)

// Group is a text that failures of the same kind have in common: the type and
// the first line of the message, without what is quoted, numbers and IDs; at most
// 200 bytes.
func (e AttemptError) Group() string {
	message, _, _ := strings.Cut(e.Message, "\n")
	return cleanText(e.ExceptionClassPath+": "+variable.ReplaceAllString(message, "…"), maxGroupBytes)
}

// LastError returns the [AttemptError.Group] of the last record, and its type and
// message, cut to 500 bytes: what stores keep in columns of their own for lists
// and searches ([Row].ErrorGroup and ErrorText). Both are empty if there is none.
func LastError(history []AttemptError) (group, text string) {
	if len(history) == 0 {
		return "", ""
	}
	last := history[len(history)-1]
	return last.Group(), cleanText(last.ExceptionClassPath+": "+last.Message, maxTextBytes)
}

// LostErrors is the error history of a row whose lease expired on its last
// attempt, seen at the database's time now: with a WorkerLost record added, unless
// [Store].NoteErrors left a record of that attempt.
func (r *Row) LostErrors(now time.Time) []AttemptError {
	if r.noted() {
		return r.Errors
	}
	return r.withError(r.workerLost(now))
}

// noted reports whether the history of a RUNNING row holds a record of the running
// attempt. A released attempt leaves its number to another one, so the time of the
// claim has to be the same, too.
func (r *Row) noted() bool {
	n := len(r.Errors)
	return r.Status == StatusRunning && n > 0 && r.Errors[n-1].Attempt == r.Attempts && r.Errors[n-1].StartedAt.Equal(r.LastAttemptedAt)
}

const workerLostClass = "WorkerLost"

// workerLost is the error record of a row whose lease expired on its last
// attempt, seen at the database's time now.
func (r *Row) workerLost(now time.Time) AttemptError {
	worker := cmp.Or(r.worker(), "unknown")
	return AttemptError{
		ExceptionClassPath: workerLostClass,
		Message: fmt.Sprintf("the lease of worker %s expired at %s during attempt %d of %d, and no result was stored; the worker may be gone",
			worker, r.LeaseExpiresAt.UTC().Format(time.RFC3339), r.Attempts, r.MaxAttempts),
		Attempt:   r.Attempts,
		At:        now.UTC(),
		StartedAt: r.LastAttemptedAt,
		WorkerID:  r.worker(),
	}
}

// worker is the worker ID of the latest attempt.
func (r *Row) worker() string {
	if n := len(r.WorkerIDs); n > 0 {
		return r.WorkerIDs[n-1]
	}
	return ""
}

// cleanText makes s storable in every database: valid UTF-8, no NUL, at most
// limit bytes. Without it the write that records a failure could itself fail.
func cleanText(s string, limit int) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
	if len(s) <= limit {
		return s
	}
	const mark = " … (cut)"
	cut := limit - len(mark)
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + mark
}
