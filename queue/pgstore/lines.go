package pgstore

import (
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// A claim walks from the beginning of the index to the first row that it can
// have. Usually that is the first entry. But while a long line is worked off,
// the entries of rows that were claimed lie before it until a vacuum takes them
// away, and rows of names that this process does not know lie there for good: a
// million of them take a third of a second, for each claim. So claims remember
// for a while where they found their first row, and begin there.
//
// What comes to lie before that place is found when the while is over, or as soon
// as the line ends. Only rows of a higher priority are looked for at once. When a
// claim was slow, that part is measured by itself, and left out for a while only if
// it is slow itself.
const (
	walkAgain = 250 * time.Millisecond // how long a place is remembered,
	walkShare = 20                     // or so many times as long as the walk took,
	walkMost  = 10 * time.Second       // but never longer
	slowWalk  = 50 * time.Millisecond  // a walk that is worth to be remembered at once
	longLine  = 8                      // claims without an end of the line, which are it too
	manyLines = 16                     // kinds of requests, of which a process has few
)

// start is where claims begin.
type start struct {
	priority   int
	enqueuedAt time.Time
	id         uuid.UUID
	above      bool // rows of higher priority are looked for, too
}

// line is what is known of the rows that one kind of requests asks for.
type line struct {
	tasks, queues []string
	backend       string
	full          int // claims in a row that found as many as they wanted
	start         start
	until         time.Time // that start holds
	slow          bool      // the walk to start is slow
	aboveFrom     time.Time // when rows of higher priority are looked for again
}

// lines are the lines of a Store, for concurrent use.
type lines struct {
	mu  sync.Mutex
	all []*line
}

// of returns the line that req asks for. l.mu is held.
func (l *lines) of(req queue.ClaimNextRequest) *line {
	for _, known := range l.all {
		if known.backend == req.Backend && slices.Equal(known.queues, req.Queues) && slices.Equal(known.tasks, req.Tasks) {
			return known
		}
	}
	if len(l.all) == manyLines {
		l.all = nil
	}
	added := &line{tasks: slices.Clone(req.Tasks), queues: slices.Clone(req.Queues), backend: req.Backend}
	l.all = append(l.all, added)
	return added
}

// start says where a claim may begin, if that is known.
func (l *lines) start(req queue.ClaimNextRequest, now time.Time) (start, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	known := l.of(req)
	from := known.start
	from.above = !now.Before(known.aboveFrom)
	return from, now.Before(known.until)
}

// advance notes what a claim found that began at the start.
func (l *lines) advance(req queue.ClaimNextRequest, rows []*queue.Row) {
	l.mu.Lock()
	defer l.mu.Unlock()
	known := l.of(req)
	if rows[0].Priority <= known.start.priority { // else there are more above
		known.begin(rows[0])
	}
}

// walked notes what a claim found that began at the beginning. It reports whether
// that was a slow walk to a place that is remembered: until the rest of it is
// measured (measured), rows of higher priority count as slow, too.
func (l *lines) walked(req queue.ClaimNextRequest, rows []*queue.Row, took time.Duration, now time.Time) (measure bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	known := l.of(req)
	known.until = time.Time{}
	if len(rows) == 0 || !satisfied(req, rows) {
		known.full = 0
		return false
	}
	known.full++
	known.slow = took >= slowWalk
	if known.full < longLine && !known.slow {
		return false
	}
	known.begin(rows[0])
	known.until = now.Add(min(max(walkAgain, walkShare*took), walkMost))
	known.skipAbove(took, now)
	return known.slow
}

// measured notes how long it took to look for rows of higher priority.
func (l *lines) measured(req queue.ClaimNextRequest, took time.Duration, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.of(req).skipAbove(took, now)
}

// skipAbove lets claims leave out the rows of higher priority for a while, if it
// is slow to look for them.
func (l *line) skipAbove(took time.Duration, now time.Time) {
	l.aboveFrom = time.Time{}
	if took >= slowWalk {
		l.aboveFrom = now.Add(min(walkShare*took, walkMost))
	}
}

func (l *line) begin(row *queue.Row) {
	l.start.priority, l.start.enqueuedAt, l.start.id = row.Priority, row.EnqueuedAt, row.ID
}

// forget lets claims begin at the beginning, where rows may have come to lie,
// unless that is a slow walk.
func (l *lines) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, known := range l.all {
		if !known.slow {
			known.until = time.Time{}
		}
	}
}
