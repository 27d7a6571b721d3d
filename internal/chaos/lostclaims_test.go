package chaos

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/internal/chaos/ledger"
	"github.com/claimcheck-go/claimcheck/internal/chaos/tasks"
	"github.com/claimcheck-go/claimcheck/queue"
)

// The answers to claims are lost after the database has committed them. Tasks that
// have one attempt must run all the same, whether pulled or delivered.
func TestNoTaskIsLostWithTheAnswerToItsClaim(t *testing.T) {
	for name, open := range map[string]func(*testing.T, options) *site{"PostgreSQL": newPostgres, "MariaDB": newMariaDB} {
		t.Run(name, func(t *testing.T) {
			s := open(t, options{})
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			database, err := ledger.Open(ctx, s.url)
			if err != nil {
				t.Fatal(err)
			}
			defer database.Close()
			runner := &tasks.Runner{Worker: "w", Ledger: database}
			client, err := queue.NewClient(queue.Config{Store: database.Store, Registry: runner.Registry(), Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			executor, err := queue.NewExecutor(client, queue.ExecutorConfig{Concurrency: 20, WorkerID: "w"})
			if err != nil {
				t.Fatal(err)
			}
			enqueue := func() (ids []uuid.UUID) {
				requests := make([]queue.Request, 60)
				for i := range requests {
					requests[i] = queue.Request{Task: tasks.Once.Name(), Args: tasks.Args{}}
				}
				handles, err := client.EnqueueMany(ctx, requests...)
				if err != nil {
					t.Fatal(err)
				}
				for _, h := range handles {
					ids = append(ids, h.ID)
				}
				return ids
			}

			pulled := enqueue()
			s.proxy.CutAfterCommit(2) // the first changes are the claims
			working, stop := context.WithCancel(ctx)
			var workers sync.WaitGroup
			workers.Go(func() {
				if _, err := executor.Work(working, queue.WorkConfig{Continuous: true, Interval: 100 * time.Millisecond}); err != nil {
					t.Error(err)
				}
			})
			wantOnce(ctx, t, client, pulled)
			stop()
			workers.Wait()

			delivered := enqueue()
			s.proxy.CutAfterCommit(4)
			var deliveries sync.WaitGroup
			for _, id := range delivered {
				deliveries.Go(func() { deliver(ctx, executor, id) })
			}
			deliveries.Wait()
			wantOnce(ctx, t, client, delivered)
			cuts := 0
			for _, n := range s.proxy.Cuts() {
				cuts += n
			}
			if cuts != 6 {
				t.Errorf("%d answers were lost", cuts)
			}
			entries, err := readAudit(ctx, s.db)
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range validate(entries) {
				t.Errorf("broken: %+v", v)
			}
			hurried, cancelNow := context.WithCancel(ctx)
			cancelNow() // or it would wait until no claim can be on its way any more
			if err := executor.Shutdown(hurried, 10*time.Second); err != nil {
				t.Error(err)
			}
		})
	}
}

// deliver delivers a task until it has ended, as Cloud Tasks does.
func deliver(ctx context.Context, executor *queue.Executor, id uuid.UUID) {
	for ctx.Err() == nil {
		run, err := executor.RunByID(ctx, id, queue.RunOptions{})
		if err == nil && run.Row.Status.Final() || errors.Is(err, queue.ErrFinal) {
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond): // the queue's backoff
		}
	}
}

// wantOnce waits for tasks, each of which must succeed on its one attempt.
func wantOnce(ctx context.Context, t *testing.T, client *queue.Client, ids []uuid.UUID) {
	t.Helper()
	failed := make(map[string]int)
	for _, id := range ids {
		row, err := client.Wait(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		if row.Status != queue.StatusSuccessful || row.Attempts != 1 || row.Interruptions != 0 {
			failed[fmt.Sprintf("%s %s", row.Status, row.ErrorText)]++
		}
	}
	if len(failed) > 0 {
		t.Errorf("of %d tasks: %v", len(ids), failed)
	}
}
