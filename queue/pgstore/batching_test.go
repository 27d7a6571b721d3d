package pgstore

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/internal/storekit"
)

func TestOnlyErrorsOfTheDatabaseAffectAWholeBatch(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want bool
	}{
		"a bad row":     {errors.New("bad row"), false},
		"a deadlock":    {storekit.Outage("", queue.ErrContended, &pgconn.PgError{Code: "40P01"}), false},
		"unavailable":   {storekit.Outage("down", queue.ErrUnavailable, nil), true},
		"closed":        {queue.ErrClosed, true},
		"no tables":     {queue.ErrSchema, true},
		"no answer":     {context.DeadlineExceeded, false},
		"a large value": {queue.ErrTooLarge, false},
	} {
		if got := affectsAll(c.err); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// A claim whose extras could not be read has been made: it is neither repeated nor
// reported as one without effect.
func TestAnErrorAfterAClaimDoesNotSayThatNothingWasClaimed(t *testing.T) {
	s, _ := backlogOf(t, 1)
	for name, cause := range map[string]error{
		"contended":    &pgconn.PgError{Code: pgerrcode.QueryCanceled},
		"a stale plan": &pgconn.PgError{Code: pgerrcode.FeatureNotSupported, Message: "cached plan must not change result type"},
	} {
		calls := 0
		err := s.on(t.Context(), "claim task", func(*pgx.Conn) error {
			calls++
			return &claimedError{cause}
		})
		if calls != 1 || errors.Is(err, queue.ErrNoEffect) || !mayHaveClaimed(err) || !errors.Is(err, cause) {
			t.Errorf("%s: %d calls, %v", name, calls, err)
		}
	}
}

func TestAFinishIsAsLargeAsItsErrors(t *testing.T) {
	f := finishOf{Finish: queue.Finish{Status: queue.StatusFailed, Errors: make([]queue.AttemptError, queue.MaxErrors)}}
	for i, text := range []string{"", strings.Repeat("x", 4096)} {
		for j := range f.Errors {
			f.Errors[j] = queue.AttemptError{Message: text, Traceback: text, ExceptionClassPath: text, WorkerID: text, At: time.Now(), StartedAt: time.Now()}
		}
		encoded, err := errorsValue(f.Errors)
		if err != nil {
			t.Fatal(err)
		}
		if size, want := finishSize(f), len(encoded.list.String); size < want*9/10 || size > want*5/4 {
			t.Errorf("%d: %d bytes count as %d", i, want, size)
		}
	}
	if size := finishSize(finishOf{Finish: queue.Finish{ReturnValue: []byte(`"four"`)}}); size != 6 {
		t.Errorf("a value of 6 bytes counts as %d", size)
	}
}

// Two ends of one claim arrive in one batch. The row gets the first of them; the other
// one is refused as it would be later.
func TestABatchEndsAClaimOnce(t *testing.T) {
	s, _ := backlogOf(t, 1)
	rows, err := s.ClaimNext(t.Context(), queue.ClaimNextRequest{Tasks: []string{"known"}, Limit: 1, Worker: "w", Lease: time.Minute})
	if err != nil || len(rows) != 1 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	claim := rows[0].Claim()
	ends := []finishOf{
		{claim, queue.Finish{Status: queue.StatusSuccessful}},
		{claim, queue.Finish{Status: queue.StatusFailed}},
		{claim, queue.Finish{Status: queue.StatusSuccessful}},
	}
	answers, err := s.finishMany(t.Context(), ends)
	if err != nil || !answers[0].Served || answers[1].Served || answers[2].Served {
		t.Fatalf("%+v, %v", answers, err)
	}
	if row, err := s.Get(t.Context(), claim.ID); err != nil || row.Status != queue.StatusSuccessful {
		t.Errorf("%+v, %v", row, err)
	}
	if _, err := s.finishOne(t.Context(), ends[1]); !errors.Is(err, queue.ErrLeaseLost) {
		t.Errorf("another end: %v", err)
	}
	if at, err := s.finishOne(t.Context(), ends[2]); err != nil || !at.Equal(answers[0].Answer) {
		t.Errorf("the same end again: %s, %v; want %s", at, err, answers[0].Answer)
	}
}
