package oidc

import (
	"crypto/sha256"
	"sync"
	"time"
)

// generation is how many tokens a generation of [memory] holds. Two of them take about
// 1 MiB when full; Cloud Tasks uses a handful of tokens an hour.
const generation = 2048

// memory remembers verified tokens by their hash, so that the hot path skips RSA and
// the token itself is not kept. It holds two generations: what was used in the last
// 2048 to 4096 distinct tokens stays, older is forgotten.
//
// A remembered token outlives the withdrawal of its key, but never its own expiry.
type memory struct {
	mu         sync.Mutex
	young, old map[[sha256.Size]byte]Identity
}

func newMemory() *memory {
	return &memory{young: make(map[[sha256.Size]byte]Identity)}
}

func (m *memory) get(hash [sha256.Size]byte, now time.Time) (Identity, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	identity, ok := m.young[hash]
	if !ok {
		if identity, ok = m.old[hash]; ok {
			m.putLocked(hash, identity)
		}
	}
	if !ok || !now.Before(identity.Expires) {
		return Identity{}, false
	}
	return identity, true
}

func (m *memory) put(hash [sha256.Size]byte, identity Identity) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.putLocked(hash, identity)
}

func (m *memory) putLocked(hash [sha256.Size]byte, identity Identity) {
	if len(m.young) >= generation {
		m.old, m.young = m.young, make(map[[sha256.Size]byte]Identity)
	}
	m.young[hash] = identity
}
