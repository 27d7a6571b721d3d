package api

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

// Bounds of maintenance requests; the endpoints and the commands have the same.
const (
	MaxBatch = 10000 // rows of one batch of a purge, and of each kind in one sweep
	MaxDays  = 36500 // keeps an age within what a time.Duration holds
)

// bodyReadTimeout is how long a client may take to send its body.
const bodyReadTimeout = 15 * time.Second

// LimitBodyTime makes reading the request's body fail after 15 s. net/http reads what
// a handler leaves of a body before it sends the answer, so without a limit a slow
// client holds a connection as long as it likes, even when its request is refused. A
// handler that has read the body to its end lifts the limit.
func LimitBodyTime(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength != 0 {
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyReadTimeout)) // not supported by test recorders
	}
}

// FinalStatuses returns the final statuses in a comma-separated list, which a purge
// may delete; other words are skipped.
func FinalStatuses(list string) []queue.Status {
	var statuses []queue.Status
	for word := range strings.SplitSeq(list, ",") {
		status := queue.Status(strings.ToUpper(strings.TrimSpace(word)))
		if status.Final() && !slices.Contains(statuses, status) {
			statuses = append(statuses, status)
		}
	}
	return statuses
}
