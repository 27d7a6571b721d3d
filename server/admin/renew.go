package admin

import (
	"math"
	"time"
)

// part is one thing that is known of the board, and since when.
type part[T any] struct {
	read
	value T
}

// read is when a part was read.
type read struct {
	at    time.Time // zero: it is not known
	stale bool      // something was changed since
}

// errand is to read a part anew.
type errand struct {
	*read
	keep time.Duration // how long the part is good for
	cost int           // statements at most
	told bool          // it tells what an action has changed: read before all else then
	ask  func() error
	drop func()
}

func errandFor[T any](p *part[T], keep time.Duration, cost int, ask func() (T, error)) errand {
	return errand{
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

// changedWeight is how much sooner the turn of a part comes when something was
// changed here.
const changedWeight = 2

// urgency is how old a part is against what it may be: from 1 on it is to be
// renewed, and the highest comes first.
func (e errand) urgency(now time.Time) float64 {
	if e.at.IsZero() || e.stale && e.told {
		return math.Inf(1)
	}
	u := float64(now.Sub(e.at)) / float64(e.keep)
	if e.stale { // soon, but not for ever before the others
		u = max(u, 0) + changedWeight
	}
	return u
}

// wanting reports whether a page that has the part should look again at once:
// after a time in which nobody looked, too.
func (e errand) wanting(now time.Time) bool {
	return e.at.IsZero() || e.stale || now.Sub(e.at) > max(2*e.keep, time.Minute)
}

// renew carries errands out in turn, the most urgent first, as far as a few
// statements go. With a fixed order the parts that are good for a short time
// would use them up with every look, and the others would grow old. list is
// asked anew each time: what is needed depends on what was read. It reports
// whether parts are wanting still.
func renew(list func() []errand, now time.Time, statements int) (wanting bool, err error) {
	for err == nil {
		var next *errand
		for _, e := range list() {
			if u := e.urgency(now); u >= 1 && e.cost <= statements && (next == nil || u > next.urgency(now)) {
				next = &e
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
	for _, e := range list() {
		if !e.at.IsZero() && now.Sub(e.at) > tooOld {
			e.drop()
		}
		wanting = wanting || e.wanting(now)
	}
	return wanting, err
}
