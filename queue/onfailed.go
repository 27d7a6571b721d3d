package queue

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
)

// Failed is what a task that [OnFailed] names gets as its argument: another task that
// has FAILED.
type Failed struct {
	ID       uuid.UUID `json:"id"`
	Task     string    `json:"task_path"`
	Queue    string    `json:"queue_name"`
	Backend  string    `json:"backend_name"`
	Priority int       `json:"priority"`
	// Args are its arguments. Those of more than 512 KiB are left out: Args are null,
	// ArgsOmitted is true, and [Client.Get] of the ID has them.
	Args        json.RawMessage `json:"args"`
	ArgsOmitted bool            `json:"args_omitted,omitempty"`
	// KeyID is the key with which it was encrypted; empty: it was not. Args are decrypted.
	KeyID       string    `json:"key_id,omitempty"`
	Attempts    int       `json:"attempts"`
	MaxAttempts int       `json:"max_attempts"`
	EnqueuedAt  time.Time `json:"enqueued_at"`
	// Schedule is the name of the schedule whose occurrence it was.
	Schedule string `json:"schedule,omitempty"`
	// Errors are its latest errors, oldest first: up to 64 KiB of them, and at least the
	// last one.
	Errors []AttemptError `json:"errors"`
}

// The limits of a Failed, so that every database that stored the task stores it too.
const (
	failedArgsBytes   = 512 << 10
	failedErrorsBytes = 64 << 10
)

// OnFailed names a task that is enqueued when this one has FAILED for good: when no
// attempt is left, its error is permanent, its worker was lost on the last attempt, or an
// operator marks it as failed. The row of the other task is stored in the transaction that
// makes this one FAILED, so exactly once for each such end; a task that is retried and
// fails again enqueues it again. A cancelled or expired task enqueues nothing.
//
// The other task gets the queue, backend, priority, attempts and Keep of its own options,
// as they are when this one is enqueued. An OnFailed of its own does not apply to
// it then. Both have to be registered where this one is enqueued. A store that is
// no [Lifecycle] refuses it.
//
// The other row has a copy of the arguments and errors, which neither [Keep] nor
// [Client.Delete] of this one removes: they are options of, and calls for, the other.
//
//	var Deadletter = queue.NewTaskFunc("orders.deadletter", func(ctx context.Context, f queue.Failed) error { … })
//	var Charge = queue.NewTask("orders.charge", charge, queue.OnFailed(Deadletter))
func OnFailed[Out any](task *Task[Failed, Out]) Option {
	name := task.Name()
	return func(o *options) { o.onFailed = name }
}

// DeadLetter is what a row's final failure enqueues. A store keeps it as JSON text.
type DeadLetter struct {
	Task        string     `json:"task"`
	Queue       string     `json:"queue"`
	Backend     string     `json:"backend"`
	Priority    int        `json:"priority,omitempty"`
	MaxAttempts int        `json:"max_attempts"`
	Keep        *Retention `json:"keep,omitempty"`
	// KeyID is the key of its return value and checkpoints, if its task is encrypted: a row
	// that is encrypted itself passes on its own key instead.
	KeyID string `json:"key_id,omitempty"`
}

// EncodeOnFailed returns the value of the column on_failed; empty is NULL.
func (r *Row) EncodeOnFailed() string {
	if r.OnFailed == nil {
		return ""
	}
	text, _ := json.Marshal(r.OnFailed) // it has only text and numbers
	return string(text)
}

// DecodeOnFailed sets OnFailed to the value of the column on_failed; empty is NULL.
func (r *Row) DecodeOnFailed(stored string) {
	if stored == "" {
		return
	}
	letter := new(DeadLetter)
	if err := json.Unmarshal([]byte(stored), letter); err != nil || !validTaskName(letter.Task) {
		r.SetInvalid("on_failed", stored, fmt.Errorf("it must be a JSON object with the name of a task"))
		return
	}
	r.OnFailed = letter
}

