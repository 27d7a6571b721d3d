package storekit

import (
	"math/rand/v2"
	"slices"
	"sync"
)

// servedTurns is how many of the last turns are remembered at least. With more lanes than
// that, those whose turn was before count as having had none.
const servedTurns = 5000

// Served remembers when each lane had its last turn, for each priority apart: a lane that
// has its turn at one priority does not change whose turn it is at another one, nor does
// a pull of other lanes. Its zero value is ready for use.
type Served struct {
	mu    sync.Mutex
	turn  uint64
	turns map[laneTurn]uint64
}

type laneTurn struct {
	lane     Lane
	priority int
}

// last returns the number of a lane's last turn; 0 if there is none. Later ones have
// higher numbers.
func (s *Served) last(of laneTurn) uint64 {
	if s == nil {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.turns[of]
}

// Add records that rows have been chosen.
func (s *Served) Add(rows []Waiting) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.turns == nil {
		s.turns = make(map[laneTurn]uint64)
	}
	for _, row := range rows {
		s.turn++
		s.turns[laneTurn{row.Lane, row.Priority}] = s.turn
	}
	if len(s.turns) <= 2*servedTurns {
		return
	}
	for of, turn := range s.turns {
		if turn+servedTurns <= s.turn {
			delete(s.turns, of)
		}
	}
}

// Window is the lanes that a pull looks at, in order.
type Window struct {
	Lanes []Lane
	// Part is set when it claims none of some of them, or of other lanes, too.
	Part bool
}

// Next returns the lane behind which the next pull begins to look, after one that found
// rows and has chosen some of them. While all have one priority, it goes on behind the last
// chosen one. Otherwise it begins somewhere behind the first lane: rows of a higher
// priority, or pulls of other lanes, must not decide which lanes it sees.
func (w *Window) Next(rows, chosen []Waiting) Lane {
	if n := len(chosen); n > 0 && !w.Part && !slices.ContainsFunc(rows, func(r Waiting) bool { return r.Priority != rows[0].Priority }) {
		return chosen[n-1].Lane
	}
	return w.Lanes[rand.IntN(len(w.Lanes))]
}
