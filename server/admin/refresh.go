package admin

import (
	"math"
	"time"
)

// part is one part of the statistics, and when it was read.
type part[T any] struct {
	read
	value T
}

// read is when a part was read.
type read struct {
	at    time.Time // zero: it is unknown
	stale bool      // an action has changed tasks since
}

// refresh reads a part again.
type refresh struct {
	*read
	keep     time.Duration // how long the part stays fresh
	cost     int           // statements at most
	affected bool          // by actions: after one, it is read before all others
	ask      func() error
	drop     func()
}

func newRefresh[T any](p *part[T], keep time.Duration, cost int, ask func() (T, error)) refresh {
	return refresh{
		read: &p.read, keep: keep, cost: cost,
		ask: func() error {
			value, err := ask()
			if err == nil {
				p.value = value
			}
			return err
		},
		drop: func() { *p = part[T]{} },
	}
}

// changedWeight is added to the urgency of a part after an action.
const changedWeight = 2

// urgency is the age of a part in relation to how long it stays fresh: from 1 on it is
// refreshed, the highest first.
func (r refresh) urgency(now time.Time) float64 {
	if r.at.IsZero() || r.stale && r.affected {
		return math.Inf(1)
	}
	u := float64(now.Sub(r.at)) / float64(r.keep)
	if r.stale { // soon, but not always before the others
		u = max(u, 0) + changedWeight
	}
	return u
}

// wanting reports whether a page that shows the part should reload at once, also
// after a time without requests.
func (r refresh) wanting(now time.Time) bool {
	return r.at.IsZero() || r.stale || now.Sub(r.at) > max(2*r.keep, time.Minute)
}

// refreshParts does refreshes in turn, the most urgent first, within a number of
// statements. In a fixed order, the parts that stay fresh for a short time would use up
// the statements of every request. list is called again after each one: which parts
// are needed depends on what was read. It reports whether parts are still wanting.
func refreshParts(list func() []refresh, now time.Time, statements int) (wanting bool, err error) {
	for err == nil {
		var next *refresh
		for _, r := range list() {
			if u := r.urgency(now); u >= 1 && r.cost <= statements && (next == nil || u > next.urgency(now)) {
				next = &r
			}
		}
		if next == nil {
			break
		}
		statements -= next.cost
		if err = next.ask(); err == nil {
			*next.read = read{at: now}
		}
	}
	for _, r := range list() {
		if !r.at.IsZero() && now.Sub(r.at) > tooOld {
			r.drop()
		}
		wanting = wanting || r.wanting(now)
	}
	return wanting, err
}
