// Package api holds what the endpoints under /tasks/ and the commands of package server
// have in common: bodies, answers and limits. It serves nothing itself.
package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

// Answer is an endpoint's answer.
type Answer struct {
	Status int
	Body   any // encodes as one JSON object
	// RetryAfter asks the caller to wait that long; 0 sends no such header.
	RetryAfter time.Duration
}

// Bodies of Answer.
type (
	executed struct {
		Executed bool       `json:"executed"`
		Failed   bool       `json:"failed,omitempty"`
		Result   *queue.Row `json:"result"`
	}
	// NotExecuted is the answer of execute for a task that was not run.
	NotExecuted struct {
		Executed bool   `json:"executed"` // always false
		Reason   string `json:"reason"`
	}
	// ErrorBody is the answer of every endpoint to a request that it refuses.
	ErrorBody struct {
		Error string `json:"error"`
	}
	// EnqueueBody is the answer of /tasks/enqueue/.
	EnqueueBody struct {
		Result   *queue.Row `json:"result"`
		Existed  bool       `json:"existed,omitempty"`
		Warnings []string   `json:"warnings,omitempty"` // Handle.Warnings
	}
	// duplicateBody is the answer to an enqueue whose ID or key another task holds.
	duplicateBody struct {
		Error  string     `json:"error"`
		Result *queue.Row `json:"result"` // that task
	}
	cancelBody struct {
		Cancelled bool       `json:"cancelled"`
		Error     string     `json:"error,omitempty"`
		Result    *queue.Row `json:"result"`
	}
)

// InfraRetryAfter is the Retry-After while the database or another dependency is down.
const InfraRetryAfter = 5 * time.Second

// ExecuteAnswer returns the execute endpoint's answer to the results of
// [queue.Executor.RunByID]. Its caller is Cloud Tasks: 2xx deletes the message for
// good, anything else is delivered again, and 429 and 503 slow the whole queue down,
// so these two are for conditions that concern every task.
func ExecuteAnswer(run *queue.Run, err error, failOnError bool) Answer {
	if err != nil {
		return notRunAnswer(err)
	}
	switch run.Outcome {
	case queue.OutcomeSucceeded, queue.OutcomeCancelled:
		return Answer{Status: http.StatusOK, Body: executed{Executed: true, Result: run.Row}}
	case queue.OutcomeFailed:
		if failOnError {
			return Answer{Status: http.StatusInternalServerError, Body: executed{Executed: true, Failed: true, Result: run.Row}}
		}
		return Answer{Status: http.StatusOK, Body: executed{Executed: true, Result: run.Row}}
	case queue.OutcomeRescheduled:
		if run.DispatchErr != nil { // this message is the only ticket
			return notRunAnswer(queue.ErrNotArmed)
		}
		return Answer{Status: http.StatusOK, Body: executed{Executed: true, Result: run.Row}}
	case queue.OutcomeLost:
		if run.Row.Status.Final() {
			return notRunAnswer(queue.ErrFinal)
		}
		return Answer{Status: http.StatusConflict, Body: NotExecuted{Reason: queue.ErrLeaseLost.Error()}}
	case queue.OutcomeInterrupted, queue.OutcomeAbandoned:
		return Answer{Status: http.StatusInternalServerError, Body: NotExecuted{Reason: run.Err.Error()}}
	default: // queue.OutcomeUnknown
		if errors.Is(run.Err, queue.ErrLocked) { // the database works, and another transaction holds the row
			return Answer{http.StatusConflict, NotExecuted{Reason: queue.ErrLocked.Error()}, InfraRetryAfter}
		}
		return Answer{http.StatusServiceUnavailable, NotExecuted{Reason: queue.ErrFinishUnknown.Error()}, InfraRetryAfter}
	}
}

