package queue_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

func TestBackoffOfATasksOwnIsAHardTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &recorder{}
		fails := func(context.Context) (any, error) { return nil, errors.New("no") }
		sys := newSystem(t, setup{dispatch: out}, task(fails, queue.MaxAttempts(3), queue.Backoff(func(attempt int) time.Duration {
			return time.Duration(attempt) * time.Hour
		})))
		id := sys.enqueue("t", nil)
		for attempt := 1; attempt <= 2; attempt++ {
			now := time.Now().UTC()
			run := sys.run(id)
			due := now.Add(time.Duration(attempt) * time.Hour)
			if run.Outcome != queue.OutcomeRescheduled || run.DispatchErr != nil || !run.Row.RunAfter.Equal(due) || len(run.Row.Errors) != attempt {
				t.Fatalf("attempt %d: %+v of %+v", attempt, run, run.Row)
			}
			if sent := out.sent(); len(sent) != attempt+1 || !sent[attempt].DueAt.Equal(due) {
				t.Fatalf("tickets %+v", sent)
			}
			if _, err := sys.exec.RunByID(t.Context(), id, queue.RunOptions{}); !errors.Is(err, queue.ErrNotDue) {
				t.Errorf("before its time: %v", err)
			}
			out.tickets = out.tickets[:attempt+1]
			time.Sleep(time.Duration(attempt) * time.Hour)
		}
		if run := sys.run(id); run.Outcome != queue.OutcomeFailed || run.Row.Status != queue.StatusFailed {
			t.Errorf("%+v", run)
		}
	})
}

func TestBackoffThatPanicsIsTheUsualOne(t *testing.T) {
	fails := func(context.Context) (any, error) { return nil, errors.New("no") }
	sys := newSystem(t, setup{}, task(fails, queue.Backoff(func(int) time.Duration { panic("bad table") })))
	run := sys.run(sys.enqueue("t", nil))
	if run.Outcome != queue.OutcomeFailed || run.Row.RetryAt.IsZero() || !run.Row.RunAfter.IsZero() || !strings.Contains(sys.log.String(), "bad table") {
		t.Errorf("%+v of %+v\n%s", run, run.Row, sys.log)
	}
}

func TestExponential(t *testing.T) {
	next := queue.Exponential(time.Second, time.Minute)
	for attempt, want := range map[int]time.Duration{1: 1, 2: 2, 3: 4, 6: 32, 7: 60, 1000: 60} {
		if got := next(attempt); got < want*time.Second || got > want*time.Second*11/10 {
			t.Errorf("attempt %d: %s, want %d s", attempt, got, want)
		}
	}
	if got := queue.Exponential(-1, 0)(3); got != 0 {
		t.Errorf("none: %s", got)
	}
}

func TestBackoffAndAliasBelongToTheTask(t *testing.T) {
	sys := newSystem(t, setup{}, queue.NewTask("t", nothing, queue.Alias("old")))
	for _, option := range []queue.Option{queue.Backoff(queue.Exponential(1, 1)), queue.Alias("x")} {
		if _, err := sys.client.Enqueue(t.Context(), "t", nil, option); !errors.Is(err, queue.ErrInvalid) {
			t.Errorf("got %v", err)
		}
	}
}

// limited is a dispatcher whose deliveries last a minute.
type limited struct{ recorder }

func (*limited) CheckTimeout(timeout time.Duration) error {
	if timeout > time.Minute {
		return fmt.Errorf("%s is more than a minute", timeout)
	}
	return nil
}

func TestTimeoutsBeyondTheDispatchersAreRefused(t *testing.T) {
	store := newStore(t)
	config := func(tasks ...queue.Definition) queue.Config {
		return queue.Config{
			Store: store, Dispatcher: &limited{}, Registry: queue.NewRegistry(tasks...),
			Backends: map[string]queue.Backend{"pulled": {}},
		}
	}
	_, err := queue.NewClient(config(queue.NewTask("slow", nothing, queue.Timeout(time.Hour))))
	if err == nil || !strings.Contains(err.Error(), `task "slow": 1h0m0s is more than a minute`) {
		t.Errorf("at registration: %v", err)
	}
	client, err := queue.NewClient(config(queue.NewTask("slow", nothing, queue.Timeout(time.Hour), queue.OnBackend("pulled")), queue.NewTask("t", nothing)))
	if err != nil {
		t.Fatal(err)
	}
	for want, options := range map[string][]queue.Option{
		"":              {queue.Timeout(time.Minute)},
		"timeout: 2m0s": {queue.Timeout(2 * time.Minute)},
	} {
		if _, err := client.Enqueue(t.Context(), "t", nil, options...); (err == nil) != (want == "") || err != nil && (!errors.Is(err, queue.ErrInvalid) || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v", want, err)
		}
	}
	if _, err := client.Enqueue(t.Context(), "slow", nil); err != nil {
		t.Errorf("elsewhere: %v", err)
	}
	if _, err := client.Enqueue(t.Context(), "slow", nil, queue.OnBackend("default")); !errors.Is(err, queue.ErrInvalid) {
		t.Errorf("here: %v", err)
	}
}
