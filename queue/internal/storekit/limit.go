package storekit

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// The holds of READY rows that a limit concerns. A new row has hold 0 or 1 as any other,
// until a claim finds it.
const (
	HoldLimited  = 3 // it waits for a limit
	HoldAdmitted = 4 // it may be claimed now, and a ticket is on its way
)

// UnheldWindow is among how many of the first rows that could be claimed a promotion looks
// for those that a limit concerns.
const UnheldWindow = 200

// LimitedMicros is by how much the DispatchDueAt of a row is moved that waits for a limit
// and expects no delivery.
const LimitedMicros = 2 * ParkMicros

// LimitedInterval is the same as an interval of PostgreSQL.
var LimitedInterval = fmt.Sprintf("interval '%d hours'", 2*parkDays*24)

// The parts of a limit. Each has separate slots.
const (
	PartRunning = "running" // a slot is taken while its task is RUNNING under its claim
	PartStarts  = "starts"  // a slot is taken for the period from its last start
)

// Scope is what one limit counts: the tasks of a queue, of a name, or of one limit key of
// a task.
type Scope struct {
	Kind queue.LimitKind
	Name string
	Key  string
}

// Bound is a scope with its limit.
type Bound struct {
	Scope
	Running int
	Starts  int
	Per     time.Duration
}

// Limits are the limits of a database, for looking up which of them concern a row.
type Limits map[Scope]queue.Limit

// NewLimits makes a map of the limits that are set.
func NewLimits(list []queue.Limit) Limits {
	limits := make(Limits, len(list))
	for _, l := range list {
		if l.Set() {
			limits[Scope{Kind: l.Kind, Name: l.Name}] = l
		}
	}
	return limits
}

// Of returns the limits that concern the rows of a lane, each once.
func (l Limits) Of(lane Lane) (bounds []Bound) {
	add := func(kind queue.LimitKind, name, key string) {
		limit, set := l[Scope{Kind: kind, Name: name}]
		if set {
			bounds = append(bounds, Bound{Scope: Scope{kind, name, key}, Running: limit.Running, Starts: limit.Starts, Per: limit.Per})
		}
	}
	add(queue.LimitQueue, lane.Queue, "")
	add(queue.LimitName, lane.Task, "")
	if lane.Key != "" {
		if lane.Key != lane.Task {
			add(queue.LimitName, lane.Key, "")
		}
		add(queue.LimitEach, lane.Task, lane.Key)
	}
	return bounds
}

// Lane is what rows that wait for a limit are ordered by: rows of one lane wait for the
// same limits.
type Lane struct {
	Backend, Queue, Task, Key string
}

// LaneOf returns the lane of a row.
func LaneOf(row *queue.Row) Lane { return Lane{row.Backend, row.Queue, row.Task, row.LimitKey} }

// Compare orders lanes as their index does.
func (l Lane) Compare(other Lane) int {
	return cmp.Or(cmp.Compare(l.Backend, other.Backend), cmp.Compare(l.Queue, other.Queue), cmp.Compare(l.Task, other.Task), cmp.Compare(l.Key, other.Key))
}

// Room is how much of a limit is left.
type Room struct {
	Running int           // free slots
	Starts  int           // starts that are left
	Next    time.Duration // how long until there is another start; zero if one is left
}

// Waiting is a row that waits for a limit.
type Waiting struct {
	Lane     Lane
	Priority int
	ID       uuid.UUID
}

// Turn chooses which waiting rows are to be claimed.
type Turn struct {
	Limits Limits
	Rooms  map[Scope]*Room
	Limit  int
	// Substitutes is how many further rows are chosen, for those that others take.
	Substitutes int
	// Others are the priorities of the first rows without a limit, which share Limit, up
	// to so many of them. At the same priority both kinds take turns.
	Others      []int
	OthersFirst bool
	// Left is set when rows have room and are left for Others.
	Left bool
	// Served says which lane's turn it is.
	Served *Served
}

// Fits reports whether another row of a lane fits into the rooms of its limits, and how
// long until it does if only rates keep it from that.
func (t *Turn) Fits(lane Lane) (fits bool, wait time.Duration) {
	fits = true
	for _, bound := range t.Limits.Of(lane) {
		room := t.Rooms[bound.Scope]
		if bound.Running > 0 && room.Running < 1 {
			return false, 0
		}
		if bound.Starts > 0 && room.Starts < 1 {
			fits, wait = false, max(wait, room.Next, time.Millisecond)
		}
	}
	return fits, wait
}

// take takes the room of one row.
func (t *Turn) take(lane Lane) {
	for _, bound := range t.Limits.Of(lane) {
		t.Rooms[bound.Scope].Running--
		t.Rooms[bound.Scope].Starts--
	}
}