// refusals are the answers for a row that was not claimed, by reason.
var refusals = []struct {
	reason error
	status int
}{
	{queue.ErrDropped, http.StatusOK}, // is ErrFinal too
	{queue.ErrFinal, http.StatusOK},
	{queue.ErrWorkerLost, http.StatusOK},
	{queue.ErrExpired, http.StatusOK},
	{queue.ErrNotDue, http.StatusOK},  // it is armed again for its time
	{queue.ErrPaused, http.StatusOK},  // it is parked, and dispatched when its queue is resumed
	{queue.ErrLimited, http.StatusOK}, // it waits, and is dispatched when the limit allows it
	{queue.ErrLeased, http.StatusConflict},
	{queue.ErrDuplicate, http.StatusConflict},
	{queue.ErrLocked, http.StatusConflict}, // not 503, which slows the whole queue down
	{queue.ErrUnknownTask, http.StatusInternalServerError},
	{queue.ErrUnknownKey, http.StatusInternalServerError},
	{queue.ErrOutdated, http.StatusInternalServerError}, // a newer version gets the next delivery
	{queue.ErrShutdown, http.StatusInternalServerError},
	{queue.ErrBusy, http.StatusTooManyRequests},
	{queue.ErrNotArmed, http.StatusServiceUnavailable},
}

// detailed are the reasons of which the answer says more: what the last attempt has stored,
// the queue, the other task, when the task is deleted.
var detailed = map[error]bool{queue.ErrWorkerLost: true, queue.ErrPaused: true, queue.ErrLimited: true, queue.ErrDuplicate: true, queue.ErrDropped: true}

func notRunAnswer(err error) Answer {
	for _, refusal := range refusals {
		if !errors.Is(err, refusal.reason) {
			continue
		}
		answer := Answer{Status: refusal.status, Body: NotExecuted{Reason: refusal.reason.Error()}}
		var claim *queue.NotClaimedError
		switch {
		case (refusal.reason == queue.ErrLeased || refusal.reason == queue.ErrLocked) && errors.As(err, &claim):
			answer.RetryAfter = claim.Wait
		case detailed[refusal.reason] && errors.As(err, &claim):
			answer.Body = NotExecuted{Reason: claim.Error()}
		case refusal.reason == queue.ErrBusy:
			answer.RetryAfter = time.Second
		case refusal.status == http.StatusServiceUnavailable:
			answer.RetryAfter = InfraRetryAfter
		}
		return answer
	}
	return ErrorAnswer(err)
}

// ErrorAnswer returns the answer of every endpoint to an error after which nothing
// was done.
func ErrorAnswer(err error) Answer {
	var body *BodyError
	var duplicate *queue.DuplicateError
	var conflict *queue.IDConflictError
	switch {
	case errors.As(err, &body):
		return Answer{Status: body.Status, Body: ErrorBody{body.Text}}
	case errors.As(err, &conflict):
		return conflictAnswer(conflict)
	case errors.As(err, &duplicate):
		return Answer{Status: http.StatusConflict, Body: duplicateBody{duplicate.Error(), duplicate.Row}}
	case errors.Is(err, queue.ErrInvalid):
		return Answer{Status: http.StatusBadRequest, Body: ErrorBody{err.Error()}}
	case errors.Is(err, queue.ErrNotFound):
		return Answer{Status: http.StatusNotFound, Body: ErrorBody{"Task not found"}}
	case errors.Is(err, queue.ErrNoSchedule):
		return Answer{Status: http.StatusNotFound, Body: ErrorBody{"Schedule not found"}}
	case errors.Is(err, queue.ErrGroupNotFound):
		return Answer{Status: http.StatusNotFound, Body: ErrorBody{"Group not found"}}
	case errors.Is(err, queue.ErrGroupExists) && errors.Is(err, queue.ErrUnknownKey):
		return Answer{Status: http.StatusConflict, Body: ErrorBody{err.Error()}}
	case errors.Is(err, queue.ErrGroupExists):
		return Answer{Status: http.StatusConflict, Body: ErrorBody{queue.ErrGroupExists.Error()}}
	case errors.Is(err, queue.ErrGroupClosed):
		return Answer{Status: http.StatusConflict, Body: ErrorBody{queue.ErrGroupClosed.Error()}}
	case errors.Is(err, queue.ErrScheduleInCode):
		return Answer{Status: http.StatusConflict, Body: ErrorBody{queue.ErrScheduleInCode.Error()}}
	case errors.Is(err, queue.ErrIDConflict):
		return Answer{Status: http.StatusConflict, Body: ErrorBody{queue.ErrIDConflict.Error()}}
	case errors.Is(err, queue.ErrBacklogFull):
		return Answer{http.StatusTooManyRequests, ErrorBody{err.Error()}, InfraRetryAfter}
	case errors.Is(err, queue.ErrSchema):
		return Answer{http.StatusServiceUnavailable, ErrorBody{queue.ErrSchema.Error()}, InfraRetryAfter}
	case errors.Is(err, queue.ErrTooLarge):
		return Answer{Status: http.StatusRequestEntityTooLarge, Body: ErrorBody{queue.ErrTooLarge.Error()}}
	case errors.Is(err, queue.ErrLocked):
		return Answer{http.StatusConflict, ErrorBody{queue.ErrLocked.Error()}, time.Second}
	case queue.UnavailableReason(err) != nil:
		return Answer{http.StatusServiceUnavailable, ErrorBody{queue.UnavailableReason(err).Error()}, InfraRetryAfter}
	case errors.Is(err, queue.ErrUnsupported):
		return Answer{Status: http.StatusNotImplemented, Body: ErrorBody{queue.ErrUnsupported.Error()}}
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return Answer{http.StatusServiceUnavailable, ErrorBody{queue.ErrNoAnswer.Error()}, InfraRetryAfter}
	default:
		return Answer{Status: http.StatusInternalServerError, Body: ErrorBody{"internal error"}}
	}
}

