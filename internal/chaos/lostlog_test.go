package chaos

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/pgstore"
)

// crashed is a process whose functions are running when the database crashes.
type crashed struct {
	*testing.T
	client   *queue.Client
	executor *queue.Executor
	began    chan uuid.UUID // receives each run's task
	recover  chan struct{}  // closed after the crash; first runs wait for it

	mu   sync.Mutex
	runs map[uuid.UUID]int
}

// Two tasks: one may run at most once, the other again. They return the number of the run.
const onceName, againName = "crash.once", "crash.again"

func (c *crashed) run(ctx context.Context, _ any) (int, error) {
	info, _ := queue.InfoFrom(ctx)
	c.mu.Lock()
	c.runs[info.ID]++
	n := c.runs[info.ID]
	c.mu.Unlock()
	c.began <- info.ID
	if n == 1 {
		<-c.recover // whatever its context says
	}
	return n, nil
}

func newCrashed(t *testing.T, url string) *crashed {
	t.Helper()
	store, err := pgstore.Open(t.Context(), pgstore.Config{URL: url, Migrate: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	c := &crashed{T: t, began: make(chan uuid.UUID, 100), recover: make(chan struct{}), runs: make(map[uuid.UUID]int)}
	registry := queue.NewRegistry(queue.NewTask(onceName, c.run, queue.MaxAttempts(1)), queue.NewTask(againName, c.run, queue.MaxAttempts(3)))
	c.client, err = queue.NewClient(queue.Config{Store: store, Registry: registry, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	c.executor, err = queue.NewExecutor(c.client, queue.ExecutorConfig{Concurrency: 30})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// enqueue stores tasks in a queue of their own.
func (c *crashed) enqueue(ctx context.Context, name string) (ids []uuid.UUID) {
	c.Helper()
	requests := make([]queue.Request, 6)
	for i := range requests {
		requests[i] = queue.Request{Task: name, Options: []queue.Option{queue.OnQueue(name)}}
	}
	handles, err := c.client.EnqueueMany(ctx, requests...)
	if err != nil {
		c.Fatal(err)
	}
	for _, h := range handles {
		ids = append(ids, h.ID)
	}
	return ids
}

// awaitBegin waits until n tasks have begun.
func (c *crashed) awaitBegin(ctx context.Context, n int) {
	c.Helper()
	for range n {
		select {
		case <-c.began:
		case <-ctx.Done():
			c.Fatal(ctx.Err())
		}
	}
}

// The database crashes between claims and the ends of their tasks, and loses what was
// not on the disk. Tasks whose claims are lost run again, and end once; those on their
// last attempt do not run twice.
func TestADatabaseCrashUndoesClaimsButNoLastAttempt(t *testing.T) {
	for _, delivered := range []bool{false, true} {
		t.Run(map[bool]string{false: "pulled", true: "delivered"}[delivered], func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			server := testdb.StartPostgres(t, "-c", "wal_level=minimal", "-c", "max_wal_senders=0", "-c", "autovacuum=off", "-c", "bgwriter_lru_maxpages=0")
			c := newCrashed(t, server.URL("postgres"))
			working, stop := context.WithCancel(ctx)
			var others sync.WaitGroup
			run := func(queueName string, ids []uuid.UUID) {
				if !delivered {
					others.Go(func() {
						_, _ = c.executor.Work(working, queue.WorkConfig{From: queue.From{Queues: []string{queueName}}, Continuous: true, Interval: 50 * time.Millisecond})
					})
				} else {
					for _, id := range ids {
						others.Go(func() { deliver(ctx, c.executor, id) })
					}
				}
				c.awaitBegin(ctx, len(ids))
			}
			once, again := c.enqueue(ctx, onceName), c.enqueue(ctx, againName)
			server.HoldLog(t)
			run(onceName, once) // claims of the others follow in the log
			run(againName, again)
			server.LoseLog(t)
			close(c.recover)

			for _, id := range once {
				c.ended(ctx, id, 1)
			}
			for _, id := range again {
				c.ended(ctx, id, 2)
			}
			stop()
			others.Wait()
			if err := c.executor.Shutdown(ctx, 10*time.Second); err != nil {
				t.Error(err)
			}
		})
	}
}

// A claim of a task with a limit survives the crash: otherwise others would start beside
// those that run.
func TestADatabaseCrashUndoesNoClaimOfALimitedTask(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	server := testdb.StartPostgres(t, "-c", "wal_level=minimal", "-c", "max_wal_senders=0", "-c", "autovacuum=off", "-c", "bgwriter_lru_maxpages=0")
	c := newCrashed(t, server.URL("postgres"))
	if _, err := c.client.SetLimit(ctx, queue.Limit{Kind: queue.LimitQueue, Name: againName, Running: 2}, "test"); err != nil {
		t.Fatal(err)
	}
	ids := c.enqueue(ctx, againName)
	server.HoldLog(t)
	var deliveries sync.WaitGroup
	for _, id := range ids[:2] {
		deliveries.Go(func() { deliver(ctx, c.executor, id) })
	}
	c.awaitBegin(ctx, 2)
	server.LoseLog(t)
	for _, id := range ids {
		c.refused(ctx, id)
	}
	close(c.recover)
	for _, id := range ids[2:] {
		deliveries.Go(func() { deliver(ctx, c.executor, id) })
	}
	for _, id := range ids {
		c.ended(ctx, id, 1)
	}
	deliveries.Wait()
	if err := c.executor.Shutdown(ctx, 10*time.Second); err != nil {
		t.Error(err)
	}
}

// refused checks that a delivery begins no run while the first ones run.
func (c *crashed) refused(ctx context.Context, id uuid.UUID) {
	c.Helper()
	answers := make(chan error, 1)
	go func() {
		_, err := c.executor.RunByID(ctx, id, queue.RunOptions{})
		for errors.Is(err, queue.ErrUnavailable) && ctx.Err() == nil { // by a connection from before the crash
			_, err = c.executor.RunByID(ctx, id, queue.RunOptions{})
		}
		answers <- err
	}()
	select {
	case err := <-answers:
		if !errors.Is(err, queue.ErrLimited) && !errors.Is(err, queue.ErrLeased) {
			c.Fatalf("a delivery beside those that run: %v", err)
		}
	case <-c.began:
		c.Fatal("a third task has begun")
	}
}

// ended checks that a task has ended with its run of that number, which counts as its
// first attempt, and has not run after it.
func (c *crashed) ended(ctx context.Context, id uuid.UUID, run int) {
	c.Helper()
	row, err := c.client.Wait(ctx, id)
	for errors.Is(err, queue.ErrUnavailable) && ctx.Err() == nil { // by a connection from before the crash
		row, err = c.client.Wait(ctx, id)
	}
	if err != nil {
		c.Fatal(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if row.Status != queue.StatusSuccessful || row.Attempts != 1 || string(row.ReturnValue) != string(rune('0'+run)) || c.runs[id] != run {
		c.Errorf("%s after %d attempts and %d runs, with the result %s; want that of run %d: %s", row.Status, row.Attempts, c.runs[id], row.ReturnValue, run, row.ErrorText)
	}
}
