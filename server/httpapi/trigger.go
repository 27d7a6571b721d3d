package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/api"
)

// maxTasks bounds what one call of /tasks/run/ may run.
const maxTasks = 100

// run runs tasks that are due, one after the other.
func (h *handler) run(w http.ResponseWriter, r *http.Request, _ string) {
	most := api.Count{Value: 10, Least: 1}
	from, err := h.from(w, r, map[string]any{"max_tasks": &most})
	if err == nil && most.Value > maxTasks {
		err = api.BadRequest("max_tasks cannot exceed %d", maxTasks)
	}
	if err != nil {
		h.fail(w, r, err)
		return
	}
	// Tasks are started during the first half of the request's time; the second
	// half is left for the last one to finish.
	ctx, cancel := h.within(r.Context(), h.RequestTimeout/2)
	defer cancel()
	runs, err := h.Executor.Process(ctx, most.Value, from)
	if err != nil && len(runs) == 0 {
		h.notRun(w, r, err)
		return
	}
	results := make([]*queue.Row, len(runs))
	for i, run := range runs {
		results[i] = run.Row
	}
	writeJSON(w, http.StatusOK, struct {
		Processed int          `json:"processed"`
		Results   []*queue.Row `json:"results"`
	}{len(runs), results})
}

// runOne runs the task that comes next.
func (h *handler) runOne(w http.ResponseWriter, r *http.Request, _ string) {
	from, err := h.from(w, r, map[string]any{})
	if err != nil {
		h.fail(w, r, err)
		return
	}
	run, err := h.Executor.ProcessOne(r.Context(), from)
	if err != nil {
		h.notRun(w, r, err)
		return
	}
	answer := struct {
		Processed bool       `json:"processed"`
		Result    *queue.Row `json:"result"`
	}{Processed: run != nil}
	if run != nil {
		answer.Result = run.Row
	}
	writeJSON(w, http.StatusOK, answer)
}

// notRun answers a request that ran nothing.
func (h *handler) notRun(w http.ResponseWriter, r *http.Request, err error) {
	h.write(w, r, h.busy(api.ExecuteAnswer(nil, err, false), err), err)
}

// from reads a body that chooses the queue and the backend to take tasks from,
// besides further fields.
func (h *handler) from(w http.ResponseWriter, r *http.Request, fields map[string]any) (queue.From, error) {
	var queueName, backend *string
	fields["queue_name"], fields["backend_name"] = &queueName, &backend
	body, err := readBody(w, r, h.MaxBody)
	if err == nil {
		err = api.DecodeObject(body, fields)
	}
	if err != nil {
		return queue.From{}, err
	}
	filter, err := h.filter(queueName, backend)
	if err != nil {
		return queue.From{}, err
	}
	from := queue.From{Backend: filter.Backend}
	if filter.Queue != "" {
		from.Queues = []string{filter.Queue}
	}
	return from, nil
}

// filter returns the selection of queue_name and backend_name: every queue and the
// default backend, unless they are present.
func (h *handler) filter(queueName, backend *string) (queue.Filter, error) {
	f := queue.Filter{Backend: queue.DefaultBackend}
	if queueName != nil {
		f.Queue = *queueName
	}
	if backend != nil {
		f.Backend = *backend
	}
	if !h.Client.HasBackend(f.Backend) {
		return f, errBackend
	}
	return f, nil
}

// within bounds a context by limit; 0 does not bound it.
func (h *handler) within(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	if limit <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, limit)
}
