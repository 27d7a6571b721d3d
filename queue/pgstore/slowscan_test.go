package pgstore

import (
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

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

// slowBacklog returns a Store that has claimed the first of some rows of priority 0,
// which took long because of unknown rows of that priority.
func slowBacklog(t *testing.T, unknownPriority int) (*Store, string, queue.ClaimNextRequest) {
	t.Helper()
	s, url := backlogOf(t, 5)
	addRows(t, url, unknownName, unknownPriority, 8_000, -9_000)
	testdb.Exec(t, url, `VACUUM ANALYZE claimcheck_tasks`)
	req := slowRequest(1)
	if got := claimPriority(t, s, req); got != 0 {
		t.Fatalf("claimed priority %d", got)
	}
	hint := s.hints.all[0]
	if hint.until.IsZero() || !hint.slow {
		t.Fatalf("not a slow scan: %+v", hint)
	}
	hint.until = time.Now().Add(time.Hour) // on a busy machine the next claim may come late
	return s, url, req
}

// Many rows before those that can be claimed make a scan slow. A row of higher
// priority does not wait for that.
func TestASlowScanHidesNoHigherPriority(t *testing.T) {
	s, url, req := slowBacklog(t, 0)
	for tries := 100; tries > 0 && !s.hints.all[0].aboveFrom.IsZero(); tries-- { // on a busy machine even this search may count as slow
		s.timeAbove(t.Context(), req, 0)
	}
	addRows(t, url, "known", 5, 1, 100)
	if got := claimPriority(t, s, req); got != 5 {
		t.Errorf("claimed priority %d", got)
	}
	s.hints.forget()
	if _, known := s.hints.start(req, time.Now()); !known {
		t.Error("the hint of a slow scan is dropped")
	}
}

// Rows of higher priority that make the scan slow are skipped for 20 times as long as
// the claim took that looked for them.
func TestASlowSearchForHigherPriorityIsNotRepeated(t *testing.T) {
	s, _, req := slowBacklog(t, 5)
	from, known := s.hints.start(req, time.Now())
	if !known || from.above {
		t.Errorf("%+v, %t", from, known)
	}
	const claim = hintTimeLimit / hintFactor
	began := time.Now()
	s.timeAbove(t.Context(), req, claim)
	if until := s.hints.all[0].aboveFrom; until.Before(began.Add(hintFactor*claim)) || until.After(time.Now().Add(hintTimeLimit)) {
		t.Errorf("skipped for %s, after a claim of %s", until.Sub(began), claim)
	}
	if from, known = s.hints.start(req, s.hints.all[0].aboveFrom); !from.above {
		t.Errorf("%+v, %t", from, known)
	}
}

// It takes no second search of that length to know that the first one was slow.
func TestTheSearchForHigherPriorityIsTimedNoLongerThanNecessary(t *testing.T) {
	s, url := backlogOf(t, 5)
	addRows(t, url, unknownName, 5, 2_000, 0)
	for within, want := range map[time.Duration]int{0: 10, time.Hour: 0} {
		var found int
		err := s.on(t.Context(), "look", func(conn *pgx.Conn) error {
			return conn.QueryRow(t.Context(), plainClaims.above, []string{"known"}, []string{}, "", 0, 10, within).Scan(&found)
		})
		if err != nil || found != want {
			t.Errorf("%d rows end a search of %s, want %d; %v", found, within, want, err)
		}
	}
}

// Rows of higher priority that this process does not know may be inserted later, and
// make claims slow that start at a hint. The first such claim detects that.
func TestASearchForHigherPriorityThatBecomesSlowIsDetected(t *testing.T) {
	s, url, req := slowBacklog(t, 0)
	addRows(t, url, unknownName, 5, 8_000, 0)
	for range 2 {
		if got := claimPriority(t, s, req); got != 0 {
			t.Errorf("claimed priority %d", got)
		}
	}
	if from, known := s.hints.start(req, time.Now()); !known || from.above {
		t.Errorf("%+v, %t", from, known)
	}
}
