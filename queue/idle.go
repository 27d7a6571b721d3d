package queue

import (
	"math/rand/v2"
	"sync"
	"time"
)

// idlePause is how long a worker that has nothing to do waits until it looks
// again: a tenth longer than the interval, less a random hundredth, so that many
// processes drift apart. At LocalPoll that is eleven looks a minute at most; with
// the sweeper's mark an idle process sends twelve statements.
func idlePause(interval time.Duration) time.Duration {
	return interval + interval/10 - rand.N(interval/100+1)
}

// TouchEvery is how often SweepEvery notes that it sweeps (TouchSwept), so that the
// mark may be older than the last sweep by this much. A single Sweep always does.
const TouchEvery = 2 * time.Minute

// freshLook is for how long a background sweep relies on a look of this process.
const freshLook = 2 * LocalPoll

// lastLook is what the executors of this process have last seen of the whole
// database, so that the sweeper beside them need not ask for the same.
type lastLook struct {
	mu      sync.Mutex
	at      time.Time // of the last Promote that succeeded
	nothing bool      // it found no row that is READY or RUNNING
	marked  time.Time // when this process last noted that it sweeps
}

func (l *lastLook) note(p PromoteResult) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.at = time.Now()
	l.nothing = !p.Claimable && p.Next == 0
}

// fresh reports whether there was a look a moment ago, and whether it found
// nothing that is yet to end.
func (l *lastLook) fresh() (fresh, nothing bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fresh = !l.at.IsZero() && time.Since(l.at) < freshLook
	return fresh, fresh && l.nothing
}

// markDue reports whether it is time for another mark of the sweeper.
func (l *lastLook) markDue() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.marked.IsZero() || time.Since(l.marked) >= TouchEvery
}

func (l *lastLook) noteMark() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.marked = time.Now()
}
