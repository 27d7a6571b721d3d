package queue_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// A task that waits for a limit is not made due, which would only be refused again: the
// error, or the result of a bulk action, names the limit.
func TestTasksThatWaitForALimitAreNotRunNow(t *testing.T) {
	sys := newSystem(t, setup{dispatch: &recorder{}}, queue.NewTask("t", nothing), queue.NewTask("k", nothing, queue.LimitKey(func(json.RawMessage) string { return "acme" })))
	sys.limit(queue.Limit{Kind: queue.LimitName, Name: "t", Starts: 1, Per: time.Hour})
	sys.limit(queue.Limit{Kind: queue.LimitEach, Name: "k", Starts: 1, Per: time.Minute})
	var waiting []queue.Selection
	for _, name := range []string{"t", "k"} {
		sys.run(sys.enqueue(name, "x"))
		id := sys.enqueue(name, "x")
		if _, err := sys.exec.RunByID(t.Context(), id, queue.RunOptions{}); !errors.Is(err, queue.ErrLimited) {
			t.Fatal(err)
		}
		waiting = append(waiting, queue.Selection{IDs: []uuid.UUID{id}})
	}
	free := sys.enqueue("t", "x")
	for i, want := range []string{"the limit of task t (1 of 1 starts within 1h are used)", "the limit of key acme of task k (1 of 1 starts within 1m are used)"} {
		_, err := sys.client.Act(t.Context(), queue.ActRequest{Action: queue.ActionRun, Selection: waiting[i], Actor: "ann"}, nil)
		if !errors.Is(err, queue.ErrLimited) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
		if n, err := sys.client.CountMatching(t.Context(), queue.ActionRun, waiting[i], 10); n != 0 || err != nil {
			t.Errorf("%d match, %v", n, err)
		}
	}
	result, err := sys.client.Act(t.Context(), queue.ActRequest{Action: queue.ActionRun, Actor: "ann"}, nil)
	want := queue.ActionResult{Done: 1, Limited: 2, LimitedBy: "the limits of key acme of task k, task t"}
	if diff := cmp.Diff(want, result); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	if row, err := sys.client.Get(t.Context(), free); err != nil || row.RetryAt.IsZero() {
		t.Errorf("the row that had not been found to be over the limit: %+v, %v", row, err)
	}
}

// A part that is not given stays, and what the code has set becomes the operator's.
func TestPartsOfALimitAreChanged(t *testing.T) {
	sys := newSystem(t, setup{client: queue.Config{Limits: []queue.Limit{{Kind: queue.LimitQueue, Name: "emails", Running: 4, Starts: 7, Per: time.Second}}}},
		queue.NewTask("t", nothing, queue.LimitRunning(3)))
	if err := sys.client.ApplyLimits(t.Context()); err != nil {
		t.Fatal(err)
	}
	code := []queue.Limit{{Kind: queue.LimitName, Name: "t", Running: 3, Code: true}, {Kind: queue.LimitQueue, Name: "emails", Running: 4, Starts: 7, Per: time.Second, Code: true}}
	if diff := cmp.Diff(code, sys.client.CodeLimits()); diff != "" {
		t.Errorf("of the code:\n%s", diff)
	}
	if limits, err := sys.client.Limits(t.Context()); err != nil || !cmp.Equal(code, limits) {
		t.Errorf("limits: %v, %v", limits, err)
	}
	n, none := 9, 0
	for _, step := range []struct {
		change queue.LimitChange
		want   queue.Limit
	}{
		{queue.LimitChange{Running: &n}, queue.Limit{Running: 9, Starts: 7, Per: time.Second}},
		{queue.LimitChange{Rate: &queue.Rate{Starts: 1, Per: time.Minute}}, queue.Limit{Running: 9, Starts: 1, Per: time.Minute}},
		{queue.LimitChange{Running: &none}, queue.Limit{Starts: 1, Per: time.Minute}},
		{queue.LimitChange{Running: &n, Rate: &queue.Rate{}}, queue.Limit{Running: 9}},
		{queue.LimitChange{Running: &none}, queue.Limit{}},
	} {
		step.change.Kind, step.change.Name = queue.LimitQueue, "emails"
		step.want.Kind, step.want.Name = queue.LimitQueue, "emails"
		if got, err := sys.client.ChangeLimit(t.Context(), step.change, "ann"); err != nil || got != step.want {
			t.Errorf("%+v, %v, want %+v", got, err, step.want)
		}
	}
	if err := sys.client.ApplyLimits(t.Context()); err != nil {
		t.Fatal(err)
	}
	if limits, err := sys.client.Limits(t.Context()); err != nil || !cmp.Equal(code[:1], limits) {
		t.Errorf("after the code was applied again: %v, %v", limits, err)
	}
}

