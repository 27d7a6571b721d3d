package pgstore

import (
	"fmt"
	"testing"
	"time"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue"
)

// slowRequest is a request for rows that takes long for each row of another name:
// it compares that with thousands of names.
func slowRequest(limit int) queue.ClaimNextRequest {
	names := make([]string, 2500, 2501)
	for i := range names {
		names[i] = fmt.Sprintf("another name of the same length %d", i)
	}
	return queue.ClaimNextRequest{Tasks: append(names, "known"), Limit: limit, Worker: "w", Lease: time.Minute}
}

// unknownName is of the length that makes it differ from the others late.
const unknownName = "another name of the same length none"

func claimPriority(t *testing.T, s *Store, req queue.ClaimNextRequest) int {
	t.Helper()
	rows, err := s.ClaimNext(t.Context(), req)
	if err != nil || len(rows) != 1 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	return rows[0].Priority
}

// slowLine returns a Store that has claimed the first of some rows of priority 0,
// which took long because of unknown rows of that priority.
func slowLine(t *testing.T, unknownPriority int) (*Store, string, queue.ClaimNextRequest) {
	t.Helper()
	s, url := lineOf(t, 5)
	addRows(t, url, unknownName, unknownPriority, 2_000, -3_000)
	testdb.Exec(t, url, `VACUUM ANALYZE claimcheck_tasks`)
	req := slowRequest(1)
	if got := claimPriority(t, s, req); got != 0 {
		t.Fatalf("claimed priority %d", got)
	}
	if from, known := s.lines.start(req, time.Now()); !known || !s.lines.all[0].slow {
		t.Fatalf("not a slow walk: %+v", from)
	}
	return s, url, req
}

// Many rows in front of those that can be claimed make a walk slow. A row of higher
// priority does not wait for that.
func TestASlowWalkHidesNoHigherPriority(t *testing.T) {
	s, url, req := slowLine(t, 0)
	addRows(t, url, "known", 5, 1, 100)
	if got := claimPriority(t, s, req); got != 5 {
		t.Errorf("claimed priority %d", got)
	}
	s.lines.forget()
	if _, known := s.lines.start(req, time.Now()); !known {
		t.Error("a slow walk is forgotten")
	}
}

// Where the rows of higher priority make the walk slow, they are left out for a
// while: 20 times as long as it takes to look for them.
func TestASlowLookForHigherPriorityIsNotRepeated(t *testing.T) {
	s, _, req := slowLine(t, 5)
	from, known := s.lines.start(req, time.Now())
	if !known || from.above {
		t.Errorf("%+v, %t", from, known)
	}
	began := time.Now()
	s.measureAbove(t.Context(), req)
	took := time.Since(began)
	if until := s.lines.all[0].aboveFrom; until.Before(began.Add(walkShare*slowWalk)) || until.After(time.Now().Add(walkShare*took)) {
		t.Errorf("left out for %s, after a look that took at most %s", until.Sub(began), took)
	}
	if from, known = s.lines.start(req, s.lines.all[0].aboveFrom); !from.above {
		t.Errorf("%+v, %t", from, known)
	}
}

// Rows of higher priority that come later, and that this process does not know, make
// claims slow that begin at a place. That is noticed by the first.
func TestALookForHigherPriorityThatBecomesSlowIsNoticed(t *testing.T) {
	s, url, req := slowLine(t, 0)
	s.lines.all[0].until = time.Now().Add(time.Hour)
	addRows(t, url, unknownName, 5, 2_000, 0)
	for range 2 {
		if got := claimPriority(t, s, req); got != 0 {
			t.Errorf("claimed priority %d", got)
		}
	}
	if from, known := s.lines.start(req, time.Now()); !known || from.above {
		t.Errorf("%+v, %t", from, known)
	}
}
