package pgstore_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/pgstore"
)

const killConnections = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database() AND pid IN (SELECT pid FROM pg_stat_activity WHERE state = 'active' ORDER BY random() LIMIT 1)`

// limitSystem is a database with rows and a limit, and 64 connections.
func limitSystem(t *testing.T, l queue.Limit, rows int, key func(i int) string) (*pgstore.Store, string) {
	config := pgstore.Config{URL: testdb.Postgres(t), MaxConns: 64}
	s := migrated(t, config)
	if _, err := s.SetLimit(t.Context(), l.Change()); err != nil {
		t.Fatal(err)
	}
	batch := make([]*queue.NewRow, rows)
	for i := range batch {
		batch[i] = &queue.NewRow{Row: &queue.Row{ID: uuid.Must(uuid.NewV7()), Task: "t", Queue: "q", Backend: "b", Args: json.RawMessage(`{}`), MaxAttempts: 100, LimitKey: key(i)}, FreshID: true}
	}
	if err := s.Insert(t.Context(), batch...); err != nil {
		t.Fatal(err)
	}
	return s, config.URL
}

// drainUnderFire runs all rows from 64 goroutines. Some claims are never finished, and
// their leases have expired at once; connections are killed meanwhile. began and ended
// are called with what holds a live lease.
func drainUnderFire(t *testing.T, s *pgstore.Store, url string, rows int, began, ended func(*queue.Row)) {
	var done atomic.Int64
	var workers sync.WaitGroup
	stop := make(chan struct{})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var killer sync.WaitGroup
	killer.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(300 * time.Millisecond):
				testdb.Exec(t, url, killConnections)
				// As the executor does: a lease that has expired, and that no row waits for,
				// is nothing that a pull finds.
				if _, err := s.Promote(ctx, 1000); err != nil && !errors.Is(err, queue.ErrUnavailable) {
					t.Errorf("Promote: %v", err)
				}
			}
		}
	})
	for range 64 {
		workers.Go(func() {
			var held []*queue.Row // until the next pull, so that the limits are reached
			for done.Load() < int64(rows) && ctx.Err() == nil && !t.Failed() {
				claimed := pullUnderFire(ctx, t, s)
				for _, row := range claimed {
					began(row)
				}
				for _, row := range held {
					ended(row)
					finishUnderFire(ctx, t, s, row)
					done.Add(1)
				}
				held = claimed
			}
		})
	}
	workers.Wait()
	close(stop)
	killer.Wait()
	if done.Load() != int64(rows) {
		t.Errorf("%d of %d rows have run; tasks: %v; slots: %v", done.Load(), rows, counts(t, url, leftRows), counts(t, url, takenSlots))
	}
}

// pullUnderFire claims up to three rows.
func pullUnderFire(ctx context.Context, t *testing.T, s *pgstore.Store) []*queue.Row {
	req := queue.ClaimNextRequest{Tasks: []string{"t"}, Limit: 1 + rand.N(3), Worker: "w", Lease: time.Minute, Fence: queue.NewClaimID()}
	lost := rand.N(10) == 0
	if lost {
		req.Lease = -time.Second
	}
	claimed, _, err := s.ClaimLimited(ctx, req)
	switch {
	case errors.Is(err, queue.ErrUnavailable):
		undoClaims(ctx, t, s, req.Fence)
		return nil
	case err != nil && ctx.Err() == nil:
		t.Errorf("ClaimLimited: %v", err)
	case lost:
		return nil
	}
	return claimed
}

func finishUnderFire(ctx context.Context, t *testing.T, s *pgstore.Store, row *queue.Row) {
	for ctx.Err() == nil {
		_, err := s.Finish(ctx, row.Claim(), queue.Finish{Status: queue.StatusSuccessful})
		if errors.Is(err, queue.ErrUnavailable) {
			continue
		}
		if err != nil {
			t.Errorf("Finish: %v", err)
		}
		return
	}
}

// What leftRows and takenSlots count, for a run that does not end.
const (
	leftRows   = `SELECT concat_ws(' ', status, 'hold', hold, 'expired', lease_expires_at <= now(), 'admitted for', dispatch_due_at - now()), count(*) FROM claimcheck_tasks WHERE status IN ('READY', 'RUNNING') GROUP BY 1`
	takenSlots = `SELECT concat_ws(' ', part, t.status, 'hold', t.hold, 'of the claim', t.claim_id = s.claim_id), count(*) FROM claimcheck_slots AS s LEFT JOIN claimcheck_tasks AS t ON t.id = s.task_id GROUP BY 1`
)

func counts(t *testing.T, url, query string) map[string]int64 {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	all := make(map[string]int64)
	var what string
	var n int64
	result, err := conn.Query(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pgx.ForEachRow(result, []any{&what, &n}, func() error { all[what] = n; return nil }); err != nil {
		t.Fatal(err)
	}
	return all
}

// undoClaims releases what a pull has claimed whose answer was lost.
func undoClaims(ctx context.Context, t *testing.T, s *pgstore.Store, fence uuid.UUID) {
	for ctx.Err() == nil {
		claims, err := s.Claimed(ctx, fence)
		if err == nil && len(claims) > 0 {
			err = s.Unclaim(ctx, claims...)
		}
		if err == nil {
			return
		}
		if !errors.Is(err, queue.ErrUnavailable) {
			t.Errorf("Unclaim: %v", err)
			return
		}
	}
}

func TestALimitHoldsUnderContention(t *testing.T) {
	t.Run("of 50", func(t *testing.T) { holdUnderContention(t, 50, 1500) })
	t.Run("of 8", func(t *testing.T) { holdUnderContention(t, 8, 500) })
}

func holdUnderContention(t *testing.T, limit int64, rows int) {
	s, url := limitSystem(t, queue.Limit{Kind: queue.LimitQueue, Name: "q", Running: int(limit)}, rows, func(int) string { return "" })
	var running, greatest atomic.Int64
	drainUnderFire(t, s, url, rows, func(*queue.Row) {
		n := running.Add(1)
		if n > limit {
			t.Errorf("%d run", n)
		}
		if n > greatest.Load() {
			greatest.Store(n)
		}
	}, func(*queue.Row) { running.Add(-1) })
	if greatest.Load() < limit*3/4 {
		t.Errorf("at most %d of %d have run at once", greatest.Load(), limit)
	}
}

func TestLimitsOfAThousandKeysHold(t *testing.T) {
	const keys, rows = 1000, 2000
	s, url := limitSystem(t, queue.Limit{Kind: queue.LimitEach, Name: "t", Running: 1}, rows, func(i int) string { return fmt.Sprintf("k%03d", i%keys) })
	var running sync.Map
	drainUnderFire(t, s, url, rows, func(row *queue.Row) {
		if other, taken := running.LoadOrStore(row.LimitKey, row.ID); taken {
			t.Errorf("%s and %s of key %s run", other, row.ID, row.LimitKey)
		}
	}, func(row *queue.Row) { running.Delete(row.LimitKey) })
}
