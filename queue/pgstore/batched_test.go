package pgstore_test

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/pgstore"
)

// batchingStore is a store on which every call is a part of a batched statement.
func batchingStore(t *testing.T) (*pgstore.Store, pgstore.Config) {
	config := pgstore.Config{URL: testdb.Postgres(t)}
	s := migrated(t, config)
	s.Single(false)
	return s, config
}

// concurrently calls do for each number below n at the same time. The first of them
// has a statement to itself, as a rule, and the rest the next one.
func concurrently(n int, do func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { do(i) })
	}
	wg.Wait()
}

func stored(t *testing.T, s *pgstore.Store, n int) []*queue.NewRow {
	t.Helper()
	rows := make([]*queue.NewRow, n)
	for i := range rows {
		rows[i] = &queue.NewRow{FreshID: true, Row: &queue.Row{
			ID: uuid.Must(uuid.NewV7()), Task: "t", Queue: "q", Backend: "b", Args: json.RawMessage(`1`), MaxAttempts: 3,
		}}
	}
	if err := s.Insert(t.Context(), rows...); err != nil {
		t.Fatal(err)
	}
	return rows
}

func claimBy(id uuid.UUID) queue.ClaimRequest {
	return queue.ClaimRequest{Tasks: []string{"t"}, Worker: "w", Lease: time.Minute, ClaimID: id}
}

func TestABadRowFailsAlone(t *testing.T) {
	s, _ := batchingStore(t)
	errs := make([]error, 60)
	concurrently(len(errs), func(i int) {
		row := &queue.NewRow{FreshID: true, Row: &queue.Row{ID: uuid.Must(uuid.NewV7()), Task: "t", Args: json.RawMessage(`1`), MaxAttempts: 1}}
		if i%20 == 7 {
			row.Args = json.RawMessage(`{`)
		}
		errs[i] = s.Insert(t.Context(), row)
	})
	for i, err := range errs {
		if (err != nil) != (i%20 == 7) {
			t.Errorf("caller %d: %v", i, err)
		}
	}
}

// Two deliveries of one ID arrive at once, and a zombie finishes at the same time as
// the claim that took its row.
func TestRivalsInOneStatement(t *testing.T) {
	s, _ := batchingStore(t)
	for range 20 {
		row := stored(t, s, 1)[0]
		claims := []uuid.UUID{uuid.New(), uuid.New(), uuid.New()}
		won := make([]bool, len(claims))
		concurrently(len(claims), func(i int) {
			_, err := s.Claim(t.Context(), row.ID, claimBy(claims[i]))
			var refused *queue.NotClaimedError
			if won[i] = err == nil; err != nil && (!errors.As(err, &refused) || refused.Reason != queue.ErrLeased) {
				t.Errorf("a second delivery: %v", err)
			}
		})
		winners := 0
		for i, fence := range claims {
			if won[i] {
				winners++
				if now, err := s.Get(t.Context(), row.ID); err != nil || now.ClaimID != fence || now.Attempts != 1 {
					t.Errorf("the row of the winner: %+v, %v", now, err)
				}
			}
		}
		if winners != 1 {
			t.Fatalf("%d claims on one row", winners)
		}
		concurrently(len(claims), func(i int) {
			_, err := s.Finish(t.Context(), queue.Claim{ID: row.ID, ClaimID: claims[i]}, queue.Finish{Status: queue.StatusSuccessful})
			if won[i] && err != nil || !won[i] && !errors.Is(err, queue.ErrLeaseLost) {
				t.Errorf("claim %d (holds: %v): %v", i, won[i], err)
			}
		})
	}
}

func TestAnotherEndIsNotTheSameFinishRepeated(t *testing.T) {
	for name, single := range map[string]bool{"a statement of its own": true, "a batched statement": false} {
		t.Run(name, func(t *testing.T) {
			s, config := batchingStore(t)
			s.Single(single)
			row, fence := stored(t, s, 1)[0], uuid.New()
			if _, err := s.Claim(t.Context(), row.ID, claimBy(fence)); err != nil {
				t.Fatal(err)
			}
			conn, err := pgx.Connect(t.Context(), config.URL)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
			tx, err := conn.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			claim := queue.Claim{ID: row.ID, ClaimID: fence}
			ended, err := s.FinishTx(t.Context(), pgstore.Tx(tx), claim, queue.Finish{Status: queue.StatusSuccessful})
			if err != nil {
				t.Fatal(err)
			}
			if err := tx.Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
			for _, status := range []queue.Status{queue.StatusFailed, queue.StatusCancelled} {
				if _, err := s.Finish(t.Context(), claim, queue.Finish{Status: status}); !errors.Is(err, queue.ErrLeaseLost) {
					t.Errorf("%s: %v", status, err)
				}
			}
			if at, err := s.Finish(t.Context(), claim, queue.Finish{Status: queue.StatusSuccessful}); err != nil || !at.Equal(ended) {
				t.Errorf("the same again: ended at %s and %s, %v", ended, at, err)
			}
		})
	}
}

