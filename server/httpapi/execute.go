package httpapi

import (
	"cmp"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/api"
)

// execute passes a delivered ID to the executor.
func (h *handler) execute(w http.ResponseWriter, r *http.Request, id string) {
	var query url.Values
	if r.URL.RawQuery != "" {
		query = r.URL.Query()
	}
	failOnError, err := queryBool(query, "fail_on_error")
	if err != nil {
		h.fail(w, r, err)
		return
	}
	allowRetry, err := queryBool(query, "allow_retry")
	if err != nil {
		h.fail(w, r, err)
		return
	}
	taskID, err := h.bareTaskID(w, r, id)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	run, err := h.Executor.RunByID(r.Context(), taskID, queue.RunOptions{AllowRetry: allowRetry, DueAt: dueAt(r), Ticket: ticketName(r)})
	if errors.Is(err, queue.ErrNotFound) && retryCount(r) >= purgedAfter {
		h.Logger.WarnContext(r.Context(), "a delivery keeps coming for a task that does not exist: it was deleted, or is in another database; not delivered again",
			"task_id", taskID, "retry_count", retryCount(r))
		writeJSON(w, http.StatusOK, api.NotExecuted{Reason: "Task not found"})
		return
	}
	h.write(w, r, h.busy(api.ExecuteAnswer(run, err, failOnError), err), err)
}

// bareTaskID reads a request that has everything in its URL: the body must be empty
// or {}.
func (h *handler) bareTaskID(w http.ResponseWriter, r *http.Request, id string) (uuid.UUID, error) {
	body, err := readBody(w, r, h.MaxBody)
	if err == nil {
		err = api.DecodeObject(body, nil)
	}
	if err != nil {
		return uuid.Nil, err
	}
	return api.ParseID(id)
}

// busy sets the status of a full process's answer to the one at which this platform's
// queues slow down.
func (h *handler) busy(answer api.Answer, err error) api.Answer {
	if errors.Is(err, queue.ErrBusy) {
		answer.Status = h.BusyStatus
	}
	return answer
}

// purgedAfter is how many deliveries of an unknown ID are refused before the ID is
// given up: the first may arrive before its row is committed.
const purgedAfter = 5

// dueAt returns for when Cloud Tasks had scheduled this delivery; zero if it does not say.
// It is a hint: any caller can send the header.
func dueAt(r *http.Request) time.Time {
	const longest = 1e11 // seconds: the year 5138
	for _, name := range []string{"X-CloudTasks-TaskETA", "X-AppEngine-TaskETA"} {
		if eta, err := strconv.ParseFloat(r.Header.Get(name), 64); err == nil && eta > 0 && eta < longest {
			return time.UnixMicro(int64(eta * 1e6))
		}
	}
	return time.Time{}
}

// ticketName returns the name of the Cloud Task of this delivery; empty if it does not say.
// It is a hint: any caller can send the header.
func ticketName(r *http.Request) string {
	return cmp.Or(r.Header.Get("X-CloudTasks-TaskName"), r.Header.Get("X-AppEngine-TaskName"))
}

// retryCount returns how often this delivery has failed before, as Cloud Tasks counts
// it. It is a hint: any caller can send the header.
func retryCount(r *http.Request) int {
	for _, name := range []string{"X-CloudTasks-TaskRetryCount", "X-AppEngine-TaskRetryCount"} {
		if n, err := strconv.Atoi(r.Header.Get(name)); err == nil {
			return n
		}
	}
	return 0
}
