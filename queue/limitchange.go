package queue

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// Rate is a part of a [Limit]: at most Starts within any period of the length Per.
type Rate struct {
	Starts int
	Per    time.Duration
}

// LimitChange changes parts of a limit at run time. A part that is nil stays as it is.
type LimitChange struct {
	Kind    LimitKind
	Name    string
	Running *int  // 0 takes this part away
	Rate    *Rate // no Starts take this part away
	Actor   string
}

// ChangeLimit changes parts of a limit, as [Client.SetLimit] sets all of it. A limit that
// the code has set becomes the operator's as a whole. Of two changes of one limit at the
// same time, the later one may revert the other part to what it was.
func (c *Client) ChangeLimit(ctx context.Context, r LimitChange) (Limit, error) {
	l := Limit{Kind: r.Kind, Name: r.Name}
	if err := cmp.Or(c.check(), l.Check()); err != nil {
		return l, err
	}
	limits, err := c.Limits(ctx)
	if err != nil {
		return l, err
	}
	if i := slices.IndexFunc(limits, func(old Limit) bool { return old.Kind == l.Kind && old.Name == l.Name }); i >= 0 {
		l = limits[i]
	}
	if l.Code = false; r.Running != nil {
		l.Running = *r.Running
	}
	if r.Rate != nil {
		if l.Starts, l.Per = r.Rate.Starts, r.Rate.Per; l.Starts == 0 {
			l.Per = 0
		}
	}
	return c.SetLimit(ctx, l, r.Actor)
}

// checkLimits returns the error of a limit in Config.Limits that is out of bounds, or that
// the code sets twice.
func (cfg *Config) checkLimits() error {
	type subject struct {
		kind LimitKind
		name string
	}
	seen := make(map[subject]string)
	for _, l := range cfg.Registry.limits() {
		seen[subject{l.Kind, l.Name}] = "the task"
	}
	for i, l := range cfg.Limits {
		if err := l.Check(); err != nil {
			return invalidf("queue: Config.Limits[%d]: %w", i, err)
		}
		if !l.Set() {
			return invalidf("queue: Config.Limits[%d]: set Running, or Starts and Per, of %s %s", i, l.Kind, l.Name)
		}
		s := subject{l.Kind, l.Name}
		if by := seen[s]; by != "" {
			return invalidf("queue: Config.Limits[%d]: %s sets the limit of %s %s too: set it once", i, by, l.Kind, l.Name)
		}
		seen[s] = "another one"
	}
	return nil
}

// CodeLimits returns the limits that the code sets: those of the tasks and of
// Config.Limits, ordered by kind and name.
func (c *Client) CodeLimits() []Limit {
	if c.check() != nil {
		return nil
	}
	limits := c.registry.limits()
	for _, l := range c.cfg.Limits {
		l.Code = true
		limits = append(limits, l)
	}
	slices.SortFunc(limits, func(a, b Limit) int { return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name)) })
	return limits
}
