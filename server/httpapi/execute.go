package httpapi

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// execute takes a delivered ID to the executor.
func (h *handler) execute(w http.ResponseWriter, r *http.Request, id string) {
	failOnError, err := queryBool(r.URL.Query(), "fail_on_error")
	if err != nil {
		h.fail(w, r, err)
		return
	}
	allowRetry, err := queryBool(r.URL.Query(), "allow_retry")
	if err != nil {
		h.fail(w, r, err)
		return
	}
	taskID, err := h.bareTaskID(w, r, id)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	run, err := h.Executor.RunByID(r.Context(), taskID, queue.RunOptions{AllowRetry: allowRetry})
	if errors.Is(err, queue.ErrNotFound) && retryCount(r) >= purgedAfter {
		h.Logger.ErrorContext(r.Context(), "a delivery keeps coming for a task that does not exist: it was purged, or this is another database",
			"task_id", taskID, "retry_count", retryCount(r))
		writeJSON(w, http.StatusOK, notExecuted{Reason: "Task not found"})
		return
	}
	h.write(w, r, h.busy(ExecuteAnswer(run, err, failOnError), err), err)
}

// bareTaskID reads a request that says everything in its URL: the task's ID, and
// a body without fields.
func (h *handler) bareTaskID(w http.ResponseWriter, r *http.Request, id string) (uuid.UUID, error) {
	body, err := readBody(w, r, h.MaxBody)
	if err == nil {
		err = decodeObject(body, nil)
	}
	if err != nil {
		return uuid.Nil, err
	}
	return parseID(id)
}

// busy gives the answer of a full process the status that this platform's
// queues slow down for.
func (h *handler) busy(answer Answer, err error) Answer {
	if errors.Is(err, queue.ErrBusy) {
		answer.Status = h.BusyStatus
	}
	return answer
}

// purgedAfter is how many deliveries of an unknown ID are refused, so that one
// that overtakes its row's commit comes again, before the ID is given up.
const purgedAfter = 5

// retryCount is how often this delivery has failed before, as Cloud Tasks
// counts it. It is a hint: anybody may send the header.
func retryCount(r *http.Request) int {
	for _, name := range []string{"X-CloudTasks-TaskRetryCount", "X-AppEngine-TaskRetryCount"} {
		if n, err := strconv.Atoi(r.Header.Get(name)); err == nil {
			return n
		}
	}
	return 0
}