// Choose chooses rows: highest priority first, then one row of each lane after the other,
// beginning with the lane whose last turn at this priority was longest ago. limit is how
// many of them are wanted; the others are substitutes.
func (t *Turn) Choose(rows []Waiting) (chosen []Waiting, limit int) {
	share := share{turn: t}
	for _, row := range t.inTurn(rows) {
		if fits, _ := t.Fits(row.Lane); !fits {
			continue
		}
		if !share.full {
			share.yield(row.Priority, len(chosen))
		}
		switch {
		case !share.full:
			limit++
			share.mine++
		case limit == 0:
			t.Left = true
			return nil, 0
		case len(chosen) >= limit+t.Substitutes || share.behind(row.Priority):
			return chosen, limit
		}
		t.take(row.Lane)
		chosen = append(chosen, row)
	}
	return chosen, limit
}

// ChooseForRate chooses rows that only rates keep from being claimed, in the order of their
// turns.
func (t *Turn) ChooseForRate(rows []Waiting) (chosen []Waiting) {
	for _, row := range t.inTurn(rows) {
		if fits, wait := t.Fits(row.Lane); !fits && wait > 0 && len(chosen) < t.Limit {
			t.take(row.Lane)
			chosen = append(chosen, row)
		}
	}
	return chosen
}

// share is how a turn is shared with the rows without a limit.
type share struct {
	turn     *Turn
	full     bool
	others   int // how many of Turn.Others have been given a place
	priority int
	mine     int // how many rows of this priority have been chosen
	theirs   int // how many of Others
}

// yield gives places to those of the others that come before a row, of which so many are
// chosen.
func (s *share) yield(priority, chosen int) {
	if chosen == 0 || priority != s.priority {
		s.priority, s.mine, s.theirs = priority, 0, 0
	}
	for {
		s.full = chosen+s.others >= s.turn.Limit
		if s.full || s.others >= len(s.turn.Others) {
			return
		}
		switch other := s.turn.Others[s.others]; {
		case other < priority, other == priority && (s.theirs > s.mine || s.theirs == s.mine && !s.turn.OthersFirst):
			return
		case other == priority:
			s.theirs++
		}
		s.others++
	}
}

// behind reports whether a row has a lower priority than the next of the others.
func (s *share) behind(priority int) bool {
	return s.others < len(s.turn.Others) && priority < s.turn.Others[s.others]
}

// inTurn returns rows in the order of their turns.
func (t *Turn) inTurn(rows []Waiting) []Waiting {
	type place struct {
		round int // the rows of one priority and lane are numbered
		last  uint64
	}
	places := make(map[uuid.UUID]place, len(rows))
	rounds := make(map[laneTurn]int)
	for _, row := range rows {
		of := laneTurn{row.Lane, row.Priority}
		places[row.ID] = place{rounds[of], t.Served.last(of)}
		rounds[of]++
	}
	order := slices.Clone(rows)
	slices.SortStableFunc(order, func(a, b Waiting) int {
		p, q := places[a.ID], places[b.ID]
		return cmp.Or(cmp.Compare(b.Priority, a.Priority), cmp.Compare(p.round, q.round), cmp.Compare(p.last, q.last), a.Lane.Compare(b.Lane))
	})
	return order
}

// TakeRoom takes the room of n rows of a lane, where it is known.
func (t *Turn) TakeRoom(lane Lane, n int) {
	for _, bound := range t.Limits.Of(lane) {
		if room := t.Rooms[bound.Scope]; room != nil {
			room.Running -= n
			room.Starts -= n
		}
	}
}

// Sharing returns a function that reports whether a lane shares a limit with another one,
// or is without a limit.
func (l Limits) Sharing(with Lane) func(Lane) bool {
	scopes := make(map[Scope]bool)
	for _, bound := range l.Of(with) {
		scopes[bound.Scope] = true
	}
	return func(lane Lane) bool {
		bounds := l.Of(lane)
		return len(bounds) == 0 || slices.ContainsFunc(bounds, func(b Bound) bool { return scopes[b.Scope] })
	}
}

// OnlyEach reports whether no limit concerns a lane but those on its own key.
func (l Limits) OnlyEach(lane Lane) bool {
	bounds := l.Of(lane)
	return len(bounds) > 0 && !slices.ContainsFunc(bounds, func(b Bound) bool { return b.Kind != queue.LimitEach })
}

// Compare orders scopes.
func (s Scope) Compare(other Scope) int {
	return cmp.Or(cmp.Compare(s.Kind, other.Kind), cmp.Compare(s.Name, other.Name), cmp.Compare(s.Key, other.Key))
}

// Open returns the lanes that have room, and how long until another one does which only
// rates keep from it.
func (t *Turn) Open(lanes []Lane) (open []Lane, wait time.Duration) {
	for _, lane := range lanes {
		fits, until := t.Fits(lane)
		if fits {
			open = append(open, lane)
		} else if until > 0 && (wait == 0 || until < wait) {
			wait = until
		}
	}
	return open, wait
}

// WaitForLimit returns the DispatchDueAt of a row that waits for a limit and expects no
// delivery.
func WaitForLimit(now time.Time) time.Time { return now.AddDate(0, 0, 2*parkDays) }

// Share returns how long the rows take to start that wait for the rate of a bound.
func Share(b Bound, waiting int) time.Duration {
	return max(time.Duration(float64(b.Per)*float64(waiting)/float64(b.Starts)), time.Millisecond)
}
