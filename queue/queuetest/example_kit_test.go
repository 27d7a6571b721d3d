package queuetest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/queuetest"
)

type Welcome struct {
	To string `json:"to"`
}

var (
	SendWelcome = queue.NewTask("emails.welcome", func(_ context.Context, in Welcome) (string, error) {
		return "sent to " + in.To, nil
	}, queue.OnQueue("emails"))
	SendReminder = queue.NewTaskFunc("emails.reminder", func(context.Context, Welcome) error { return nil })
)

// signUp is the code under test.
func signUp(ctx context.Context, client *queue.Client, address string) error {
	_, err := SendWelcome.Enqueue(ctx, client, Welcome{To: address})
	if err != nil {
		return err
	}
	_, err = SendReminder.Enqueue(ctx, client, Welcome{To: address}, queue.Delay(72*time.Hour))
	return err
}

// A test of code that enqueues.
func Example() {
	t := exampleT // the test's *testing.T
	client, clock := queuetest.New(t, SendWelcome, SendReminder)

	if err := signUp(t.Context(), client, "ann@example.com"); err != nil {
		t.Fatal(err)
	}

	queuetest.RequireEnqueued(t, client, SendWelcome, queuetest.Args(Welcome{To: "ann@example.com"}), queuetest.OnQueue("emails"))
	queuetest.RequireEnqueued(t, client, SendReminder, queuetest.RunAfter(clock.Now().Add(72*time.Hour)))

	for _, run := range queuetest.Drain(t, client) {
		fmt.Println(run.Row.Task, run.Outcome, string(run.Row.ReturnValue))
	}
	for _, run := range queuetest.DrainFor(t, client, 73*time.Hour) {
		fmt.Println(run.Row.Task, run.Outcome, "after", run.Row.LastAttemptedAt.Sub(run.Row.EnqueuedAt))
	}
	// Output:
	// emails.welcome succeeded "sent to ann@example.com"
	// emails.reminder succeeded after 72h0m0s
}

// Retries take no time.
func ExampleDrainFor() {
	t := exampleT
	attempts := 0
	flaky := queue.NewTaskFunc("flaky", func(context.Context, any) error {
		if attempts++; attempts < 4 {
			return errors.New("the provider is down")
		}
		return nil
	}, queue.Backoff(func(int) time.Duration { return time.Hour }))
	client, _ := queuetest.New(t, flaky)
	if _, err := flaky.Enqueue(t.Context(), client, nil); err != nil {
		t.Fatal(err)
	}
	queuetest.DrainFor(t, client, 24*time.Hour)
	got := queuetest.RequireEnqueued(t, client, flaky)
	fmt.Println(got.Status, got.Attempts, got.FinishedAt.Sub(got.EnqueuedAt))
	// Output: SUCCESSFUL 4 3h0m0s
}

// One attempt of one task.
func ExampleRun() {
	t := exampleT
	client, _ := queuetest.New(t, SendWelcome)
	fmt.Println(queuetest.Run(t, client, SendWelcome, Welcome{To: "ann@example.com"}))
	// Output: sent to ann@example.com <nil>
}

// The arguments need not be known completely.
func ExampleWhere() {
	t := exampleT
	client, _ := queuetest.New(t, SendWelcome)
	if _, err := SendWelcome.Enqueue(t.Context(), client, Welcome{To: "ann@example.com"}); err != nil {
		t.Fatal(err)
	}
	got := queuetest.RequireEnqueued(t, client, SendWelcome, queuetest.Where("an address", func(in Welcome) bool { return in.To != "" }))
	fmt.Println(got.Args.To)
	// Output: ann@example.com
}

// exampleT stands for the *testing.T of a test in the examples.
var exampleT testing.TB = exampleTB{}

type exampleTB struct{ testing.TB }

func (exampleTB) Helper()                  {}
func (exampleTB) Log(...any)               {}
func (exampleTB) Cleanup(func())           {}
func (exampleTB) Context() context.Context { return context.Background() }
func (exampleTB) Fatal(args ...any)        { panic(fmt.Sprint(args...)) }