// conflictAnswer names the task that has the ID, and says whether it could be compared.
func conflictAnswer(conflict *queue.IDConflictError) Answer {
	text := queue.ErrIDConflict.Error()
	if conflict.KeyID != "" {
		text = conflict.Error()
	}
	if conflict.Row == nil {
		return Answer{Status: http.StatusConflict, Body: ErrorBody{text}}
	}
	return Answer{Status: http.StatusConflict, Body: duplicateBody{text, conflict.Row}}
}

// deleteBody is the answer of delete.
type deleteBody struct {
	Deleted bool   `json:"deleted"`
	Error   string `json:"error,omitempty"`
}

// DeleteAnswer returns the answer of delete to the results of [queue.Client.Delete].
func DeleteAnswer(deleted bool, err error) Answer {
	switch {
	case errors.Is(err, queue.ErrLocked):
		return Answer{http.StatusConflict, deleteBody{Error: queue.ErrLocked.Error() + ": nothing was changed, retry when that has ended"}, time.Second}
	case err != nil:
		return ErrorAnswer(err)
	case !deleted:
		return Answer{Status: http.StatusConflict, Body: deleteBody{Error: "the task is RUNNING: cancel it first"}}
	default:
		return Answer{Status: http.StatusOK, Body: deleteBody{Deleted: true}}
	}
}

// EnqueueAnswer returns the answer of enqueue to a stored task.
func EnqueueAnswer(h *queue.Handle) Answer {
	status := http.StatusCreated
	if h.Existed {
		status = http.StatusOK
	}
	return Answer{Status: status, Body: EnqueueBody{Result: h.Row, Existed: h.Existed, Warnings: h.Warnings}}
}

// CancelAnswer returns the answer of cancel to the results of [queue.Client.Cancel].
func CancelAnswer(row *queue.Row, cancelled bool, err error) Answer {
	body := cancelBody{Cancelled: cancelled, Result: row}
	switch {
	case errors.Is(err, queue.ErrLocked):
		body.Error = queue.ErrLocked.Error() + ": nothing was changed, retry when that has ended"
		return Answer{http.StatusConflict, body, time.Second}
	case err != nil:
		return ErrorAnswer(err)
	case !cancelled:
		return Answer{Status: http.StatusConflict, Body: body}
	default:
		return Answer{Status: http.StatusOK, Body: body}
	}
}
