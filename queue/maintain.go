package queue

import (
	"slices"
	"time"
)

// Filter chooses rows by where they are; empty fields choose all.
type Filter struct {
	Queue   string
	Backend string
}

// Stats are counts of rows by state, at one moment of the database.
type Stats struct {
	Pending    int `json:"pending_count"` // READY and due (RetryAt included)
	Running    int `json:"running_count"`
	Successful int `json:"successful_count"`
	Failed     int `json:"failed_count"`
	Cancelled  int `json:"cancelled_count"`
	Delayed    int `json:"delayed_count"` // READY and not due
	// Since when the pending rows that have been due longest and shortest
	// wait; zero when none is pending.
	OldestPendingSince time.Time `json:"oldest_pending_waiting_since,omitzero"`
	NewestPendingSince time.Time `json:"newest_pending_waiting_since,omitzero"`
	// READY rows that should have been claimed or dispatched by now, and since
	// when the first of them has been due.
	Stranded            int       `json:"stranded_count"`
	OldestStrandedSince time.Time `json:"oldest_stranded_since,omitzero"`
}

// PurgeRequest chooses final rows.
type PurgeRequest struct {
	Statuses []Status      // final ones; others choose nothing
	Age      time.Duration // finished at least this long ago, by the database's clock
	Task     string        // empty: all names
	Limit    int
}

// Final returns the final ones of r.Statuses, each once.
func (r PurgeRequest) Final() []Status {
	final := []Status{}
	for _, status := range r.Statuses {
		if status.Final() && !slices.Contains(final, status) {
			final = append(final, status)
		}
	}
	return final
}

// RequeueRequest chooses RUNNING rows whose lease has expired.
type RequeueRequest struct {
	Filter
	OlderThan time.Duration // since they were claimed
	// MaxAttempts overrides the rows' own limit for deciding whether an
	// attempt is left; 0 does not. A row that goes back to READY gets at least
	// one attempt more than it has used.
	MaxAttempts int
	MarkFailed  bool // FAILED in any case
	Limit       int
	DryRun      bool // only count
}

// RequeueResult is what Requeue did, or would do.
type RequeueResult struct {
	Ready  int // READY and due at once
	Failed int // FAILED with a WorkerLost error
}
