package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/claimcheck-go/claimcheck/queue/internal/jsonvalue"
)

// LimitKey derives the limit key of a task from its arguments, such as a tenant: a limit
// under that name ([LimitName]) counts all tasks that have the key, and [LimitRunningEach]
// and [LimitStartsEach] count each key of the task apart. A key has 1 to [MaxLimitKey]
// bytes of UTF-8; an empty one is none. It is an option of [NewTask] or [Declare], whose
// arguments must have the type In, and of Enqueue.
func LimitKey[In any](key func(In) string) Option {
	l := &limitKeyOption{in: reflect.TypeFor[In](), derive: func(args json.RawMessage) (string, error) {
		in, err := jsonvalue.Decode[In](args)
		if err != nil {
			return "", err
		}
		return key(in), nil
	}}
	return func(o *options) { o.limitKey = l }
}

// LimitRunning lets at most n of the task run at once, in all processes: 1 to [MaxLimit].
// It is an option of [NewTask] or [Declare], and counts for the task's own name. An
// operator may change it at run time ([Client.SetLimit]).
func LimitRunning(n int) Option { return limitOption(LimitName, func(l *Limit) { l.Running = n }) }

// LimitStarts lets at most n of the task start within any time of this length: 1 to
// [MaxLimit] in [MinPeriod] to [MaxPeriod]. It is an option as [LimitRunning] is.
func LimitStarts(n int, per time.Duration) Option {
	return limitOption(LimitName, func(l *Limit) { l.Starts, l.Per = n, per })
}

// LimitRunningEach is [LimitRunning] for each limit key of the task apart: the task needs
// [LimitKey].
func LimitRunningEach(n int) Option { return limitOption(LimitEach, func(l *Limit) { l.Running = n }) }

// LimitStartsEach is [LimitStarts] for each limit key of the task apart ([LimitKey]).
func LimitStartsEach(n int, per time.Duration) Option {
	return limitOption(LimitEach, func(l *Limit) { l.Starts, l.Per = n, per })
}

// limitKeyOption derives limit keys.
type limitKeyOption struct {
	in     reflect.Type // the arguments that derive takes
	derive func(args json.RawMessage) (string, error)
}

// limitOption sets a part of a task's limit.
func limitOption(kind LimitKind, set func(*Limit)) Option {
	return func(o *options) {
		limits := make(map[LimitKind]Limit, 2)
		for kind, limit := range o.limits {
			limits[kind] = limit
		}
		l := limits[kind]
		l.Kind, l.Code = kind, true
		set(&l)
		limits[kind] = l
		o.limits = limits
	}
}

// checkLimits returns the error of the first limit of a task that is out of bounds.
func (d *definition) checkLimits() error {
	for _, l := range d.options.limits {
		l.Name = d.name
		if !l.Set() && l.Per == 0 {
			return invalidf("limits of %s: running and starts must be at least 1", d.name)
		}
		if err := l.Check(); err != nil {
			return fmt.Errorf("limits of %s: %w", d.name, err)
		}
		if err := d.checkKeys(l); err != nil {
			return err
		}
	}
	if key := d.options.limitKey; key != nil && key.in != d.in {
		return invalidf("the function of LimitKey takes the type %s, and the arguments have the type %s: let it take that", key.in, d.in)
	}
	return nil
}

// keyOf returns the limit key of arguments. The function is the caller's, and may panic.
func (l *limitKeyOption) keyOf(d *definition, args json.RawMessage) (key string, err error) {
	if l == nil {
		return "", nil
	}
	if l.in != d.in {
		return "", invalidf("the function of LimitKey takes the type %s, and the arguments have the type %s: let it take that", l.in, d.in)
	}
	defer func() {
		if value := recover(); value != nil {
			err = fmt.Errorf("the function of LimitKey of %s panicked: %v", d.name, value)
		}
	}()
	if key, err = l.derive(args); err != nil {
		return "", invalidf("LimitKey of %s: %w", d.name, err)
	}
	if key != "" && !validLimitKey(key) {
		return "", invalidf("the limit key of %s must be 1 to %d bytes of UTF-8 without zero bytes, not %d bytes (%.40q)", d.name, MaxLimitKey, len(key), key)
	}
	return key, nil
}

