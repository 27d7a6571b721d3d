package queuetest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/queuetest"
)

// recorded is a task that notes its arguments, and at what time of the clock it ran.
func recorded(name string, ran *[]string, clock **queuetest.Clock, result func(in string) error, opts ...queue.Option) *queue.Task[string, any] {
	began := time.Time{}
	return queue.NewTaskFunc(name, func(_ context.Context, in string) error {
		if began.IsZero() {
			began = (*clock).Now()
		}
		*ran = append(*ran, fmt.Sprint(in, " ", (*clock).Now().Sub(began).Round(time.Second)))
		return result(in)
	}, opts...)
}

func ok(string) error { return nil }

func TestDrainRunsWhatIsDueAndWhatThatEnqueues(t *testing.T) {
	var ran []string
	next := queue.Declare[string, any]("next")
	first := queue.NewTaskFunc("first", func(ctx context.Context, in string) error {
		ran = append(ran, in)
		_, err := next.Enqueue(ctx, queue.ClientFrom(ctx), in+" next")
		return err
	})
	client, clock := queuetest.New(t, first, next.HandleFunc(func(_ context.Context, in string) error {
		ran = append(ran, in)
		return nil
	}))
	enqueue(t, client, first, "b")
	enqueue(t, client, first, "c", queue.Priority(-1))
	enqueue(t, client, first, "a", queue.Priority(1), queue.OnQueue("other"))
	enqueue(t, client, first, "later", queue.Delay(time.Hour))
	if runs := queuetest.Drain(t, client); len(runs) != 6 || runs[0].Outcome != queue.OutcomeSucceeded {
		t.Errorf("%d runs, of which the first %s", len(runs), runs[0].Outcome)
	}
	if want := []string{"a", "b", "a next", "b next", "c", "c next"}; !slices.Equal(ran, want) {
		t.Errorf("ran %q, want %q", ran, want)
	}
	clock.Advance(time.Hour - time.Microsecond)
	if runs := queuetest.Drain(t, client); len(runs) != 0 {
		t.Errorf("%d runs before the time", len(runs))
	}
	clock.Advance(time.Microsecond)
	if runs := queuetest.Drain(t, client); len(runs) != 2 {
		t.Errorf("%d runs at the time", len(runs))
	}
}

func TestTimeMovesOnlyWithTheClock(t *testing.T) {
	var ran []string
	var clock *queuetest.Clock
	flaky := recorded("flaky", &ran, &clock, func(string) error { return errors.New("no") },
		queue.MaxAttempts(3), queue.Backoff(func(attempt int) time.Duration { return time.Duration(attempt) * time.Hour }))
	hourly := queue.Every("hourly", "@every 1h", flaky, "scheduled", queue.MaxAttempts(1))
	client, c := queuetest.New(t, flaky, hourly)
	clock = c
	began := clock.Now()
	enqueue(t, client, flaky, "own")
	enqueue(t, client, flaky, "expires", queue.Delay(90*time.Minute), queue.ExpiresIn(91*time.Minute))
	runs := queuetest.DrainFor(t, client, 3*time.Hour)
	if got := clock.Now().Sub(began); got != 3*time.Hour {
		t.Errorf("the clock has moved by %s", got)
	}
	want := []string{"own 0s", "own 1h0m0s", "scheduled 1h0m0s", "expires 1h30m0s", "scheduled 2h0m0s", "expires 2h30m0s", "own 3h0m0s", "scheduled 3h0m0s"}
	slices.Sort(ran)
	slices.Sort(want)
	if len(runs) != len(want) || !slices.Equal(ran, want) {
		t.Errorf("%d runs: %q, want %q", len(runs), ran, want)
	}
	row := queuetest.RequireEnqueued(t, client, flaky, queuetest.Args("own"), queuetest.Status(queue.StatusFailed))
	if e := row.Errors; len(e) != 3 || !e[2].At.Equal(began.Add(3*time.Hour)) || !row.FinishedAt.Equal(began.Add(3*time.Hour)) {
		t.Errorf("%+v", e)
	}
	if _, err := flaky.Enqueue(t.Context(), client, "", queue.ExpiresAt(began.Add(time.Hour))); !errors.Is(err, queue.ErrInvalid) {
		t.Errorf("an expiry that is past by the clock: %v", err)
	}
}

