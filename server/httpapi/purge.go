package httpapi

import (
	"net/http"
	"net/url"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/api"
)

// purgeRequest is the request of a purge.
type purgeRequest struct {
	queue.PurgeRequest
	dryRun bool
}

// purge deletes finished rows. Its parameters are in a JSON body or, since App
// Engine's cron can only GET, in the query. It stops before the request's deadline.
func (h *handler) purge(w http.ResponseWriter, r *http.Request, _ string) {
	var request purgeRequest
	var err error
	if r.Method == http.MethodPost {
		var body []byte
		if body, err = readBody(w, r, h.MaxBody); err == nil {
			request, err = purgeFromBody(body)
		}
	} else {
		request, err = purgeFromQuery(r.URL.Query())
	}
	if err != nil {
		h.fail(w, r, err)
		return
	}
	ctx, cancel := h.within(r.Context(), h.RequestTimeout*3/4)
	defer cancel()
	if request.dryRun {
		n, err := h.Client.CountPurgeable(ctx, request.PurgeRequest)
		if err != nil {
			h.fail(w, r, err)
			return
		}
		writeJSON(w, http.StatusOK, struct {
			Count  int  `json:"count"`
			DryRun bool `json:"dry_run"`
		}{n, true})
		return
	}
	deleted, more, err := h.Client.Purge(ctx, request.PurgeRequest, nil)
	if err != nil && deleted == 0 {
		h.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, struct {
		Deleted int  `json:"deleted"`
		DryRun  bool `json:"dry_run"`
		More    bool `json:"more,omitempty"`
	}{deleted, false, more})
}

func purgeFromBody(body []byte) (purgeRequest, error) {
	days, batch := api.Count{}, api.Count{Value: queue.DefaultBatch, Least: 1}
	var status, task, taskPath *string
	var dryRun *bool
	err := api.DecodeObject(body, map[string]any{
		"days": &days, "status": &status, "batch_size": &batch, "dry_run": &dryRun, "task": &task, "task_path": &taskPath,
	})
	if err == nil {
		task, err = sameTask(task, taskPath)
	}
	if err != nil {
		return purgeRequest{}, err
	}
	return newPurgeRequest(days, batch, status, task, dryRun != nil && *dryRun)
}

func purgeFromQuery(query url.Values) (purgeRequest, error) {
	days, batch := api.Count{}, api.Count{Value: queue.DefaultBatch, Least: 1}
	for name, field := range map[string]*api.Count{"days": &days, "batch_size": &batch} {
		if err := field.Set(name, provided(query, name)); err != nil {
			return purgeRequest{}, err
		}
	}
	dryRun, err := queryBool(query, "dry_run")
	if err != nil {
		return purgeRequest{}, err
	}
	task, err := sameTask(provided(query, "task"), provided(query, "task_path"))
	if err != nil {
		return purgeRequest{}, err
	}
	return newPurgeRequest(days, batch, provided(query, "status"), task, dryRun)
}

// sameTask returns the name in task, in task_path, or in both if they agree; nil if
// neither is present. task_path is the field's name in task results.
func sameTask(task, taskPath *string) (*string, error) {
	for name, value := range map[string]*string{"task": task, "task_path": taskPath} {
		// An empty name comes from an unset shell variable, and must not mean all tasks.
		if value != nil && *value == "" {
			return nil, api.BadRequest("%s must be the name of a task; leave it out for all", name)
		}
	}
	if task != nil && taskPath != nil && *task != *taskPath {
		return nil, api.BadRequest("task and task_path name different tasks: give one of them")
	}
	if task == nil {
		return taskPath, nil
	}
	return task, nil
}

func newPurgeRequest(days, batch api.Count, status, task *string, dryRun bool) (purgeRequest, error) {
	request := purgeRequest{dryRun: dryRun}
	switch {
	case batch.Value > api.MaxBatch:
		return request, api.BadRequest("batch_size cannot exceed %d", api.MaxBatch)
	case days.Value > api.MaxDays:
		return request, api.BadRequest("days cannot exceed %d", api.MaxDays)
	}
	request.Age, request.Limit = time.Duration(days.Value)*24*time.Hour, batch.Value
	if task != nil {
		request.Task = *task
	}
	if status == nil {
		request.Statuses = []queue.Status{queue.StatusSuccessful, queue.StatusFailed}
		return request, nil
	}
	if request.Statuses = api.FinalStatuses(*status); len(request.Statuses) == 0 {
		return request, api.BadRequest("No valid statuses specified")
	}
	return request, nil
}
