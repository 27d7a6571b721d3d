package queuetest

import (
	"sync"
	"time"

	"github.com/google/uuid"
)

// NewTickingStore returns a store whose time is a microsecond later each time that it is
// read, at least: a database takes longer than that for a statement, and the suite expects
// that one row comes after another.
func NewTickingStore() *Store {
	s := NewStore(nil)
	var mu sync.Mutex
	var last time.Time
	s.now = func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		last = later(last.Add(time.Microsecond), time.Now().Truncate(time.Microsecond))
		return last
	}
	return s
}

// SetMostRuns changes how many tasks one Drain runs, until the returned function is called.
func SetMostRuns(n int) (restore func()) {
	before := mostRuns
	mostRuns = n
	return func() { mostRuns = before }
}

// SetFinishedAt sets when a row has ended.
func (s *Store) SetFinishedAt(id uuid.UUID, at time.Time) { s.rows[id].FinishedAt = at }

// SetDeleteAt sets when a row is deleted.
func (s *Store) SetDeleteAt(id uuid.UUID, at time.Time) { s.rows[id].DeleteAt = at }