func TestALeaseExpiresByTheClock(t *testing.T) {
	client, clock := queuetest.New(t, report)
	handle := enqueue(t, client, report, 1)
	operator, err := client.Operator()
	if err != nil {
		t.Fatal(err)
	}
	store := operator.(*queuetest.Store)
	_, err = store.Claim(t.Context(), handle.ID, queue.ClaimRequest{Tasks: []string{"reports.make"}, Worker: "lost", Lease: time.Minute, ClaimID: queue.NewClaimID()})
	if err != nil {
		t.Fatal(err)
	}
	clock.Advance(59 * time.Second)
	if runs := queuetest.Drain(t, client); len(runs) != 0 {
		t.Errorf("%d runs while the lease holds", len(runs))
	}
	if runs := queuetest.DrainFor(t, client, time.Second); len(runs) != 1 || !slices.Equal(runs[0].Row.WorkerIDs, []string{"lost", "queuetest"}) {
		t.Errorf("%+v", runs)
	}
}

func TestLimitsLetTasksStartByTheClock(t *testing.T) {
	var ran []string
	var clock *queuetest.Clock
	task := recorded("limited", &ran, &clock, ok, queue.LimitStarts(2, time.Minute))
	client, c := queuetest.New(t, task)
	clock = c
	for i := range 5 {
		enqueue(t, client, task, fmt.Sprint(i))
	}
	queuetest.DrainFor(t, client, time.Hour)
	if want := []string{"0 0s", "1 0s", "2 1m0s", "3 1m0s", "4 2m0s"}; !slices.Equal(ran, want) {
		t.Errorf("ran %q, want %q", ran, want)
	}
}

func TestRunOneRunsTheNextTask(t *testing.T) {
	client, clock := queuetest.New(t, sendMail, report)
	enqueue(t, client, report, 1)
	enqueue(t, client, sendMail, mail{To: "ann"})
	handle := enqueue(t, client, report, 2, queue.Delay(time.Hour))
	if run := queuetest.RunOne(t, client); run.Row.Task != "mail.send" || string(run.Row.ReturnValue) != `"sent to ann"` {
		t.Errorf("%+v", run.Row)
	}
	queuetest.RunOne(t, client)
	says(t, func(t testing.TB) { queuetest.RunOne(t, client) }, "no task is due; there are:", handle.ID.String()+" reports.make READY not before ")
	clock.Advance(time.Hour)
	queuetest.RunOne(t, client)
	says(t, func(t testing.TB) { queuetest.RunOne(t, client) }, "no task is due; none waits for a later time, either")
}

type half struct{ N int }

func (h half) MarshalJSON() ([]byte, error) { return fmt.Appendf(nil, `{"N":%d}`, h.N/2), nil }

func TestRunRunsAsProductionDoes(t *testing.T) {
	halved := queue.NewTask("halved", func(_ context.Context, in half) (half, error) { return in, nil })
	slow := queue.NewTaskFunc("slow", func(ctx context.Context, _ any) error {
		<-ctx.Done()
		return ctx.Err()
	}, queue.Timeout(10*time.Millisecond))
	wrong := errors.New("wrong")
	fails := queue.NewTask("fails", func(context.Context, string) (string, error) { return "", wrong })
	panics := queue.NewTaskFunc("panics", func(context.Context, any) error { panic("at the disco") })
	unstorable := queue.NewTask("unstorable", func(context.Context, any) (any, error) { return make(chan int), nil })
	client, _ := queuetest.New(t, halved, slow, fails, panics, unstorable)

	if out, err := queuetest.Run(t, client, halved, half{8}); err != nil || out.N != 2 {
		t.Errorf("%+v, %v: neither the arguments nor the result were encoded", out, err)
	}
	_, err := queuetest.Run[any, any](t, client, slow, nil)
	if timeout := new(queue.TimeoutError); !errors.As(err, &timeout) {
		t.Errorf("timeout: %v", err)
	}
	if _, err = queuetest.Run(t, client, fails, ""); !errors.Is(err, wrong) {
		t.Errorf("error: %v", err)
	}
	_, err = queuetest.Run[any, any](t, client, panics, nil)
	if p := new(queue.PanicError); !errors.As(err, &p) || !strings.Contains(err.Error(), "at the disco") {
		t.Errorf("panic: %v", err)
	}
	if _, err = queuetest.Run[any, any](t, client, unstorable, nil); err == nil || !strings.Contains(err.Error(), "return value") {
		t.Errorf("result: %v", err)
	}
	if _, err = queuetest.Run(t, client, fails, "", queue.Delay(time.Hour)); !errors.Is(err, queue.ErrNotDue) {
		t.Errorf("delayed: %v", err)
	}
	if _, err = queuetest.Run(t, client, fails, "", queue.Priority(101)); !errors.Is(err, queue.ErrInvalid) {
		t.Errorf("invalid: %v", err)
	}
}

