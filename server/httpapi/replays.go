package httpapi

import (
	"math"
	"net/http"
	"sync"
	"time"
)

// maxRemembered is how many signatures are remembered: about 32 MB.
const maxRemembered = 800_000

// replays remembers accepted signatures by their timestamps, for as long as these are
// within the window. It is safe for concurrent use.
type replays struct {
	limit int

	mu       sync.Mutex
	count    int
	at       map[int64]map[digest]struct{}
	floor    int64 // timestamps up to this one are refused: their signatures are forgotten
	expiring int64 // second in which the expired ones were last removed
}

// digest is the first half of a signature, which identifies it.
type digest [16]byte

func newReplays(limit int) *replays {
	return &replays{limit: limit, at: make(map[int64]map[digest]struct{}), floor: math.MinInt64}
}

var (
	errReplayed  = &authError{http.StatusUnauthorized, "this signature was used before"}
	errForgotten = &authError{http.StatusUnauthorized, TimestampHeader + " is older than the signatures that are remembered: sign the request again"}
)

// check reports whether a signature may still be used.
func (m *replays) check(timestamp int64, sig signature) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.checkLocked(timestamp, digest(sig[:16]))
}

func (m *replays) checkLocked(timestamp int64, d digest) error {
	if timestamp <= m.floor {
		return errForgotten
	}
	if _, used := m.at[timestamp][d]; used {
		return errReplayed
	}
	return nil
}

// add accepts a signature the first time. When the memory is full it makes room by
// forgetting the oldest timestamp, which is refused from then on: so no signature is
// ever accepted twice, and every recent one is accepted once.
func (m *replays) add(timestamp int64, sig signature, now time.Time) error {
	d := digest(sig[:16])
	m.mu.Lock()
	defer m.mu.Unlock()
	m.expire(now)
	if err := m.checkLocked(timestamp, d); err != nil {
		return err
	}
	if m.count >= m.limit {
		oldest := int64(math.MaxInt64)
		for at := range m.at {
			oldest = min(oldest, at)
		}
		if timestamp <= oldest {
			return errForgotten
		}
		m.forget(oldest)
	}
	if m.at[timestamp] == nil {
		m.at[timestamp] = make(map[digest]struct{})
	}
	m.at[timestamp][d] = struct{}{}
	m.count++
	return nil
}

// expire forgets, once a second, timestamps that the window refuses. A timestamp has
// whole seconds, so it can be within the window for up to a second longer.
func (m *replays) expire(now time.Time) {
	if second := now.Unix(); second != m.expiring {
		m.expiring = second
		for at := range m.at {
			if time.Unix(at, 0).Add(signatureWindow + time.Second).Before(now) {
				m.forget(at)
			}
		}
	}
}

// forget also refuses what it forgets from then on, in case the clock is set back.
func (m *replays) forget(timestamp int64) {
	m.count -= len(m.at[timestamp])
	delete(m.at, timestamp)
	m.floor = max(m.floor, timestamp)
}
