package queue

import (
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/internal/plainname"
)

// Defaults of a task without the option.
const (
	DefaultQueue       = "default"
	DefaultBackend     = "default"
	DefaultMaxAttempts = 10
)

// Bounds of the options. NewTask panics for values outside, and Enqueue refuses them
// with [ErrInvalid].
const (
	MinPriority      = -100
	MaxPriority      = 100
	MaxAttemptsLimit = 1000
)

// An Option sets how a task is enqueued and run. Passed to [NewTask] or [Declare] it
// is the task's default; passed to Enqueue it overrides the default for one call.
type Option func(*options)

type options struct {
	queue       string
	backend     string
	priority    int
	maxAttempts int
	timeout     time.Duration
	delay       time.Duration
	runAfter    time.Time
	id          uuid.UUID
	withID      bool // id is set
	aliases     []string
	description string
	backoff     func(attempt int) time.Duration
	strictArgs  bool
	unique      *uniqueness
	keep        *Retention
	expiry      string // which of the two was given, as messages name it; empty: none
	expiresAt   time.Time
	expiresIn   time.Duration
	onFailed    string // a task's name
	group       uuid.UUID
	inGroup     bool // group is set
	once        bool // the row is not stored if its group has counted it as SUCCESSFUL
	limitKey    *limitKeyOption
	limits      map[LimitKind]Limit // of the task; never changed
	use         []Middleware        // of the task
	around      []typedMiddleware   // of the task
	encrypt     *bool               // of the task; nil: the client decides
}

func defaultOptions() options {
	return options{queue: DefaultQueue, backend: DefaultBackend, maxAttempts: DefaultMaxAttempts}
}

// OnQueue names the queue: 1 to 100 letters, digits, "-", "_" or ".", but not
// "." or "..", which no URL can have. Without it the queue is [DefaultQueue].
func OnQueue(name string) Option { return func(o *options) { o.queue = name } }

// OnBackend names the backend, one of those in [Config].Backends. Without it the
// backend is [DefaultBackend].
func OnBackend(name string) Option { return func(o *options) { o.backend = name } }

// Priority orders due tasks: -100 to 100, higher first; 0 without it. Cloud Tasks
// has no priorities: with it, the order applies only to tasks that are pulled.
func Priority(n int) Option { return func(o *options) { o.priority = n } }

// MaxAttempts is how often the task runs until it is FAILED: 1 to 1000; 10 without it.
func MaxAttempts(n int) Option { return func(o *options) { o.maxAttempts = n } }

// Timeout bounds one attempt, up to seven days: its context ends after d, and if the
// function then returns the context's error, the attempt has failed with a
// [*TimeoutError]. 0 leaves it to [ExecutorConfig].Timeout; passed to Enqueue, 0
// leaves it to the task.
func Timeout(d time.Duration) Option { return func(o *options) { o.timeout = d } }

// Delay makes the task wait for d, by the database's clock, before it is due. It is
// an option of Enqueue, and refused together with [RunAfter].
func Delay(d time.Duration) Option {
	return func(o *options) { o.delay = d }
}

// RunAfter is the time before which the task never runs, on any attempt: in the
// years 1970 to 9999, with microseconds. It is an option of Enqueue.
func RunAfter(t time.Time) Option {
	return func(o *options) { o.runAfter = t }
}

// WithID sets the row's ID, so that the enqueue can be repeated when its answer was
// lost: the same task and arguments under the same ID are stored once
// ([Handle].Existed); others are refused with [ErrIDConflict]. The ID of zeros is
// refused. It is an option of Enqueue.
func WithID(id uuid.UUID) Option {
	return func(o *options) { o.id, o.withID = id, true }
}

// Alias gives a task further names under which rows may have been stored, so that it
// can be renamed while old rows wait. It is an option of [NewTask] or [Declare].
func Alias(names ...string) Option {
	return func(o *options) { o.aliases = append(o.aliases, names...) }
}

// Description says what a task does, in a sentence or two, for the people who operate it:
// TaskInfo, the command tasks and the admin's page of the type show it. It is an option of
// [NewTask] or [Declare].
func Description(text string) Option { return func(o *options) { o.description = text } }

// Backoff gives a task its own backoff: after attempt n (1 for the first) has failed,
// the task runs again after next(n), not before, wherever it runs; the backoff of a
// Cloud Tasks queue does not apply. [Exponential] makes such functions. If next
// panics, the default backoff applies: from 1 s, doubled, up to 5 minutes. It is an
// option of [NewTask] or [Declare].
func Backoff(next func(attempt int) time.Duration) Option {
	return func(o *options) { o.backoff = next }
}

var (
	// The years that every database and RFC 3339 can express.
	earliestRunAfter = time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)
	latestRunAfter   = time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC)
)

// validTaskName reports whether a task can have this name.
func validTaskName(name string) bool { return plainname.Valid(name, 200, "_.:/-") }

// validName reports whether a queue or a backend can have this name.
func validName(name string) bool { return plainname.Valid(name, 100, "_.-") }

// ValidQueueName reports whether a queue can have this name, as [OnQueue] says.
func ValidQueueName(name string) bool { return validName(name) }

const longestTimeout = 7 * 24 * time.Hour

// check returns the error of the first option that is out of bounds at a time.
func (o *options) check(now time.Time) error {
	switch {
	case !validName(o.queue):
		return invalidf(`queue_name %.120q: use 1 to 100 letters, digits, "-", "_" or ".", and not "." or ".." alone`, o.queue)
	case !validName(o.backend):
		return invalidf(`backend_name %.120q: use 1 to 100 letters, digits, "-", "_" or ".", and not "." or ".." alone`, o.backend)
	case o.priority < MinPriority || o.priority > MaxPriority:
		return invalidf("priority must be a whole number from %d to %d, not %d", MinPriority, MaxPriority, o.priority)
	case o.maxAttempts < 1 || o.maxAttempts > MaxAttemptsLimit:
		return invalidf("max_attempts must be a whole number from 1 to %d, not %d", MaxAttemptsLimit, o.maxAttempts)
	case o.timeout < 0 || o.timeout > longestTimeout:
		return invalidf("timeout must be between 0 (no limit, or in an Enqueue that of the task) and %s, not %s", longestTimeout, o.timeout)
	case o.withID && o.id == uuid.Nil:
		return invalidf("id must be a UUID that is not all zeros")
	case o.delay < 0 || o.delay > latestRunAfter.Sub(earliestRunAfter):
		return invalidf("delay must not be negative, not %s", o.delay)
	case o.delay != 0 && !o.runAfter.IsZero():
		return invalidf("delay and run_after exclude each other: leave out queue.Delay or queue.RunAfter")
	case !o.runAfter.IsZero() && (o.runAfter.Before(earliestRunAfter) || o.runAfter.After(latestRunAfter)):
		return invalidf("run_after must be between the years 1970 and 9999, not in %d", o.runAfter.UTC().Year())
	}
	if err := o.unique.check(); err != nil {
		return err
	}
	if o.keep != nil {
		if err := o.keep.check(); err != nil {
			return err
		}
	}
	return o.checkExpiry(now)
}
