package sqlstore_test

import (
	"testing"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue"
)

// What an idle process asks for over and over is one statement each time, and
// nothing is sent to find out whether the connection is alive.
func TestAnIdleProcessSendsOneStatementForEachLook(t *testing.T) {
	t.Parallel()
	s, wire := recording(t, testdb.MariaDB(t))
	var errs []error
	statements := wire.during(func() {
		for range 3 {
			_, err := s.Promote(t.Context(), 10)
			errs = append(errs, err, s.Touch(t.Context(), queue.TouchSwept))
		}
	})
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(statements) != 6 {
		t.Errorf("%d statements: %q", len(statements), statements)
	}
	if marks, err := s.Touched(t.Context()); err != nil || marks[queue.TouchSwept].IsZero() {
		t.Errorf("%v, %v", marks, err)
	}
}
