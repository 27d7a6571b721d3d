package queue

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/claimcheck-go/claimcheck/queue/internal/cronspec"
)

// Periodic is a schedule in code: what [Every] returns. Give it to [NewRegistry] beside
// the tasks. The first [Client.Tick] of a process stores the schedules of its registry.
type Periodic struct {
	name, task string
	spec, zone string
	args       json.RawMessage
	catchUp    CatchUp
	overlap    Overlap
	options    []Option
}

// ScheduleOption is an option of [Every]: a [Zone], a [CatchUp], an [Overlap], or an
// [Option] of the task, which then applies to each task of the schedule: [OnQueue],
// [OnBackend], [Priority], [MaxAttempts], [Timeout], [Keep], [ExpiresIn], [Unique],
// [UniqueBy], [UniqueArgs], [OnFailed] and [LimitKey]. Those of [ScheduleOptions] are stored with the
// schedule, so that every program that ticks applies them; other options are refused.
type ScheduleOption interface {
	applyTo(p *Periodic)
}

// Zone is the time zone of a schedule: a name of the IANA database, such as
// "Europe/Berlin". Without it the zone is UTC.
type Zone string

func (z Zone) applyTo(p *Periodic)    { p.zone = string(z) }
func (c CatchUp) applyTo(p *Periodic) { p.catchUp = c }
func (o Overlap) applyTo(p *Periodic) { p.overlap = o }
func (o Option) applyTo(p *Periodic)  { p.options = append(p.options, o) }

// Every defines a schedule: the task is enqueued with these arguments at each time of
// the spec. The name identifies the schedule in the database and in commands: 1 to 100
// letters, digits, "-", "_" or ".".
//
// The spec has five cron fields (minute, hour, day of month, month, day of week), as in
// "0 9 * * 1-5"; or it is @hourly, @daily, @weekly, @monthly or @yearly; or @every with
// a duration of whole seconds, as in "@every 90s". Where clocks are changed, a spec with
// a fixed hour runs once: at a skipped time's first existing instant after it, and at a
// repeated time's first occurrence. One whose hour is * follows elapsed time.
//
// Every panics if the name, the spec, an option or the arguments are invalid.
//
//	queue.Every("nightly-report", "0 9 * * 1-5", Report, ReportArgs{}, queue.Zone("Europe/Berlin"))
func Every[In, Out any](name, spec string, task *Task[In, Out], args In, opts ...ScheduleOption) *Periodic {
	p := &Periodic{name: name, spec: spec, zone: "UTC", catchUp: CatchUpOne, overlap: OverlapAllow}
	if task == nil {
		panic(fmt.Sprintf("queue: schedule %q: the task is nil", name))
	}
	p.task = task.def.name
	for _, option := range opts {
		option.applyTo(p)
	}
	encoded, err := encode("args", args)
	p.args = encoded
	if err = cmp.Or(err, p.check()); err != nil {
		panic(fmt.Sprintf("queue: schedule %q: %v", name, err))
	}
	return p
}

// check returns what is wrong with the schedule, apart from its task.
func (p *Periodic) check() error {
	if err := checkSchedule(p.name, p.catchUp, p.overlap); err != nil {
		return err
	}
	if _, err := cronspec.Parse(p.spec, p.zone, time.Time{}); err != nil {
		return err
	}
	_, err := givenOptions(p.options)
	return err
}

func checkSchedule(name string, catchUp CatchUp, overlap Overlap) error {
	switch {
	case !validName(name):
		return invalidf(`the name of a schedule must be 1 to 100 letters, digits, "-", "_" or ".", and not "." or "..", not %.120q`, name)
	case !slices.Contains([]CatchUp{CatchUpSkip, CatchUpOne, CatchUpAll}, catchUp):
		return invalidf("catch_up must be %s, %s or %s, not %.40q", CatchUpSkip, CatchUpOne, CatchUpAll, catchUp)
	case !slices.Contains([]Overlap{OverlapAllow, OverlapSkip}, overlap):
		return invalidf("overlap must be %s or %s, not %.40q", OverlapAllow, OverlapSkip, overlap)
	}
	return nil
}

// definition makes a Periodic a [Definition].
func (p *Periodic) definition() definition { return definition{periodic: p} }

// stored returns the schedule that the code of a program defines.
func (c *Client) stored(p *Periodic) (*Schedule, error) {
	s := &Schedule{
		Name: p.name, Task: p.task, Spec: p.spec, Zone: p.zone, Args: p.args,
		CatchUp: p.catchUp, Overlap: p.overlap, Program: c.cfg.Program,
	}
	if err := c.complete(s, p.options); err != nil {
		return nil, err
	}
	definition, err := json.Marshal([]any{
		s.Task, s.Spec, s.Zone, s.Args, s.Queue, s.Backend, s.Priority, s.Options, s.CatchUp, s.Overlap,
	})
	if err != nil {
		return nil, err
	}
	definition = append(definition, '\n')
	hash, err := c.definitionHash(s.Task, definition)
	if err != nil {
		return nil, err
	}
	s.Definition = hash[:32]
	return s, c.sealSchedule(context.Background(), s)
}

// definitionHash is what is stored of what the code defines: a keyed hash if the arguments
// are encrypted.
func (c *Client) definitionHash(task string, definition []byte) (string, error) {
	if d, _ := c.registry.lookup(task); c.encrypts(&d) {
		hash, err := hashed(c.cfg.Codec, append([]byte("schedule\x00"), definition...))
		return hex.EncodeToString(hash), err
	}
	sum := sha256.Sum256(definition)
	return hex.EncodeToString(sum[:]), nil
}

// checkSchedules returns the error of a schedule that could not be enqueued.
func (cfg *Config) checkSchedules(backends map[string]Backend) error {
	if len(cfg.Registry.schedules) == 0 {
		return nil
	}
	if _, ok := cfg.Store.(Scheduler); !ok {
		return fmt.Errorf("queue: Config.Registry has schedules, and the store cannot keep them: %T does not implement queue.Scheduler", cfg.Store)
	}
	c := &Client{cfg: *cfg, registry: cfg.Registry, backends: backends, keys: cfg.keys(), now: cfg.clock()}
	for _, p := range cfg.Registry.schedules {
		if _, err := c.stored(p); err != nil {
			return fmt.Errorf("queue: schedule %q: %w", p.name, err)
		}
	}
	return nil
}