func TestLimitsOfTheConfigurationAreChecked(t *testing.T) {
	for want, limits := range map[string][]queue.Limit{
		`Config.Limits[0]: queue "a b"`:                                     {{Kind: queue.LimitQueue, Name: "a b", Running: 1}},
		"Config.Limits[1]: set Running, or Starts and Per, of queue b":      {{Kind: queue.LimitQueue, Name: "a", Running: 1}, {Kind: queue.LimitQueue, Name: "b"}},
		"Config.Limits[1]: another one sets the limit of queue a too":       {{Kind: queue.LimitQueue, Name: "a", Running: 1}, {Kind: queue.LimitQueue, Name: "a", Running: 2}},
		"Config.Limits[0]: the task sets the limit of name t too: set it o": {{Kind: queue.LimitName, Name: "t", Running: 1}},
	} {
		task := queue.NewTask("t", func(context.Context, any) (any, error) { return nil, nil }, queue.LimitRunning(1))
		_, err := queue.NewClient(queue.Config{Store: newStore(t), Registry: queue.NewRegistry(task), Limits: limits})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestPeriodsAreWrittenShortly(t *testing.T) {
	for want, d := range map[string]time.Duration{"1s": time.Second, "1m": time.Minute, "1h": time.Hour, "1h0m1s": time.Hour + time.Second, "90ms": 90 * time.Millisecond, "744h": queue.MaxPeriod, "10m": 10 * time.Minute, "0s": 0} {
		if got := queue.FormatPeriod(d); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// What an operator has set stays until a reset, and only an operator's changes are in the
// audit log.
func TestALimitIsGivenBackToTheCode(t *testing.T) {
	sys := newSystem(t, setup{}, queue.NewTask("t", nothing, queue.LimitRunning(3)))
	code := queue.Limit{Kind: queue.LimitName, Name: "t", Running: 3, Code: true}
	sys.limit(queue.Limit{Kind: queue.LimitName, Name: "t", Running: 9})
	for range 2 {
		if err := sys.client.ApplyLimits(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := sys.client.ResetLimit(t.Context(), queue.LimitName, "t", "bob"); err != nil || got != code {
		t.Errorf("%+v, %v", got, err)
	}
	sys.limit(queue.Limit{Kind: queue.LimitQueue, Name: "emails", Running: 9})
	if got, err := sys.client.ResetLimit(t.Context(), queue.LimitQueue, "emails", "bob"); err != nil || got != (queue.Limit{Kind: queue.LimitQueue, Name: "emails", Code: true}) {
		t.Errorf("without a limit in the code: %+v, %v", got, err)
	}
	if limits, err := sys.client.Limits(t.Context()); err != nil || !cmp.Equal([]queue.Limit{code}, limits) {
		t.Errorf("limits: %v, %v", limits, err)
	}
	operator, err := sys.client.Operator()
	if err != nil {
		t.Fatal(err)
	}
	log, err := operator.AuditLog(t.Context(), uuid.Nil, time.Time{}, 10)
	if err != nil || len(log) != 4 || log[2].Target != "name t: 3 running (as in the code)" || log[2].Actor != "bob" {
		t.Errorf("audit log: %+v, %v", log, err)
	}
}

// Where a limit that many tasks wait for is removed, all of them are dispatched, and not
// only as many as one statement chooses.
func TestARemovedLimitLeavesNoTaskWaiting(t *testing.T) {
	const tasks = 230
	out := &recorder{}
	sys := newSystem(t, setup{dispatch: out}, queue.NewTask("t", nothing))
	sys.limit(queue.Limit{Kind: queue.LimitName, Name: "t", Starts: 1, Per: 24 * time.Hour})
	sys.run(sys.enqueue("t", nil))
	for range tasks {
		if _, err := sys.exec.RunByID(t.Context(), sys.enqueue("t", nil), queue.RunOptions{}); !errors.Is(err, queue.ErrLimited) {
			t.Fatal(err)
		}
	}
	before := len(out.sent())
	sys.limit(queue.Limit{Kind: queue.LimitName, Name: "t"})
	if n := len(out.sent()) - before; n != tasks {
		t.Errorf("%d tasks were dispatched, want %d", n, tasks)
	}
}
