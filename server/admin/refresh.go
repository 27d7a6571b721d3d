package admin

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
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

// refreshParts does the most urgent refreshes within a number of statements, some at a
// time. In a fixed order, the parts that stay fresh for a short time would use up the
// statements of every request. list is called again after each round: which parts are
// needed depends on what was read. It reports whether parts are still wanting.
func refreshParts(list func() []refresh, now time.Time, statements int) (wanting bool, err error) {
	for err == nil {
		round := urgent(list(), now, statements)
		if len(round) == 0 {
			break
		}
		for _, r := range round {
			statements -= r.cost
		}
		err = askAll(round, now)
	}
	for _, r := range list() {
		if !r.at.IsZero() && now.Sub(r.at) > tooOld {
			r.drop()
		}
		wanting = wanting || r.wanting(now)
	}
	return wanting, err
}

// urgent returns the refreshes to do, the most urgent first.
func urgent(list []refresh, now time.Time, statements int) (round []refresh) {
	slices.SortStableFunc(list, func(a, b refresh) int { return cmp.Compare(b.urgency(now), a.urgency(now)) })
	for _, r := range list {
		if r.urgency(now) >= 1 && r.cost <= statements {
			round = append(round, r)
			statements -= r.cost
		}
	}
	return round
}

// askedAtOnce is how many refreshes wait for the store at a time: a page leaves
// connections to tasks, and the slowest two parts take as long as the slower one.
const askedAtOnce = 2

// askAll does refreshes, and begins none after one has failed.
func askAll(round []refresh, now time.Time) error {
	var all errgroup.Group
	all.SetLimit(askedAtOnce)
	var failed atomic.Bool
	for _, r := range round {
		all.Go(func() (err error) {
			defer func() { // a panic here would end the process, and in the request ends only that
				if p := recover(); p != nil {
					err = panicked{p}
				}
				if err != nil {
					failed.Store(true)
				}
			}()
			if failed.Load() {
				return nil
			}
			if err = r.ask(); err == nil {
				*r.read = read{at: now}
			}
			return err
		})
	}
	err := all.Wait()
	if p, ok := errors.AsType[panicked](err); ok {
		panic(p.value)
	}
	return err
}

// panicked carries a panic to the goroutine of the request.
type panicked struct{ value any }

func (p panicked) Error() string { return fmt.Sprint("panic: ", p.value) }
