package api

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// ParseEnqueue reads the body of /tasks/enqueue/, and also returns its backend, nil if
// it has none. Its errors name the field and what it accepts.
func ParseEnqueue(body []byte) (_ queue.Request, backend *string, _ error) {
	var (
		task, queueName, runAfter, id, group *string
		end                                  ending
		priority                             *int
		args                                 json.RawMessage
		unique                               Unique
	)
	err := DecodeObject(body, map[string]any{
		"task": &task, "args": &args, "queue_name": &queueName, "priority": &priority,
		"run_after": &runAfter, "backend_name": &backend, "id": &id, "group_id": &group,
		"expires_at": &end.expiresAt, "expires_in": &end.expiresIn, "keep_successful": &end.keepSuccessful, "keep_failed": &end.keepFailed,
		"unique_key": &unique.Key, "unique_for": &unique.For, "on_conflict": &unique.OnConflict,
	})
	if err != nil {
		return queue.Request{}, nil, err
	}
	if task == nil || *task == "" {
		return queue.Request{}, nil, BadRequest("task must be the name of a registered task")
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
			return request, nil, BadRequest("run_after must be a time with an offset, as RFC 3339 writes it (2026-01-31T15:04:05Z), in the years 1970 to 9999")
		}
		set(queue.RunAfter(t))
	}
	if id != nil {
		parsed, err := ParseID(*id)
		if err != nil || parsed == uuid.Nil {
			return request, nil, BadRequest("id must be a UUID such as 01890a5d-ac96-774b-bcce-b302099a8057")
		}
		set(queue.WithID(parsed))
	}
	if group != nil {
		parsed, err := ParseID(*group)
		if err != nil || parsed == uuid.Nil {
			return request, nil, BadRequest("group_id must be the UUID of a group")
		}
		set(queue.InGroup(parsed))
	}
	key, err := unique.Option("unique_key", "unique_for", "on_conflict")
	if err != nil {
		return request, nil, err
	}
	if key != nil {
		set(key)
	}
	options, err := end.options()
	request.Options = append(request.Options, options...)
	return request, backend, err
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

// ParseID reads a UUID in its usual form; nothing else is any task's ID.
func ParseID(s string) (uuid.UUID, error) {
	id, err := uuid.Parse(s)
	if err != nil || len(s) != len(id.String()) {
		return uuid.Nil, queue.ErrNotFound
	}
	return id, nil
}
