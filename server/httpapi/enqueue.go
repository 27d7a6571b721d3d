package httpapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// ParseEnqueue reads the body of /tasks/enqueue/. Its errors name the field and
// what it accepts.
func ParseEnqueue(body []byte) (queue.Request, error) {
	request, _, err := parseEnqueue(body)
	return request, err
}

// parseEnqueue also returns the backend of the body, nil if it has none.
func parseEnqueue(body []byte) (_ queue.Request, backend *string, _ error) {
	var (
		task, queueName, runAfter, id *string
		priority                      *int
		args                          json.RawMessage
	)
	err := decodeObject(body, map[string]any{
		"task": &task, "args": &args, "queue_name": &queueName, "priority": &priority,
		"run_after": &runAfter, "backend_name": &backend, "id": &id,
	})
	if err != nil {
		return queue.Request{}, nil, err
	}
	if task == nil || *task == "" {
		return queue.Request{}, nil, badRequest("task must be the name of a registered task")
	}
	request := queue.Request{Task: *task, Args: args}
	set := func(o queue.Option) { request.Options = append(request.Options, o) }
	if queueName != nil {
		set(queue.OnQueue(*queueName))
	}
	if backend != nil {
		set(queue.OnBackend(*backend))
	}
	if priority != nil {
		set(queue.Priority(*priority))
	}
	if runAfter != nil {
		t, err := ParseTime(*runAfter)
		if err != nil || t.IsZero() {
			return request, nil, badRequest("run_after must be a time with an offset, as RFC 3339 writes it (2026-01-31T15:04:05Z), in the years 1970 to 9999")
		}
		set(queue.RunAfter(t))
	}
	if id != nil {
		parsed, err := parseID(*id)
		if err != nil || parsed == uuid.Nil {
			return request, nil, badRequest("id must be a UUID such as 01890a5d-ac96-774b-bcce-b302099a8057")
		}
		set(queue.WithID(parsed))
	}
	return request, backend, nil
}

// rfc3339 is the grammar of RFC 3339, section 5.6. [time.Parse] also takes a
// decimal comma, hours of one digit and offsets of 24 hours, and refuses the
// lower-case letters that the RFC allows.
var rfc3339 = regexp.MustCompile(`^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)$`)

// ParseTime reads a time as RFC 3339 writes it: exactly its grammar, letters in
// either case.
func ParseTime(text string) (time.Time, error) {
	if !rfc3339.MatchString(text) {
		return time.Time{}, fmt.Errorf("%.60q is not a time as RFC 3339 writes it (2026-01-31T15:04:05Z)", text)
	}
	return time.Parse(time.RFC3339, strings.ToUpper(text))
}

// databaseTimeout bounds how long one request waits for a database that hangs.
const databaseTimeout = 15 * time.Second

func (h *handler) enqueue(w http.ResponseWriter, r *http.Request, _ string) {
	body, err := readBody(w, r, h.MaxBody)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	request, backend, err := parseEnqueue(body)
	if err == nil && backend != nil && !h.Client.HasBackend(*backend) {
		err = errBackend // as on the other endpoints
	}
	if err != nil {
		h.fail(w, r, err)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), databaseTimeout)
	defer cancel()
	handle, err := h.Client.Enqueue(ctx, request.Task, request.Args, request.Options...)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	status := http.StatusCreated
	if handle.Existed {
		status = http.StatusOK
	}
	writeJSON(w, status, EnqueueBody{handle.Row, handle.Warnings})
}

// EnqueueBody is the answer of /tasks/enqueue/.
type EnqueueBody struct {
	Result   *queue.Row `json:"result"`
	Warnings []string   `json:"warnings,omitempty"` // Handle.Warnings
}

// resultBody is an answer with one task.
type resultBody struct {
	Result *queue.Row `json:"result"`
}

func (h *handler) result(w http.ResponseWriter, r *http.Request, id string) {
	taskID, err := parseID(id)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), databaseTimeout)
	defer cancel()
	row, err := h.Client.Get(ctx, taskID)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, resultBody{row})
}

// parseID reads a UUID in its usual form; nothing else is any task's ID.
func parseID(s string) (uuid.UUID, error) {
	id, err := uuid.Parse(s)
	if err != nil || len(s) != len(id.String()) {
		return uuid.Nil, queue.ErrNotFound
	}
	return id, nil
}
