package admin

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"sync"
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
	at      time.Time // zero: it is unknown
	stale   bool      // an action has changed tasks since
	changes int       // how many actions have
}

// refresh reads a part again.
type refresh struct {
	*read
	keep     time.Duration // how long the part stays fresh
	cost     int           // statements at most
	affected bool          // by actions: after one, it is read before all others
	ask      func() (keep func(), err error)
	drop     func()
}

func newRefresh[T any](p *part[T], keep time.Duration, cost int, ask func() (T, error)) refresh {
	return refresh{
		read: &p.read, keep: keep, cost: cost,
		ask: func() (func(), error) {
			value, err := ask()
			return func() { p.value = value }, err
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
func (r *read) wanting(now time.Time, keep time.Duration) bool {
	return r.at.IsZero() || r.stale || now.Sub(r.at) > max(2*keep, time.Minute)
}

// refreshParts does the most urgent refreshes within a number of statements, some at a
// time. In a fixed order, the parts that stay fresh for a short time would use up the
// statements of every request. list is called again after each round: which parts are
// needed depends on what was read. The lock is that of the parts, and not held while one is
// read.
func refreshParts(lock sync.Locker, list func() []refresh, now time.Time, statements int) error {
	for {
		lock.Lock()
		round := urgent(list(), now, statements)
		lock.Unlock()
		if len(round) == 0 {
			return nil
		}
		for _, r := range round {
			statements -= r.cost
		}
		if err := askAll(lock, round, now); err != nil {
			return err
		}
	}
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

// askAll does refreshes, and begins none after one has failed. A panic is the error
// panicked.
func askAll(lock sync.Locker, round []refresh, now time.Time) error {
	var all errgroup.Group
	all.SetLimit(askedAtOnce)
	var failed atomic.Bool
	for _, r := range round {
		all.Go(func() (err error) {
			defer func() { // a panic here would end the process
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
			lock.Lock()
			changes := r.changes
			lock.Unlock()
			keep, err := r.ask()
			if err != nil {
				return err
			}
			lock.Lock()
			defer lock.Unlock()
			keep()
			r.at = now
			r.stale = r.changes != changes // it may have been read before
			return nil
		})
	}
	return all.Wait()
}

// panicked carries a panic to the goroutine of a request.
type panicked struct{ value any }

func (p panicked) Error() string { return fmt.Sprint("panic: ", p.value) }
