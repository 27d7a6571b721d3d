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

// LimitChange changes parts of a limit. A part that is nil stays as it is.
type LimitChange struct {
	Kind    LimitKind
	Name    string
	Running *int  // 0 takes this part away
	Rate    *Rate // no Starts take this part away
	// Code: the code sets it, and changes nothing that an operator has set, unless Reset
	// gives that back to the code.
	Code, Reset bool
}

// Change returns the change that sets all of the limit.
func (l Limit) Change() LimitChange {
	return LimitChange{Kind: l.Kind, Name: l.Name, Running: &l.Running, Rate: &Rate{l.Starts, l.Per}, Code: l.Code}
}

// Limit returns what the change makes of a limit. Stores call it.
func (r *LimitChange) Limit(old Limit) Limit {
	l := Limit{Kind: r.Kind, Name: r.Name, Running: old.Running, Starts: old.Starts, Per: old.Per, Code: r.Code}
	if r.Running != nil {
		l.Running = *r.Running
	}
	if r.Rate != nil {
		l.Starts, l.Per = r.Rate.Starts, r.Rate.Per
	}
	if l.Starts == 0 {
		l.Per = 0
	}
	return l
}

// Check returns [ErrInvalid] for a change that no store can make. Stores call it.
func (r *LimitChange) Check() error {
	l := r.Limit(Limit{})
	return l.Check()
}

// ChangeLimit changes parts of a limit at run time, as [Client.SetLimit] sets all of it. A
// limit that the code has set becomes the operator's as a whole. To remove what neither is
// set nor in the code changes and records nothing.
func (c *Client) ChangeLimit(ctx context.Context, r LimitChange, actor string) (Limit, error) {
	store, err := c.limiterOrError()
	if err := cmp.Or(err, r.Check()); err != nil {
		return r.Limit(Limit{}), err
	}
	l := r.Limit(Limit{})
	if !l.Set() && !r.Code { // as an operator's removal it would keep out a limit that later code sets
		if known, err := c.HasLimit(ctx, r.Kind, r.Name); err != nil || !known {
			return l, err
		}
	}
	err = within(ctx, statementTimeout, func(ctx context.Context) (err error) {
		l, err = store.SetLimit(ctx, r)
		return err
	})
	c.availability.observe(err)
	if err != nil {
		return r.Limit(Limit{}), err
	}
	if !r.Code || r.Reset {
		c.auditLimit(ctx, l, actor)
		c.holdBriefly(ctx) // what the code sets is followed by a promotion
	}
	c.admitAll(ctx)
	return l, nil
}

// HasLimit reports whether a limit is set, or is in the code ([Client.CodeLimits]).
func (c *Client) HasLimit(ctx context.Context, kind LimitKind, name string) (bool, error) {
	set, err := c.Limits(ctx)
	return slices.ContainsFunc(append(set, c.CodeLimits()...), func(l Limit) bool { return l.Kind == kind && l.Name == name }), err
}

// ResetLimit gives a limit that an operator has set or removed back to the code: it is
// what the code of this program sets ([Client.CodeLimits]), or else none, and the code
// changes it again. It is otherwise as [Client.SetLimit].
func (c *Client) ResetLimit(ctx context.Context, kind LimitKind, name, actor string) (Limit, error) {
	l := Limit{Kind: kind, Name: name}
	for _, code := range c.CodeLimits() {
		if code.Kind == kind && code.Name == name {
			l = code
		}
	}
	r := l.Change()
	r.Code, r.Reset = true, true
	return c.ChangeLimit(ctx, r, actor)
}

// auditLimit records a change of a limit, where the store has an audit log.
func (c *Client) auditLimit(ctx context.Context, l Limit, actor string) {
	target := l.String()
	if l.Code {
		target += " (as in the code)"
	}
	c.auditDone(ctx, cleanText(actor, 200), AuditLimit, target)
}

// checkLimits returns the error of a limit in Config.Limits that is out of bounds, of a
// limit of each key of a task that has no keys, or of one that the code sets twice.
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
		if err := cfg.Registry.checkKeys(l); err != nil {
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
