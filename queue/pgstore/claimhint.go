package pgstore

import (
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// A claim scans the index from its beginning to the first row that it can have.
// Usually that is the first entry. While a long backlog is processed, the entries of
// claimed rows precede it until a vacuum removes them, and rows of names that this
// process does not know precede it permanently: a million of them take a third of a
// second, for each claim. So claims cache the position of their first row for a
// while, and start there.
//
// Rows inserted before the position are found when it expires, or as soon as a claim
// finds fewer rows than it wanted. Only rows of a higher priority are looked for in
// each claim. When a claim was slow, that part is timed separately, and skipped for a
// while only if it is slow itself.
const (
	hintTime      = 250 * time.Millisecond // how long a position is valid
	hintFactor    = 20                     // or so many times as long as the scan to it took
	hintTimeLimit = 10 * time.Second       // but never longer
	slowScan      = 50 * time.Millisecond  // the duration from which a scan yields a hint at once
	longBacklog   = 8                      // consecutive full batches after which the backlog counts as long
	hintLimit     = 16                     // kinds of requests, of which a process has few
)

// position is where claims start.
type position struct {
	priority   int
	enqueuedAt time.Time
	id         uuid.UUID
	above      bool // rows of higher priority are looked for, too
}

// scanHint is the cached position for one kind of request.
type scanHint struct {
	tasks, queues []string
	backend       string
	full          int // consecutive claims that found as many rows as they wanted
	position      position
	until         time.Time // the position is valid until then
	slow          bool      // the scan to the position is slow
	aboveFrom     time.Time // rows of higher priority are looked for again from then on
}

// scanHints are the hints of a Store. They are safe for concurrent use.
type scanHints struct {
	mu  sync.Mutex
	all []*scanHint
}

// of returns the hint for requests like req. h.mu is held.
func (h *scanHints) of(req queue.ClaimNextRequest) *scanHint {
	for _, hint := range h.all {
		if hint.backend == req.Backend && slices.Equal(hint.queues, req.Queues) && slices.Equal(hint.tasks, req.Tasks) {
			return hint
		}
	}
	if len(h.all) == hintLimit {
		h.all = nil
	}
	added := &scanHint{tasks: slices.Clone(req.Tasks), queues: slices.Clone(req.Queues), backend: req.Backend}
	h.all = append(h.all, added)
	return added
}

// start returns the position where a claim may start, and whether there is one.
func (h *scanHints) start(req queue.ClaimNextRequest, now time.Time) (position, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	hint := h.of(req)
	from := hint.position
	from.above = !now.Before(hint.aboveFrom)
	return from, now.Before(hint.until)
}

// advance moves the position to the first row of a claim that started there.
func (h *scanHints) advance(req queue.ClaimNextRequest, rows []*queue.Row) {
	h.mu.Lock()
	defer h.mu.Unlock()
	hint := h.of(req)
	if rows[0].Priority <= hint.position.priority { // else there may be more rows of higher priority
		hint.set(rows[0])
	}
}

// scanned records a claim that scanned the index from its beginning. It reports
// whether that was a slow scan to a position that is now cached: until the part of it
// that looks for higher priorities is timed (see timed), that part counts as slow, too.
func (h *scanHints) scanned(req queue.ClaimNextRequest, rows []*queue.Row, took time.Duration, now time.Time) (timeAbove bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	hint := h.of(req)
	hint.until = time.Time{}
	if len(rows) == 0 || !satisfied(req, rows) {
		hint.full = 0
		return false
	}
	hint.full++
	hint.slow = took >= slowScan
	if hint.full < longBacklog && !hint.slow {
		return false
	}
	hint.set(rows[0])
	hint.until = now.Add(min(max(hintTime, hintFactor*took), hintTimeLimit))
	hint.skipAbove(took, now)
	return hint.slow
}

// timed records how long it took to look for rows of higher priority, which ends when it
// is slow. Then it counts as the longest that it can be: the claim that contained it.
func (h *scanHints) timed(req queue.ClaimNextRequest, took, claim time.Duration, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if took >= slowScan {
		took = max(took, claim)
	}
	h.of(req).skipAbove(took, now)
}

// skipAbove makes claims skip rows of higher priority for a while, if it is slow to
// look for them.
func (h *scanHint) skipAbove(took time.Duration, now time.Time) {
	h.aboveFrom = time.Time{}
	if took >= slowScan {
		h.aboveFrom = now.Add(min(hintFactor*took, hintTimeLimit))
	}
}

func (h *scanHint) set(row *queue.Row) {
	h.position.priority, h.position.enqueuedAt, h.position.id = row.Priority, row.EnqueuedAt, row.ID
}

// forget drops cached positions, because rows may now precede them. It keeps those
// that only a slow scan would find again.
func (h *scanHints) forget() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, hint := range h.all {
		if !hint.slow {
			hint.until = time.Time{}
		}
	}
}
