package pgstore

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue"
)

// BenchmarkClaimAndFinish500 is the client's and the database's part of a drain, for a
// batch of 500 rows. Inserting them is not measured.
func BenchmarkClaimAndFinish500(b *testing.B) {
	s, err := Open(b.Context(), Config{URL: testdb.Postgres(b), Migrate: true})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	const size = 500
	b.ReportAllocs()
	for range b.N {
		b.StopTimer()
		rows := make([]*queue.NewRow, size)
		for i := range rows {
			rows[i] = &queue.NewRow{Row: &queue.Row{ID: uuid.Must(uuid.NewV7()), Task: "t", Args: json.RawMessage(`{"order_id":4711}`), MaxAttempts: 10}, FreshID: true}
		}
		if err := s.Insert(b.Context(), rows...); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		claimed, err := s.ClaimNext(b.Context(), queue.ClaimNextRequest{Tasks: []string{"t"}, Limit: size, Worker: "w", Lease: time.Minute})
		if err != nil || len(claimed) != size {
			b.Fatalf("%d rows, %v", len(claimed), err)
		}
		finishes := make([]finishOf, size)
		for i, row := range claimed {
			finishes[i] = finishOf{row.Claim(), queue.Finish{Status: queue.StatusSuccessful, ReturnValue: json.RawMessage(`null`)}}
		}
		if _, err := s.finishMany(b.Context(), finishes); err != nil {
			b.Fatal(err)
		}
	}
}