// Letter returns the row to be inserted in the transaction that makes the row, which is
// FAILED with its whole Errors and its Args, final; nil without [OnFailed].
func (r *Row) Letter() *NewRow {
	if r.OnFailed == nil {
		return nil
	}
	failed := Failed{
		ID: r.ID, Task: r.Task, Queue: r.Queue, Backend: r.Backend, Priority: r.Priority, Args: r.Args, KeyID: r.KeyID,
		Attempts: r.Attempts, MaxAttempts: r.MaxAttempts, EnqueuedAt: r.EnqueuedAt, Schedule: r.Schedule, Errors: latestErrors(r.Errors),
	}
	if failed.ArgsOmitted = len(r.Args) > failedArgsBytes; failed.ArgsOmitted || len(r.Args) == 0 {
		failed.Args = json.RawMessage(`null`)
	}
	args, err := json.Marshal(failed)
	if err != nil { // the stored arguments are no JSON
		failed.Args, failed.ArgsOmitted = json.RawMessage(`null`), true
		args, _ = json.Marshal(failed)
	}
	to := r.OnFailed
	return &NewRow{FreshID: true, Row: &Row{
		ID: uuid.Must(uuid.NewV7()), Task: to.Task, Queue: to.Queue, Backend: to.Backend, Priority: to.Priority, MaxAttempts: to.MaxAttempts,
		Args: args, KeyID: cmp.Or(r.KeyID, to.KeyID), Keep: to.Keep, TraceContext: r.TraceContext,
	}}
}

// sealed reports whether Args are stored encrypted: those of a task that was encrypted, and
// never those of another one that only look so.
func (f *Failed) sealed() bool { return f.KeyID != "" && keyOfSealed(f.Args) != "" }

// latestErrors returns the last errors, up to failedErrorsBytes as JSON, and at least one.
func latestErrors(all []AttemptError) []AttemptError {
	size, first := 0, len(all)
	for _, e := range slices.Backward(all) {
		text, _ := json.Marshal(e)
		if size += len(text); size > failedErrorsBytes && first < len(all) {
			break
		}
		first--
	}
	return append([]AttemptError{}, all[first:]...)
}

// checkOnFailed refuses tasks whose OnFailed cannot be enqueued.
func (r *Registry) checkOnFailed() error {
	for _, task := range r.Tasks() {
		switch _, known := r.lookup(task.OnFailed); {
		case task.OnFailed == "":
		case task.OnFailed == task.Name:
			return fmt.Errorf("queue: task %q: OnFailed must name another task", task.Name)
		case !known:
			return fmt.Errorf("queue: task %q: OnFailed names %q, which is not registered: pass it to NewRegistry too", task.Name, task.OnFailed)
		}
	}
	return nil
}

// deadLetter returns what a row with these options enqueues when it has FAILED.
func (c *Client) deadLetter(o *options) (*DeadLetter, error) {
	if o.onFailed == "" {
		return nil, nil
	}
	d, known := c.registry.lookup(o.onFailed)
	if !known {
		return nil, invalidf("OnFailed names %q, which is not registered", o.onFailed)
	}
	to := &d.options
	return &DeadLetter{
		Task: d.name, Queue: to.queue, Backend: to.backend, Priority: to.priority, MaxAttempts: to.maxAttempts, Keep: c.retention(to), KeyID: c.keyFor(&d),
	}, nil
}

// keyFor returns the key of new rows of a task; empty if they are not encrypted.
func (c *Client) keyFor(d *definition) string {
	if !c.encrypts(d) {
		return ""
	}
	return c.keys[0]
}

// withKey returns a letter with the key that new rows of its task have now, where this
// program encrypts it: what is stored may be older than the key, or come from a program
// without keys.
func (c *Client) withKey(to *DeadLetter) *DeadLetter {
	if to == nil || c.cfg.Codec == nil {
		return to
	}
	d, known := c.registry.lookup(to.Task)
	key := c.keyFor(&d)
	if !known || key == "" || key == to.KeyID {
		return to
	}
	with := *to
	with.KeyID = key
	return &with
}

// letter returns the row that the end of a row enqueues; nil for most.
func (e *Executor) letter(row *Row, f Finish) *NewRow {
	if f.Status != StatusFailed || row.OnFailed == nil {
		return nil
	}
	failed := *row
	failed.Status, failed.OnFailed = StatusFailed, e.client.withKey(row.OnFailed)
	if f.Errors != nil {
		failed.Errors = f.Errors
	}
	letter := failed.Letter()
	letter.WillDispatch = e.client.willDispatch(letter.Backend, 0)
	return letter
}
