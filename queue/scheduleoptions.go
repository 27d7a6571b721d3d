package queue

import (
	"crypto/rand"
	"time"
)

// ScheduleOptions are options of the tasks of a schedule that override the task's own.
// They are stored with the schedule.
type ScheduleOptions struct {
	MaxAttempts int           `json:"max_attempts,omitempty"`
	Timeout     time.Duration `json:"timeout_ns,omitempty"`
	Keep        *Retention    `json:"keep,omitempty"`
	// ExpiresIn counts from the time of the occurrence, not from its enqueue.
	ExpiresIn time.Duration `json:"expires_in_ns,omitempty"`
	// UniqueKey is the same for all tasks of the schedule: their arguments are the same.
	UniqueKey   string        `json:"unique_key,omitempty"`
	UniqueScope UniqueScope   `json:"unique_scope,omitempty"`
	UniqueFor   time.Duration `json:"unique_for_ns,omitempty"` // as in a NewRow
	OnFailed    *DeadLetter   `json:"on_failed,omitempty"`
	LimitKey    string        `json:"limit_key,omitempty"` // likewise the same for all
}

// notGiven is the value of numeric options that a schedule does not set; none of them
// may have it.
const notGiven = -1

// givenOptions returns what the options of a schedule set, with notGiven for the rest.
// It refuses options that do not fit a schedule.
func givenOptions(more []Option) (options, error) {
	given := options{maxAttempts: notGiven, expiresIn: notGiven}
	for _, option := range more {
		option(&given)
	}
	for _, refused := range []struct {
		given        bool
		name, remedy string
	}{
		{given.delay != 0, "Delay", "an occurrence is due at its time, so change the spec"},
		{!given.runAfter.IsZero(), "RunAfter", "an occurrence is due at its time, so change the spec"},
		{given.withID, "WithID", "each task of a schedule has its own ID, so use Unique to have no two of them at once"},
		{!given.expiresAt.IsZero(), "ExpiresAt", "use ExpiresIn, which counts from the time of each occurrence"},
		{given.unique != nil && given.unique.conflict != ReturnExisting, "OnConflict", "leave it out: an occurrence whose key another task holds is not enqueued"},
		{given.aliases != nil, "Alias", "pass it to NewTask or Declare"},
		{given.backoff != nil, "Backoff", "pass it to NewTask or Declare"},
		{given.strictArgs, "StrictArgs", "pass it to NewTask or Declare"},
		{given.limits != nil, "A limit", "pass LimitRunning, LimitStarts and their kind to NewTask or Declare"},
	} {
		if refused.given {
			return given, invalidf("%s is not an option of a schedule: %s", refused.name, refused.remedy)
		}
	}
	if _, err := defaultOptions().with(more); err != nil {
		return given, err
	}
	if given.expiresIn != notGiven && given.expiresIn < time.Second {
		return given, invalidf("expires_in of a schedule must be at least 1s, not %s", given.expiresIn)
	}
	return given, nil
}

// complete checks a schedule and its options against its task, which must be registered,
// and fills in what the task decides.
func (c *Client) complete(s *Schedule, more []Option) error {
	given, err := givenOptions(more)
	if err != nil {
		return err
	}
	row := &NewRow{Row: &Row{}}
	if err := c.newRow(row, Request{Task: s.Task, Args: s.Args, Options: more}, rand.Reader); err != nil {
		return err
	}
	s.Args, s.Queue, s.Backend, s.Priority = row.Args, row.Queue, row.Backend, row.Priority
	s.Options, s.Warnings = ScheduleOptions{Timeout: given.timeout}, row.warnings
	if given.maxAttempts != notGiven {
		s.Options.MaxAttempts = given.maxAttempts
	}
	if given.expiresIn != notGiven {
		s.Options.ExpiresIn = given.expiresIn
	}
	if given.keep != nil {
		s.Options.Keep = row.Keep
	}
	if given.onFailed != "" {
		s.Options.OnFailed = row.OnFailed
	}
	if given.limitKey != nil {
		if row.LimitKey == "" {
			return invalidf("the function of LimitKey returns no key for the arguments of the schedule: leave it out")
		}
		s.Options.LimitKey = row.LimitKey
	}
	if given.unique != nil {
		if row.UniqueKey == "" {
			return invalidf("the function of UniqueBy returns no key for the arguments of the schedule: leave it out")
		}
		s.Options.UniqueKey, s.Options.UniqueScope, s.Options.UniqueFor = row.UniqueKey, row.UniqueScope, row.UniqueFor
	}
	return nil
}

// apply sets what the schedule's options say about a task for a time.
func (o *ScheduleOptions) apply(row *NewRow, at time.Time) {
	if o.Keep != nil {
		row.Keep = o.Keep
	}
	if o.OnFailed != nil {
		row.OnFailed = o.OnFailed
	}
	if o.LimitKey != "" {
		row.LimitKey = o.LimitKey
	}
	if o.UniqueKey != "" {
		row.UniqueKey, row.UniqueScope, row.UniqueFor = o.UniqueKey, o.UniqueScope, o.UniqueFor
	}
	row.OnConflict = ReturnExisting // otherwise the schedule would stand still
	if o.ExpiresIn > 0 {
		row.ExpiresIn = o.ExpiresIn
	}
	if row.ExpiresIn > 0 {
		row.ExpiresAt, row.ExpiresIn = at.Add(row.ExpiresIn).UTC().Truncate(time.Microsecond), 0
	}
}