// ends are the two ways to end a claim.
func ends(s *pgstore.Store) map[string]func(context.Context, queue.Claim, queue.Finish) (time.Time, error) {
	type end struct {
		at  time.Time
		err error
	}
	return map[string]func(context.Context, queue.Claim, queue.Finish) (time.Time, error){
		"Finish": s.Finish,
		"FinishAsync": func(_ context.Context, claim queue.Claim, f queue.Finish) (time.Time, error) {
			ended := make(chan end, 2)
			s.FinishAsync(claim, f, func(at time.Time, err error) { ended <- end{at, err} })
			e := <-ended
			return e.at, e.err
		},
	}
}

func TestFinishAsyncAnswersAsFinishDoes(t *testing.T) {
	s, _ := batchingStore(t)
	row, fence := stored(t, s, 1)[0], uuid.New()
	if _, err := s.Claim(t.Context(), row.ID, claimBy(fence)); err != nil {
		t.Fatal(err)
	}
	end, claim := ends(s)["FinishAsync"], queue.Claim{ID: row.ID, ClaimID: fence}
	at, err := end(t.Context(), claim, queue.Finish{Status: queue.StatusSuccessful})
	if now, getErr := s.Get(t.Context(), row.ID); err != nil || getErr != nil || now.Status != queue.StatusSuccessful || !now.FinishedAt.Equal(at) {
		t.Errorf("ended at %s, %v; row %+v, %v", at, err, now, getErr)
	}
	if again, err := end(t.Context(), claim, queue.Finish{Status: queue.StatusSuccessful}); err != nil || !again.Equal(at) {
		t.Errorf("the same again: %s, %v; want %s", again, err, at)
	}
	if _, err := end(t.Context(), claim, queue.Finish{Status: queue.StatusFailed}); !errors.Is(err, queue.ErrLeaseLost) {
		t.Errorf("another end: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := end(t.Context(), claim, queue.Finish{Status: queue.StatusSuccessful}); !errors.Is(err, queue.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// Another transaction has locked one row.
func TestALockedRowDelaysNoOtherCaller(t *testing.T) {
	for _, name := range []string{"Finish", "FinishAsync"} {
		t.Run(name, func(t *testing.T) { lockedRowDelaysNoOther(t, name) })
	}
}

func lockedRowDelaysNoOther(t *testing.T, end string) {
	s, config := batchingStore(t)
	rows := stored(t, s, 20)
	conn, err := pgx.Connect(t.Context(), config.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	lock := func(do func()) {
		tx, err := conn.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(t.Context(), `SELECT FROM claimcheck_tasks WHERE id = $1 FOR UPDATE`, rows[7].ID); err != nil {
			t.Fatal(err)
		}
		do()
		if err := tx.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	// each does its part for all rows but the locked one, before it is unlocked.
	each := func(do func(row *queue.NewRow) error) {
		var last sync.WaitGroup
		lock(func() {
			var others sync.WaitGroup
			for i, row := range rows {
				wg := &others
				if i == 7 {
					wg = &last
				}
				wg.Go(func() {
					if err := do(row); err != nil {
						t.Errorf("row %d: %v", i, err)
					}
				})
			}
			others.Wait()
		})
		last.Wait()
	}
	fence := uuid.New()
	each(func(row *queue.NewRow) error {
		_, err := s.Claim(t.Context(), row.ID, claimBy(fence))
		return err
	})
	each(func(row *queue.NewRow) error {
		_, err := ends(s)[end](t.Context(), queue.Claim{ID: row.ID, ClaimID: fence}, queue.Finish{Status: queue.StatusSuccessful, ReturnValue: json.RawMessage(`2`)})
		return err
	})
	for _, row := range rows {
		if now, err := s.Get(t.Context(), row.ID); err != nil || now.Status != queue.StatusSuccessful || string(now.ReturnValue) != "2" {
			t.Errorf("%+v, %v", now, err)
		}
	}
}

// The caller of a claim leaves while the statement is running.
func TestTheClaimOfACallerThatHasLeftIsUnclaimed(t *testing.T) {
	s, config := batchingStore(t)
	row := stored(t, s, 1)[0]
	conn, err := pgx.Connect(t.Context(), config.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `LOCK TABLE claimcheck_tasks`); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	answer := make(chan error)
	go func() {
		_, err := s.Claim(ctx, row.ID, claimBy(uuid.New()))
		answer <- err
	}()
	untilOneWaits(t, tx)
	cancel()
	if err := <-answer; !errors.Is(err, context.Canceled) {
		t.Errorf("the caller got %v", err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	for now := row.Row; now.Status != queue.StatusReady || len(now.WorkerIDs) != 0; {
		if now, err = s.Get(t.Context(), row.ID); err != nil {
			t.Fatal(err)
		}
	}
}

// untilOneWaits returns when a connection waits for a lock.
func untilOneWaits(t *testing.T, tx pgx.Tx) {
	t.Helper()
	for waiting := 0; waiting == 0; {
		if err := tx.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()`).Scan(&waiting); err != nil {
			t.Fatal(err)
		}
	}
}
