package pgstore

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue"
)

// TestARenewedLeaseIsNotExpiredByAnEarlierRead changes the row between reading a row
// with an expired lease and failing it.
func TestARenewedLeaseIsNotExpiredByAnEarlierRead(t *testing.T) {
	s, err := Open(t.Context(), Config{URL: testdb.Postgres(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	if _, err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, meanwhile := range map[string]func(queue.Claim) error{
		"nothing": func(queue.Claim) error { return nil },
		"a heartbeat": func(c queue.Claim) error {
			_, _, err := s.Heartbeat(t.Context(), time.Minute, c)
			return err
		},
		"its finish": func(c queue.Claim) error {
			_, err := s.Finish(t.Context(), c, queue.Finish{Status: queue.StatusSuccessful})
			return err
		},
		"its release, and another claim": func(c queue.Claim) error {
			if err := s.Release(t.Context(), c); err != nil {
				return err
			}
			_, err := s.Claim(t.Context(), c.ID, expiredClaim())
			return err
		},
	} {
		row := &queue.NewRow{Row: &queue.Row{ID: uuid.Must(uuid.NewV7()), Task: "t", Args: json.RawMessage(`1`), MaxAttempts: 1}}
		if err := s.Insert(t.Context(), row); err != nil {
			t.Fatal(err)
		}
		read, err := s.Claim(t.Context(), row.ID, expiredClaim())
		if err != nil {
			t.Fatal(err)
		}
		if err := meanwhile(read.Claim()); err != nil {
			t.Fatal(err)
		}
		var failed bool
		err = s.on(t.Context(), "test", func(conn *pgx.Conn) (err error) {
			failed, err = loseWorker(t.Context(), conn, read, time.Now())
			return err
		})
		if err != nil || failed != (name == "nothing") {
			t.Errorf("meanwhile %s: failed %v, %v", name, failed, err)
		}
	}
}

func expiredClaim() queue.ClaimRequest {
	return queue.ClaimRequest{Tasks: []string{"t"}, Worker: "w", Lease: -time.Second, ClaimID: uuid.New()}
}
