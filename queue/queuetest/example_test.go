package queuetest_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/queuetest"
)

var double = queue.NewTask("double", func(_ context.Context, n int) (int, error) { return 2 * n, nil })

func ExampleImmediate() {
	ctx := context.Background()
	store := queuetest.NewStore(nil)
	client, _, err := queuetest.Immediate(queue.Config{Store: store, Registry: queue.NewRegistry(double), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		panic(err)
	}
	handle, err := double.Enqueue(ctx, client, 21)
	if err != nil {
		panic(err)
	}
	fmt.Println(double.Result(ctx, client, handle.ID))
	// Output: 42 <nil>
}

func TestImmediateRunsOneAttemptOfWhatIsDue(t *testing.T) {
	store := queuetest.NewStore(nil)
	twice := queue.NewTask("twice", func(ctx context.Context, _ int) (int, error) {
		if info, _ := queue.InfoFrom(ctx); info.Attempt == 1 {
			return 0, errors.New("not yet")
		}
		h, err := double.Enqueue(ctx, queue.ClientFrom(ctx), 1)
		if err != nil {
			return 0, err
		}
		return double.Result(ctx, queue.ClientFrom(ctx), h.ID)
	})
	client, executor, err := queuetest.Immediate(queue.Config{Store: store, Registry: queue.NewRegistry(double, twice), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	h, err := twice.Enqueue(t.Context(), client, 0)
	if err != nil {
		t.Fatal(err)
	}
	if row, _ := client.Get(t.Context(), h.ID); row.Status != queue.StatusReady || row.Attempts != 1 {
		t.Errorf("after Enqueue: %+v", row)
	}
	if run, err := executor.RunByID(t.Context(), h.ID, queue.RunOptions{}); err != nil || string(run.Row.ReturnValue) != "2" {
		t.Errorf("second attempt: %+v, %v", run, err)
	}
	later, err := double.Enqueue(t.Context(), client, 1, queue.Delay(time.Hour))
	if row, _ := client.Get(t.Context(), later.ID); err != nil || row.Attempts != 0 {
		t.Errorf("a task that is not due: %+v, %v", row, err)
	}
}

func TestRecorderOnlyRecords(t *testing.T) {
	store := queuetest.NewStore(nil)
	var sent queuetest.Recorder
	client, err := queue.NewClient(queue.Config{Store: store, Registry: queue.NewRegistry(double), Dispatcher: &sent})
	if err != nil {
		t.Fatal(err)
	}
	h, err := double.Enqueue(t.Context(), client, 1)
	if tickets := sent.Tickets(); err != nil || len(tickets) != 1 || tickets[0].ID != h.ID {
		t.Errorf("%v, %v", tickets, err)
	}
}

func ExampleRecorder() {
	ctx := context.Background()
	store := queuetest.NewStore(nil)
	var sent queuetest.Recorder
	client, err := queue.NewClient(queue.Config{Store: store, Registry: queue.NewRegistry(double), Dispatcher: &sent})
	if err != nil {
		panic(err)
	}
	handle, err := double.Enqueue(ctx, client, 21) // what the program under test does
	if err != nil {
		panic(err)
	}
	tickets := sent.Tickets()
	fmt.Println(len(tickets), tickets[0].ID == handle.ID)
	// Output: 1 true
}