// AuditLimit is the name of a change of a limit in the audit log.
const AuditLimit = "set limit"

// limiterOrError returns the client's store as a [Limiter], or [ErrUnsupported].
func (c *Client) limiterOrError() (Limiter, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	if store := c.limiter(); store != nil {
		return store, nil
	}
	return nil, fmt.Errorf("%w: %T does not implement queue.Limiter", ErrUnsupported, c.cfg.Store)
}

// SetLimit sets, changes or, if neither part is set, removes a limit, for all processes,
// and returns it as it is now. Tasks that run are counted. A task whose claim was under way
// may still begin. Tasks that wait, and may start now, are dispatched. actor is who does
// it, for the audit log. What an operator has set, the code does not change (Limit.Code).
// Errors: [ErrInvalid], [ErrUnsupported] if the store is no [Limiter], and the store's.
func (c *Client) SetLimit(ctx context.Context, l Limit, actor string) (Limit, error) {
	return c.ChangeLimit(ctx, l.Change(), actor)
}

// String describes the limit for people: queue emails: 5 running, 10 starts per 1s.
func (l Limit) String() string {
	text := string(l.Kind) + " " + l.Name + ":"
	if l.Running > 0 {
		text += fmt.Sprintf(" %d running", l.Running)
	}
	if l.Starts > 0 {
		text += fmt.Sprintf(" %d starts per %s", l.Starts, FormatPeriod(l.Per))
	}
	if !l.Set() {
		text += " no limit"
	}
	return text
}

// Limits returns the limits that are set, ordered by kind and name. [ErrUnsupported] if
// the store is no [Limiter].
func (c *Client) Limits(ctx context.Context) (limits []Limit, err error) {
	store, err := c.limiterOrError()
	if err != nil {
		return nil, err
	}
	err = within(ctx, statementTimeout, func(ctx context.Context) (err error) {
		limits, err = store.Limits(ctx)
		return err
	})
	c.availability.observeRead(err)
	return limits, err
}

// ApplyLimits sets the limits of the code ([Client.CodeLimits]), unless an
// operator has set or removed them, which it logs. A limit that has left the code stays until it is removed.
// Workers, Local and the sweeper call it when they start; a program in which tasks only
// run by [Executor.RunByID] calls it itself. With no limits in the code it does nothing.
func (c *Client) ApplyLimits(ctx context.Context) error {
	if err := c.check(); err != nil {
		return err
	}
	for _, l := range c.CodeLimits() {
		now, err := c.SetLimit(ctx, l, "")
		if err != nil {
			return fmt.Errorf("%s: %w", l, err)
		}
		if !now.Code && (now.Running != l.Running || now.Starts != l.Starts || now.Per != l.Per.Truncate(time.Microsecond)) {
			c.cfg.Logger.Warn("an operator has changed or removed a limit that the code sets; a reset gives it back", "limit", now.String(), "code", l.String())
		}
	}
	c.limitsApplied.Store(true)
	return nil
}

// applyLimits calls ApplyLimits until it has succeeded once, and logs its error.
func (c *Client) applyLimits(ctx context.Context) {
	if c.limitsApplied.Load() {
		return
	}
	if err := c.ApplyLimits(ctx); err != nil && ctx.Err() == nil && !errors.Is(err, ErrUnavailable) { // availability logs that
		c.cfg.Logger.Error("the limits of tasks could not be set; the next promotion tries again", "error", err)
	}
}

// admitTime is for how long a change of a limit dispatches rows.
const admitTime = 5 * time.Second

// admitAll dispatches rows that wait for limits and may start, and wakes workers. The
// sweeper dispatches those that take longer.
func (c *Client) admitAll(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, admitTime)
	defer cancel()
	for name := range c.backends {
		if c.sweptDispatcher(name) == nil {
			continue
		}
		var err error
		for n := admitBatch; n == admitBatch && err == nil && ctx.Err() == nil; {
			// A batch is not cut short: its rows have been made to expect their tickets.
			n, err = c.admit(context.WithoutCancel(ctx), name, nil, admitBatch)
		}
		if err != nil && !errors.Is(err, ErrUnavailable) {
			c.cfg.Logger.Error("tasks that wait for a limit could not be dispatched; the sweeper does it", "backend_name", name, "error", err)
		}
	}
	c.wakePullers(ctx)
}
