package storekit

import (
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

// Use adds up how much of limits is used.
type Use struct {
	limits Limits
	list   []queue.LimitUse
	at     map[Scope]int // of a limit of each key with a row: under that key only
}

// Reached returns those of the limits of a lane that full reports to be full.
func (l Limits) Reached(lane Lane, full func(Bound) bool) (reached []queue.LimitUse) {
	for _, bound := range l.Of(lane) {
		if full(bound) {
			reached = append(reached, queue.LimitUse{Limit: l[Scope{Kind: bound.Kind, Name: bound.Name}], Key: bound.Key})
		}
	}
	return reached
}

// Full reports whether the room of a limit is used up.
func (t *Turn) Full(bound Bound) bool {
	room := t.Rooms[bound.Scope]
	return bound.Running > 0 && room.Running < 1 || bound.Starts > 0 && room.Starts < 1
}

// NewUse returns the use of limits, in their order: of all, or of those that concern row.
func NewUse(limits []queue.Limit, row *queue.Row) *Use {
	u := &Use{limits: NewLimits(limits), at: make(map[Scope]int)}
	concerned := make(map[Scope]Scope)
	if row != nil {
		for _, bound := range u.limits.Of(LaneOf(row)) {
			concerned[Scope{Kind: bound.Kind, Name: bound.Name}] = bound.Scope
		}
	}
	for _, l := range limits {
		scope := Scope{Kind: l.Kind, Name: l.Name}
		if row != nil {
			of, concerns := concerned[scope]
			if !concerns {
				continue
			}
			scope = of
		}
		u.at[scope] = len(u.list)
		u.list = append(u.list, queue.LimitUse{Limit: l, Key: scope.Key})
	}
	return u
}

// of returns the use of a scope, and of all keys of its limit; nil: it is not asked for.
func (u *Use) of(scope Scope) *queue.LimitUse {
	i, found := u.at[scope]
	if !found {
		i, found = u.at[Scope{Kind: scope.Kind, Name: scope.Name}]
	}
	if !found {
		return nil
	}
	return &u.list[i]
}

// Run counts n tasks of a lane that run.
func (u *Use) Run(lane Lane, n int) {
	for _, bound := range u.limits.Of(lane) {
		if use := u.of(bound.Scope); use != nil {
			use.Active += n
		}
	}
}

// Choose counts n tasks of a lane whose tickets are on their way.
func (u *Use) Choose(lane Lane, n int) {
	for _, bound := range u.limits.Of(lane) {
		if use := u.of(bound.Scope); use != nil {
			use.Chosen += n
		}
	}
}

// Reserve counts n tasks whose tickets are on their way, by scope.
func (u *Use) Reserve(scope Scope, n int) {
	if use := u.of(scope); use != nil {
		use.Chosen += n
	}
}

// Start counts n starts of a scope within its period, of which the first one is over in
// next.
func (u *Use) Start(scope Scope, n int, next time.Duration) {
	use := u.of(scope)
	if use == nil {
		return
	}
	if use.Started += n; scope.Key == use.Key && use.Starts > 0 && use.Started >= use.Starts {
		use.Next = max(next, time.Millisecond)
	}
}

// List returns the limits with their use.
func (u *Use) List() []queue.LimitUse { return u.list }
