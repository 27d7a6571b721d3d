package queue

import (
	"crypto/rand"
	"time"
)

// ScheduleOptions are options of the tasks of a schedule: its own and, without them, those
// of the task as they were when the schedule was stored. They are stored with it, so that
// its tasks are the same whichever program ticks.
type ScheduleOptions struct {
	MaxAttempts int           `json:"max_attempts,omitempty"`
	Timeout     time.Duration `json:"timeout_ns,omitempty"` // 0: that of the task, as of the version that runs it
	Keep        *Retention    `json:"keep,omitempty"`       // nil: Config.Keep of the program that ticks
	// ExpiresIn counts from the time of the occurrence, not from its enqueue.
	ExpiresIn time.Duration `json:"expires_in_ns,omitempty"`
	// UniqueKey is the same for all tasks of the schedule: their arguments are the same.
	UniqueKey   string        `json:"unique_key,omitempty"`
	UniqueScope UniqueScope   `json:"unique_scope,omitempty"`
	UniqueFor   time.Duration `json:"unique_for_ns,omitempty"` // as in a NewRow
	OnFailed    *DeadLetter   `json:"on_failed,omitempty"`
	LimitKey    string        `json:"limit_key,omitempty"` // likewise the same for all
}

// givenOptions returns what the options of a schedule set, and refuses those that do not
// fit a schedule.
func givenOptions(more []Option) (options, error) {
	var given options
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
		{given.expiry == "expires_at", "ExpiresAt", "use ExpiresIn, which counts from the time of each occurrence"},
		{given.unique != nil && given.unique.conflict != ReturnExisting, "OnConflict", "leave it out: an occurrence whose key another task holds is not enqueued"},
		{given.aliases != nil, "Alias", "pass it to NewTask or Declare"},
		{given.description != "", "Description", "pass it to NewTask or Declare"},
		{given.backoff != nil, "Backoff", "pass it to NewTask or Declare"},
		{given.strictArgs, "StrictArgs", "pass it to NewTask or Declare"},
		{given.limits != nil, "A limit", "pass LimitRunning, LimitStarts and their kind to NewTask or Declare"},
		{given.inGroup, "InGroup", "the task of an occurrence can create a group and enqueue tasks in it"},
		{given.encrypt != nil, "Encrypt", "pass it to NewTask or Declare"},
		{given.use != nil || given.around != nil, "Use or Around", "pass it to NewTask or Declare"},
	} {
		if refused.given {
			return given, invalidf("%s is not an option of a schedule: %s", refused.name, refused.remedy)
		}
	}
	if _, err := defaultOptions().with(more, time.Now()); err != nil {
		return given, err
	}
	if given.expiry != "" && given.expiresIn < time.Second {
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
	request := Request{Task: s.Task, Args: s.Args, Options: more}
	row := &NewRow{Row: &Row{}}
	if err := c.newRow(row, request, rand.Reader); err != nil {
		return err
	}
	for _, f := range []struct {
		function   string
		given, got bool
	}{
		{"LimitKey", given.limitKey != nil, row.LimitKey != ""},
		{"UniqueBy", given.unique != nil, row.UniqueKey != ""},
	} {
		if f.given && !f.got {
			return invalidf("the function of %s returns no key for the arguments of the schedule: leave it out", f.function)
		}
	}
	if row.ExpiresIn > 0 && row.ExpiresIn < time.Second {
		return invalidf("expires_in of a schedule must be at least 1s, and that of its task is %s: pass a longer one to the schedule", row.ExpiresIn)
	}
	d, _ := c.registry.lookup(s.Task) // newRow has found it
	resolved, err := d.optionsOf(request, c.now())
	if err != nil {
		return err
	}
	if row.OnFailed != nil {
		row.OnFailed.KeyID = "" // it is that of each occurrence
	}
	s.Args, s.Queue, s.Backend, s.Priority, s.Warnings = row.Args, row.Queue, row.Backend, row.Priority, row.warnings
	s.Options = ScheduleOptions{
		MaxAttempts: row.MaxAttempts, Timeout: row.Timeout, Keep: resolved.keep.rounded(), ExpiresIn: row.ExpiresIn,
		UniqueKey: row.UniqueKey, UniqueScope: row.UniqueScope, UniqueFor: row.UniqueFor, OnFailed: row.OnFailed, LimitKey: row.LimitKey,
	}
	return nil
}