func TestADrainWithoutEndIsEnded(t *testing.T) {
	defer queuetest.SetMostRuns(300)()
	again := queue.Declare[int, any]("again")
	client, _ := queuetest.New(t, again.HandleFunc(func(ctx context.Context, n int) error {
		_, err := again.Enqueue(ctx, queue.ClientFrom(ctx), n+1)
		return err
	}))
	enqueue(t, client, again, 0)
	says(t, func(t testing.TB) { queuetest.Drain(t, client) }, "more than 300 tasks have run and others are due", "301 × again")
}

func TestDrainForNeedsAClock(t *testing.T) {
	client := queuetest.NewClient(t, queue.Config{Registry: queue.NewRegistry(report)})
	says(t, func(t testing.TB) { queuetest.DrainFor(t, client, time.Hour) }, "DrainFor moves the Clock of a store that was made with one")
}

func TestInABubbleTheStoreGoesByTheBubblesTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ran []time.Duration
		began := time.Now()
		slow := queue.NewTaskFunc("slow", func(ctx context.Context, _ any) error {
			ran = append(ran, time.Since(began))
			<-ctx.Done() // 9 minutes of the bubble
			return ctx.Err()
		}, queue.Timeout(9*time.Minute), queue.MaxAttempts(2), queue.Backoff(func(int) time.Duration { return time.Hour }))
		client := queuetest.NewClient(t, queue.Config{Store: queuetest.NewStore(nil), Registry: queue.NewRegistry(slow)})
		enqueue[any](t, client, slow, nil, queue.Delay(time.Hour))
		time.Sleep(time.Hour)
		queuetest.Drain(t, client)
		time.Sleep(time.Hour)
		queuetest.Drain(t, client)
		if want := []time.Duration{time.Hour, 2*time.Hour + 9*time.Minute}; !slices.Equal(ran, want) {
			t.Errorf("ran at %v, want %v", ran, want)
		}
	})
}

func TestATransactionOfTheStore(t *testing.T) {
	client, _ := queuetest.New(t, report)
	operator, err := client.Operator()
	if err != nil {
		t.Fatal(err)
	}
	store := operator.(*queuetest.Store)
	for _, failure := range []error{errors.New("rolled back"), nil} {
		tx, err := store.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		err = client.InTx(t.Context(), tx, func(q queue.Tx) error {
			_, err := report.EnqueueTx(t.Context(), client, q, 1)
			return errors.Join(err, failure)
		})
		if !errors.Is(err, failure) {
			t.Errorf("%v", err)
		}
	}
	queuetest.RequireEnqueued(t, client, report)
	if _, err := report.EnqueueTx(t.Context(), client, foreign{}, 1); !errors.Is(err, queue.ErrInvalid) {
		t.Errorf("a transaction of another store: %v", err)
	}
}

type foreign struct{}

func (foreign) Commit(context.Context) error   { return nil }
func (foreign) Rollback(context.Context) error { return nil }

// What operators do needs no time that moves.
func TestActionsWhileTheClockStands(t *testing.T) {
	client, _ := queuetest.New(t, report)
	delayed, due := enqueue(t, client, report, 1, queue.Delay(time.Hour)), enqueue(t, client, report, 2)
	for range 2 {
		result, err := client.Act(t.Context(), queue.ActRequest{Action: queue.ActionRun, Selection: queue.Selection{IDs: []uuid.UUID{delayed.ID, due.ID}}}, nil)
		if err != nil || result.Done != 2 || result.Locked != 0 {
			t.Errorf("%+v, %v", result, err)
		}
	}
	if runs := queuetest.Drain(t, client); len(runs) != 2 {
		t.Errorf("%d runs", len(runs))
	}
}
