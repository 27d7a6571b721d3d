package queuetest

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

// limits are the limits of a store, and what they count.
type limits struct {
	set    map[scope]queue.Limit // without keys; one that was removed says who did it
	starts map[scope][]time.Time // of limits of starts, oldest first
	turns  map[laneTurn]int      // when each lane was last served, by a count of turns
	turn   int
}

// scope is what one limit counts: the tasks of a queue, of a name, or of one limit key of
// a task.
type scope struct {
	kind      queue.LimitKind
	name, key string
}

// bound is a limit with what it counts.
type bound struct {
	scope
	queue.Limit
}

func newLimits() limits {
	return limits{make(map[scope]queue.Limit), make(map[scope][]time.Time), make(map[laneTurn]int), 0}
}

// of returns the limits that concern a row, each once.
func (l *limits) of(r *queue.Row) (bounds []bound) {
	if len(l.set) == 0 {
		return nil
	}
	add := func(kind queue.LimitKind, name, key string) {
		if limit := l.set[scope{kind: kind, name: name}]; limit.Set() {
			bounds = append(bounds, bound{scope{kind, name, key}, limit})
		}
	}
	add(queue.LimitQueue, r.Queue, "")
	add(queue.LimitName, r.Task, "")
	if r.LimitKey == "" {
		return bounds
	}
	if r.LimitKey != r.Task {
		add(queue.LimitName, r.LimitKey, "")
	}
	add(queue.LimitEach, r.Task, r.LimitKey)
	return bounds
}

func (l *limits) concern(r *row) bool { return len(l.of(&r.Row)) > 0 }

func (l *limits) any() bool {
	for _, limit := range l.set {
		if limit.Set() {
			return true
		}
	}
	return false
}

// within returns the starts of a limit that are within its period.
func (l *limits) within(b bound, now time.Time) []time.Time {
	starts := l.starts[b.scope]
	first := slices.IndexFunc(starts, func(at time.Time) bool { return at.After(now.Add(-b.Per)) })
	if first < 0 {
		first = len(starts)
	}
	return starts[first:]
}

// started records the start of a row that has just been claimed, and returns it.
func (s *Store) started(r *row, now time.Time) *queue.Row {
	bounds := s.limits.of(&r.Row)
	for _, b := range bounds {
		if b.Starts > 0 {
			s.limits.starts[b.scope] = append(slices.Clone(s.limits.within(b, now)), now)
		}
	}
	claimed := r.copied()
	claimed.Limited = len(bounds) > 0
	return claimed
}

// SetLimit sets, changes or removes a limit. What an operator has set or removed, the code
// does not change.
func (s *Store) SetLimit(ctx context.Context, r queue.LimitChange) (limit queue.Limit, err error) {
	if err := r.Check(); err != nil {
		return r.Limit(queue.Limit{}), err
	}
	err = s.with(ctx, "set limit", func(time.Time) error {
		of := scope{kind: r.Kind, name: r.Name}
		old, exists := s.limits.set[of]
		if limit = old; exists && r.Code && !r.Reset && !old.Code {
			return nil
		}
		limit = r.Limit(old)
		limit.Per = limit.Per.Truncate(time.Microsecond)
		s.limits.set[of] = limit
		return nil
	})
	return limit, err
}

// Limits returns the limits, ordered by kind and name.
func (s *Store) Limits(ctx context.Context) (list []queue.Limit, err error) {
	err = s.with(ctx, "read limits", func(time.Time) error {
		list = s.limits.list()
		return nil
	})
	return list, err
}

func (l *limits) list() (list []queue.Limit) {
	for _, limit := range l.set {
		if limit.Set() {
			list = append(list, limit)
		}
	}
	slices.SortFunc(list, func(a, b queue.Limit) int { return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name)) })
	return list
}

// TidyLimits removes the records of starts that no limit counts any more.
func (s *Store) TidyLimits(ctx context.Context) error {
	return s.with(ctx, "remove unused limits", func(now time.Time) error {
		maps.DeleteFunc(s.limits.starts, func(of scope, starts []time.Time) bool {
			limit := s.limits.set[scope{kind: of.kind, name: of.name}]
			return limit.Starts == 0 || !starts[len(starts)-1].After(now.Add(-limit.Per))
		})
		return nil
	})
}

// LimitUse returns how much of the limits is used: of all, or of those that concern row.
func (s *Store) LimitUse(ctx context.Context, of *queue.Row) (list []queue.LimitUse, err error) {
	err = s.with(ctx, "read limits", func(now time.Time) error {
		concern := make(map[scope]string) // and the key that is counted
		if of != nil {
			for _, b := range s.limits.of(of) {
				concern[scope{kind: b.kind, name: b.name}] = b.key
			}
		}
		for _, limit := range s.limits.list() {
			key, concerns := concern[scope{kind: limit.Kind, name: limit.Name}]
			if of != nil && !concerns {
				continue
			}
			use := queue.LimitUse{Limit: limit, Key: key}
			s.count(&use, of, now)
			list = append(list, use)
		}
		return nil
	})
	return list, err
}

// count counts the use of a limit, without row.
func (s *Store) count(use *queue.LimitUse, without *queue.Row, now time.Time) {
	counts := func(of scope) bool {
		return of.kind == use.Kind && of.name == use.Name && (use.Key == "" || of.key == use.Key)
	}
	for _, r := range s.rows {
		if !slices.ContainsFunc(s.limits.of(&r.Row), func(b bound) bool { return counts(b.scope) }) {
			continue
		}
		switch {
		case r.Status == queue.StatusRunning:
			use.Active++
		case r.hold == admitted && r.DispatchDueAt.After(now) && (without == nil || r.ID != without.ID):
			use.Chosen++
		}
	}
	for of := range s.limits.starts {
		if starts := s.limits.within(bound{of, use.Limit}, now); counts(of) && len(starts) > 0 && use.Starts > 0 {
			if use.Started += len(starts); use.Started >= use.Starts {
				use.Next = starts[0].Add(use.Per).Sub(now)
			}
		}
	}
}
