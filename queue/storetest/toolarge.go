package storetest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

// RunTooLarge tests a store whose database refuses what is larger than limit bytes,
// 128 KiB to 512 KiB, with an error that mentions a text: a task with such a result,
// or with such an error history, fails at once and says so. None is run twice, or
// lost.
func RunTooLarge(t *testing.T, store queue.Store, limit int, mentions string) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var calls atomic.Int64
	returns := queue.NewTask("returns", func(_ context.Context, size int) (string, error) {
		calls.Add(1)
		return strings.Repeat("x", size), nil
	})
	fails := queue.NewTask("fails", func(_ context.Context, text string) (int, error) {
		err := errors.New(strings.Repeat(text, 4000))
		for range 3 {
			err = fmt.Errorf("%w", err)
		}
		calls.Add(1)
		return 0, queue.RetryAt(time.Now(), err)
	}, queue.MaxAttempts(60))
	client, err := queue.NewClient(queue.Config{Store: store, Registry: queue.NewRegistry(returns, fails), MaxBytes: 8 << 20, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	executor, err := queue.NewExecutor(client, queue.ExecutorConfig{})
	if err != nil {
		t.Fatal(err)
	}
	run := func(handle *queue.Handle, err error) *queue.Run {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		run, err := executor.RunByID(ctx, handle.ID, queue.RunOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return run
	}
	check := func(run *queue.Run, what string) {
		t.Helper()
		row, err := store.Get(ctx, run.Row.ID)
		if err != nil {
			t.Fatal(err)
		}
		last := append([]queue.AttemptError{{}}, row.Errors...)[len(row.Errors)]
		if run.Outcome != queue.OutcomeFailed || row.Status != queue.StatusFailed || !strings.Contains(last.Message, what) || !strings.Contains(last.Message, mentions) {
			t.Errorf("%s, %v: %s, %+v", run.Outcome, run.Err, row.Status, last)
		}
	}
	for _, size := range []int{limit - 6<<10, limit, limit + 50<<10, 4 * limit, 20 * limit} {
		t.Run(fmt.Sprintf("%d bytes", size), func(t *testing.T) {
			calls.Store(0)
			began := time.Now()
			got := run(returns.Enqueue(ctx, client, size))
			if size < limit && got.Outcome == queue.OutcomeSucceeded {
				return
			}
			check(got, fmt.Sprintf("the return value of %d bytes", size+2))
			if n := calls.Load(); n != 1 {
				t.Errorf("called %d times", n)
			}
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
	t.Run("errors", func(t *testing.T) {
		handle, err := fails.Enqueue(ctx, client, "<") // six bytes of JSON each
		for range queue.MaxErrors {
			if got := run(handle, err); got.Row.Status == queue.StatusFailed {
				check(got, "the error history of")
				return
			}
		}
		t.Error("all errors were stored")
	})
}
