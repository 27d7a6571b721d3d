package pgstore

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue"
)

// BenchmarkFinishers finishes tasks with 64 goroutines, as deliveries do: those of no group, of one
// group, after each of which its process looks whether the group has ended, and of a group
// each. Inserting and claiming them is not measured.
func BenchmarkFinishers(b *testing.B) {
	const finishers, size = 64, 2048
	for _, groups := range []int{0, 1, size} {
		b.Run(fmt.Sprintf("groups=%d", groups), func(b *testing.B) {
			s, err := Open(b.Context(), Config{URL: testdb.Postgres(b), Migrate: true})
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = s.Close() }()
			var took time.Duration
			for range b.N {
				rows := make([]*queue.NewRow, size)
				for i := range rows {
					rows[i] = &queue.NewRow{Row: &queue.Row{ID: uuid.Must(uuid.NewV7()), Task: "t", Args: json.RawMessage(`{"order_id":4711}`), MaxAttempts: 10}, FreshID: true}
				}
				for g := range groups {
					group := &queue.Group{ID: uuid.New()}
					if err := s.CreateGroup(b.Context(), nil, group); err != nil {
						b.Fatal(err)
					}
					for i := g; i < size; i += groups {
						rows[i].Group = group.ID
					}
				}
				if err := s.Insert(b.Context(), rows...); err != nil {
					b.Fatal(err)
				}
				var claimed []*queue.Row
				for len(claimed) < size {
					some, err := s.ClaimNext(b.Context(), queue.ClaimNextRequest{Tasks: []string{"t"}, Limit: 512, Worker: "w", Lease: time.Hour})
					if err != nil || len(some) == 0 {
						b.Fatalf("%d rows, %v", len(some), err)
					}
					claimed = append(claimed, some...)
				}
				began := time.Now()
				finishAll(b, s, claimed, finishers)
				took += time.Since(began)
			}
			b.ReportMetric(float64(took.Microseconds())/float64(b.N*size), "us/task")
			b.ReportMetric(0, "ns/op") // of all that is not measured, too
		})
	}
}

// finishAll finishes claimed rows, and looks after each end whether its group has ended.
func finishAll(b *testing.B, s *Store, claimed []*queue.Row, finishers int) {
	b.Helper()
	next := make(chan *queue.Row, len(claimed))
	for _, row := range claimed {
		next <- row
	}
	close(next)
	var workers sync.WaitGroup
	for range finishers {
		workers.Go(func() {
			for row := range next {
				if _, err := s.Finish(b.Context(), row.Claim(), queue.Finish{Status: queue.StatusSuccessful, ReturnValue: json.RawMessage(`null`)}); err != nil {
					b.Error(err)
				}
				if row.Group == uuid.Nil {
					continue
				}
				if _, err := s.CompleteGroup(b.Context(), row.Group, func(*queue.NewRow) {}); err != nil {
					b.Error(err)
				}
			}
		})
	}
	workers.Wait()
}
