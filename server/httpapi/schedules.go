package httpapi

import (
	"context"
	"net/http"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/api"
)

// Counts of what one schedule's answer has.
const (
	nextTimes = 5
	history   = 20
)

// apiActor is the actor in the audit log for callers of this API.
const apiActor = "HTTP API"

// schedules lists the schedules.
func (h *handler) schedules(w http.ResponseWriter, r *http.Request, _ string) {
	ctx, cancel := context.WithTimeout(r.Context(), databaseTimeout)
	defer cancel()
	all, err := h.Client.Schedules(ctx)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, api.SchedulesOf(all))
}

// schedule answers with one schedule, its next times and its latest occurrences.
func (h *handler) schedule(w http.ResponseWriter, r *http.Request, name string) {
	ctx, cancel := context.WithTimeout(r.Context(), databaseTimeout)
	defer cancel()
	answer, err := api.DescribeSchedule(ctx, h.Client, name, nextTimes, history)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, answer)
}

// putSchedule makes a schedule or replaces it.
func (h *handler) putSchedule(w http.ResponseWriter, r *http.Request, name string) {
	body, err := readBody(w, r, h.MaxBody)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	request, err := api.ParseSchedule(name, body)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	request.Actor = apiActor
	ctx, cancel := context.WithTimeout(r.Context(), databaseTimeout)
	defer cancel()
	schedule, created, err := h.Client.PutSchedule(ctx, request)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	status := http.StatusOK
	if created {
		status = http.StatusCreated
	}
	writeJSON(w, status, api.ScheduleAnswer{Schedule: api.ScheduleOf(schedule), Warnings: schedule.Warnings})
}

// bareName reads a request that has everything in its URL: the body must be empty or {}.
func (h *handler) bareName(w http.ResponseWriter, r *http.Request) error {
	body, err := readBody(w, r, h.MaxBody)
	if err != nil {
		return err
	}
	return api.DecodeObject(body, nil)
}

// deleteSchedule deletes a schedule.
func (h *handler) deleteSchedule(w http.ResponseWriter, r *http.Request, name string) {
	ctx, cancel := context.WithTimeout(r.Context(), databaseTimeout)
	defer cancel()
	if err := h.Client.DeleteSchedule(ctx, name, apiActor); err != nil {
		h.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, api.DeletedSchedule{Deleted: true})
}

func (h *handler) pauseSchedule(w http.ResponseWriter, r *http.Request, name string) {
	h.operateSchedule(w, r, func(ctx context.Context) (*queue.Schedule, error) { return h.Client.PauseSchedule(ctx, name, apiActor) })
}

func (h *handler) resumeSchedule(w http.ResponseWriter, r *http.Request, name string) {
	h.operateSchedule(w, r, func(ctx context.Context) (*queue.Schedule, error) {
		return h.Client.ResumeSchedule(ctx, name, apiActor)
	})
}

// operateSchedule answers with a schedule as it is after an operation on it.
func (h *handler) operateSchedule(w http.ResponseWriter, r *http.Request, operate func(context.Context) (*queue.Schedule, error)) {
	err := h.bareName(w, r)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), databaseTimeout)
	defer cancel()
	schedule, err := operate(ctx)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, api.ScheduleAnswer{Schedule: api.ScheduleOf(schedule)})
}

// runSchedule enqueues the task of a schedule now. It answers as an enqueue does.
func (h *handler) runSchedule(w http.ResponseWriter, r *http.Request, name string) {
	err := h.bareName(w, r)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), databaseTimeout)
	defer cancel()
	handle, err := h.Client.RunSchedule(ctx, name, apiActor)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	answer := api.EnqueueAnswer(handle)
	writeJSON(w, answer.Status, answer.Body)
}
