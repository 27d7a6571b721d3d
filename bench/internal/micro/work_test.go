package micro

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// endless is a store in which tasks never run out: a worker's claims are answered
// at once, as all else.
type endless struct {
	instant
	args json.RawMessage
}

// ClaimNext returns as many new rows as it may.
func (s endless) ClaimNext(_ context.Context, req queue.ClaimNextRequest) ([]*queue.Row, error) {
	rows, claimed := make([]queue.Row, req.Limit), make([]*queue.Row, req.Limit)
	now, workers := time.Now(), []string{req.Worker}
	for i := range rows {
		id := uuid.New()
		rows[i] = queue.Row{
			ID: id, Status: queue.StatusRunning, Task: taskName, Queue: "default", Backend: "default", Args: s.args,
			Attempts: 1, MaxAttempts: 10, EnqueuedAt: now, StartedAt: now, LastAttemptedAt: now,
			WorkerIDs: workers, ClaimID: queue.PullClaimID(req.Fence, id), LeaseExpiresAt: now.Add(req.Lease),
		}
		claimed[i] = &rows[i]
	}
	return claimed, nil
}

// Promote reports that there is more.
func (endless) Promote(context.Context, int) (queue.PromoteResult, error) {
	return queue.PromoteResult{Claimable: true}, nil
}

// Heartbeat renews everything.
func (endless) Heartbeat(_ context.Context, _ time.Duration, claims ...queue.Claim) (renewed, lost []queue.Claim, err error) {
	return claims, nil, nil
}

// distant is endless behind a database that takes its time: a claim, and the one
// statement that stores all ends which wait for it.
type distant struct {
	endless
	claim, finish time.Duration

	mu   sync.Mutex
	next chan struct{} // is closed when the statement that collects ends has ended
	busy sync.Mutex    // one statement at a time
}

// ClaimNext takes its time.
func (s *distant) ClaimNext(ctx context.Context, req queue.ClaimNextRequest) ([]*queue.Row, error) {
	time.Sleep(s.claim)
	return s.endless.ClaimNext(ctx, req)
}

// Finish returns when the statement that it is a part of has ended.
func (s *distant) Finish(context.Context, queue.Claim, queue.Finish) (time.Time, error) {
	s.mu.Lock()
	done := s.next
	if done == nil {
		done = make(chan struct{})
		s.next = done
		go s.store(done)
	}
	s.mu.Unlock()
	<-done
	return time.Now(), nil
}

// store is the statement of all who come before the one under way has ended.
func (s *distant) store(done chan struct{}) {
	s.busy.Lock()
	s.mu.Lock()
	s.next = nil
	s.mu.Unlock()
	time.Sleep(s.finish)
	s.busy.Unlock()
	close(done)
}

// basket is an argument whose decoding recurses deeper than a goroutine's first
// stack reaches.
type basket struct {
	Order    order             `json:"order"`
	Lines    []line            `json:"lines"`
	Labels   map[string]string `json:"labels"`
	Previous *basket           `json:"previous"`
}

type line struct {
	SKU      string   `json:"sku"`
	Quantity int      `json:"quantity"`
	Price    price    `json:"price"`
	Options  []option `json:"options"`
}

type price struct {
	Amount   float64 `json:"amount"`
	Currency string  `json:"currency"`
}

type option struct {
	Name   string   `json:"name"`
	Values []string `json:"values"`
}

func newBasket(depth int) *basket {
	if depth == 0 {
		return nil
	}
	return &basket{
		Order: sample, Labels: map[string]string{"channel": "web", "country": "de"}, Previous: newBasket(depth - 1),
		Lines: []line{{"A-1", 2, price{19.9, "EUR"}, []option{{"size", []string{"M"}}, {"colour", []string{"red", "blue"}}}}},
	}
}

// drain measures one task of a worker with 100 slots: its claim with many others,
// the run, and its finish.
func drain[A any](b *testing.B, store queue.Store) {
	b.Helper()
	task := queue.NewTask(taskName, func(context.Context, A) (any, error) { return nil, nil })
	client, err := queue.NewClient(queue.Config{
		Store: store, Registry: queue.NewRegistry(task),
		Logger: slog.New(slog.NewTextHandler(b.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		b.Fatal(err)
	}
	executor, err := queue.NewExecutor(client, queue.ExecutorConfig{Concurrency: 100})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	before := usedCPU(b)
	worked, err := executor.Work(b.Context(), queue.WorkConfig{MaxTasks: b.N})
	if err != nil || worked.Runs != b.N || worked.Failed > 0 {
		b.Fatal(worked, err)
	}
	b.ReportMetric(float64(usedCPU(b)-before)/float64(b.N), "cpu-ns/op")
}

// usedCPU is the CPU time of this process.
func usedCPU(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// BenchmarkWork is a task on a worker that drains, on a store that costs nothing:
// the executor's own cost. In nested the arguments are, and goroutines with small
// stacks have to grow them.
func BenchmarkWork(b *testing.B) {
	nested, err := json.Marshal(newBasket(4))
	if err != nil {
		b.Fatal(err)
	}
	b.Run("order", func(b *testing.B) { drain[order](b, endless{args: args}) })
	b.Run("nested", func(b *testing.B) { drain[basket](b, endless{args: nested}) })
}

// BenchmarkWorkDistant is the same with statements that take their time, as those
// of a database do. It shows how full the worker keeps the pipe: nothing but waiting
// for claims and finishes takes long.
func BenchmarkWorkDistant(b *testing.B) {
	drain[order](b, &distant{endless: endless{args: args}, claim: 8 * time.Millisecond, finish: 2 * time.Millisecond})
}
