package api

import (
	"bytes"
	"encoding/json"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// AppendJSON appends what encoding/json makes of the answer to a delivery, in a quarter of
// the time. It returns false for a row that has what is rare: errors, or text that has to
// be escaped.
func (e executed) AppendJSON(b []byte) ([]byte, bool) {
	if e.Result == nil {
		return b, false
	}
	b = append(b, `{"executed":`...)
	b = strconv.AppendBool(b, e.Executed)
	if e.Failed {
		b = append(b, `,"failed":true`...)
	}
	b = append(b, `,"result":`...)
	b, ok := appendResult(b, e.Result)
	return append(b, '}'), ok
}

func appendResult(b []byte, r *queue.Row) ([]byte, bool) {
	if len(r.Errors) > 0 {
		return b, false
	}
	a := appender{append(b, '{'), true}
	a.text("id", r.ID.String())
	a.text("status", string(r.Status))
	a.text("task_path", r.Task)
	a.text("queue_name", r.Queue)
	a.text("backend_name", r.Backend)
	a.number("priority", r.Priority)
	a.number("attempts", r.Attempts)
	a.number("max_attempts", r.MaxAttempts)
	a.time("enqueued_at", r.EnqueuedAt)
	for _, t := range []struct {
		name string
		time time.Time
	}{
		{"run_after", r.RunAfter},
		{"retry_at", r.RetryAt},
		{"started_at", r.StartedAt},
		{"last_attempted_at", r.LastAttemptedAt},
		{"finished_at", r.FinishedAt},
	} {
		if !t.time.IsZero() {
			a.time(t.name, t.time)
		}
	}
	if len(r.ReturnValue) > 0 {
		a.name("return_value")
		a.raw(r.ReturnValue)
	}
	if len(r.WorkerIDs) > 0 {
		a.name("worker_ids")
		a.texts(r.WorkerIDs)
	}
	if r.DispatchError != "" {
		a.text("dispatch_error", r.DispatchError)
	}
	a.extras(r)
	return append(a.b, '}'), a.ok
}

// extras appends what only some rows have.
func (a *appender) extras(r *queue.Row) {
	if r.UniqueKey != "" {
		a.text("unique_key", r.UniqueKey)
	}
	if r.Schedule != "" {
		a.text("schedule", r.Schedule)
	}
	if !r.ScheduledFor.IsZero() {
		a.time("scheduled_for", r.ScheduledFor)
	}
	if r.Group != uuid.Nil {
		a.text("group_id", r.Group.String())
	}
	if r.Completes != uuid.Nil {
		a.text("completes_group", r.Completes.String())
	}
	if r.KeyID != "" {
		a.text("key_id", r.KeyID)
	}
	if r.Unreadable != "" {
		a.text("unreadable", r.Unreadable)
	}
	if r.LimitKey != "" {
		a.text("limit_key", r.LimitKey)
	}
	if !r.ExpiresAt.IsZero() {
		a.time("expires_at", r.ExpiresAt)
	}
	if p := r.Progress; p != nil {
		a.name("progress")
		a.b = append(a.b, '{')
		a.number("done", p.Done)
		a.number("total", p.Total)
		a.b = append(a.b, '}')
	}
	if r.Note != "" {
		a.text("note", r.Note)
	}
	if len(r.Checkpoint) > 0 {
		a.name("checkpoint")
		a.raw(r.Checkpoint)
	}
}

// appender appends the members of an object. ok is false after a value that needs
// encoding/json.
type appender struct {
	b  []byte
	ok bool
}

func (a *appender) name(name string) {
	if a.b[len(a.b)-1] != '{' {
		a.b = append(a.b, ',')
	}
	a.b = append(a.b, '"')
	a.b = append(a.b, name...)
	a.b = append(a.b, `":`...)
}

func (a *appender) text(name, value string) {
	a.name(name)
	a.quoted(value)
}

func (a *appender) texts(values []string) {
	a.b = append(a.b, '[')
	for i, value := range values {
		if i > 0 {
			a.b = append(a.b, ',')
		}
		a.quoted(value)
	}
	a.b = append(a.b, ']')
}

// quoted appends text that is the same in JSON: printable ASCII.
func (a *appender) quoted(value string) {
	for i := range len(value) {
		if c := value[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			a.ok = false
			return
		}
	}
	a.b = append(a.b, '"')
	a.b = append(a.b, value...)
	a.b = append(a.b, '"')
}

func (a *appender) number(name string, value int) {
	a.name(name)
	a.b = strconv.AppendInt(a.b, int64(value), 10)
}

func (a *appender) time(name string, value time.Time) {
	a.name(name)
	a.b = append(a.b, '"')
	b, err := value.AppendText(a.b)
	if err != nil {
		a.ok = false
		return
	}
	a.b = append(b, '"')
}

// raw appends JSON without white space between its tokens.
func (a *appender) raw(value []byte) {
	compact := bytes.NewBuffer(a.b)
	if json.Compact(compact, value) != nil {
		a.ok = false
		return
	}
	a.b = compact.Bytes()
}
