package pgstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue"
)

// BenchmarkLimits runs tasks on 64 connections: one operation is a task, with its claim,
// its end and, where rows are dispatched, what lets the next one start. trips/op are
// round trips.
func BenchmarkLimits(b *testing.B) {
	server := testdb.StartPostgres(b, "-c", "fsync=on")
	url := server.URL("postgres")
	queueOf50 := queue.Limit{Kind: queue.LimitQueue, Name: "q", Running: 50}
	each := queue.Limit{Kind: queue.LimitEach, Name: "t", Running: 1}
	one := func(int) string { return "" }
	key := func(i int) string { return fmt.Sprintf("k%03d", i%1000) }
	b.Run("deliver/no limit", func(b *testing.B) { newLimitBench(b, url, queue.Limit{}, one).deliver(b) })
	b.Run("deliver/a queue of 50", func(b *testing.B) { newLimitBench(b, url, queueOf50, one).deliver(b) })
	b.Run("deliver/1000 keys of 1", func(b *testing.B) { newLimitBench(b, url, each, key).deliver(b) })
	b.Run("pull 1/no limit", func(b *testing.B) { newLimitBench(b, url, queue.Limit{}, one).pull(b, 1) })
	b.Run("pull 1/a queue of 50", func(b *testing.B) { newLimitBench(b, url, queueOf50, one).pull(b, 1) })
	b.Run("pull 1/1000 keys of 1", func(b *testing.B) { newLimitBench(b, url, each, key).pull(b, 1) })
	b.Run("pull 10/1000 keys of 1", func(b *testing.B) { newLimitBench(b, url, each, key).pull(b, 10) })
}

const benchConns = 64

type limitBench struct {
	s       *Store
	limited bool
	ids     []uuid.UUID
	trips   atomic.Int64
	left    atomic.Int64
}

type countedConn struct {
	net.Conn
	trips *atomic.Int64
}

func (c countedConn) Write(p []byte) (int, error) {
	c.trips.Add(1)
	return c.Conn.Write(p)
}

func newLimitBench(b *testing.B, url string, l queue.Limit, key func(int) string) *limitBench {
	lb := &limitBench{limited: l.Set()}
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		return countedConn{conn, &lb.trips}, err
	}
	var err error
	lb.s, err = Open(b.Context(), Config{URL: url, Migrate: true, MaxConns: benchConns + 1, DialFunc: dial})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = lb.s.Close() })
	testdb.Exec(b, url, `TRUNCATE claimcheck_tasks, claimcheck_gates, claimcheck_slots`)
	if lb.limited {
		if _, err := lb.s.SetLimit(b.Context(), l.Change()); err != nil {
			b.Fatal(err)
		}
	}
	rows := make([]*queue.NewRow, b.N)
	for i := range rows {
		rows[i] = &queue.NewRow{FreshID: true, Row: &queue.Row{ID: uuid.Must(uuid.NewV7()), Task: "t", Queue: "q", Backend: "b", Args: json.RawMessage(`{}`), MaxAttempts: 10, LimitKey: key(i)}}
		lb.ids = append(lb.ids, rows[i].ID)
	}
	if err := lb.s.Insert(b.Context(), rows...); err != nil {
		b.Fatal(err)
	}
	lb.left.Store(int64(b.N))
	return lb
}

// measured runs work in 64 goroutines until no task is left.
func (lb *limitBench) measured(b *testing.B, work func()) {
	var group sync.WaitGroup
	trips := lb.trips.Load()
	b.ResetTimer()
	for range benchConns {
		group.Go(work)
	}
	group.Wait()
	b.StopTimer()
	b.ReportMetric(float64(lb.trips.Load()-trips)/float64(b.N), "trips/op")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tasks/s")
}

// deliver delivers each row, and those that the end of another lets start.
func (lb *limitBench) deliver(b *testing.B) {
	tickets := make(chan uuid.UUID, 4*b.N+benchConns)
	for _, id := range lb.ids {
		tickets <- id
	}
	admit := func(row *queue.Row) {
		rows, err := lb.s.Admit(b.Context(), queue.AdmitRequest{Backend: "b", Row: row, Limit: 2})
		if err != nil {
			b.Error(err)
		}
		for _, row := range rows {
			tickets <- row.ID
		}
	}
	lb.measured(b, func() {
		for id := range tickets {
			row, err := lb.s.Claim(b.Context(), id, queue.ClaimRequest{Tasks: []string{"t"}, Worker: "w", Lease: time.Minute, ClaimID: queue.NewClaimID()})
			if refused := (*queue.NotClaimedError)(nil); errors.Is(err, queue.ErrLimited) && errors.As(err, &refused) {
				admit(refused.Row)
				continue
			}
			if err != nil {
				if !errors.Is(err, queue.ErrFinal) && !errors.Is(err, queue.ErrLeased) {
					b.Error(err)
				}
				continue
			}
			if lb.finish(b, row); lb.limited {
				admit(row)
			}
			if lb.left.Add(-1) == 0 {
				close(tickets)
			}
		}
	})
}

func (lb *limitBench) pull(b *testing.B, limit int) {
	lb.measured(b, func() {
		for lb.left.Load() > 0 && !b.Failed() {
			req := queue.ClaimNextRequest{Tasks: []string{"t"}, Limit: limit, Worker: "w", Lease: time.Minute}
			var rows []*queue.Row
			var err error
			if lb.limited {
				rows, _, err = lb.s.ClaimLimited(b.Context(), req)
			} else {
				rows, err = lb.s.ClaimNext(b.Context(), req)
			}
			if err != nil {
				b.Error(err)
			}
			for _, row := range rows {
				lb.finish(b, row)
				lb.left.Add(-1)
			}
		}
	})
}

func (lb *limitBench) finish(b *testing.B, row *queue.Row) {
	if _, err := lb.s.Finish(b.Context(), row.Claim(), queue.Finish{Status: queue.StatusSuccessful}); err != nil {
		b.Error(err)
	}
}
