package queue_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// requiredStore hides all that its store can do besides what is required.
type requiredStore struct{ queue.Store }

// A store without queue.Operator runs tasks and is swept; what needs the interface
// says so.
func TestAStoreThatIsNoOperator(t *testing.T) {
	out := &recorder{}
	sys := newSystem(t, setup{store: requiredStore{newStore(t)}, dispatch: out}, task(func(context.Context) (any, error) { return 1, nil }))
	done, waiting := sys.enqueue("t", nil), sys.enqueue("t", nil)
	sys.run(done)
	if row := sys.row(done); row.Status != queue.StatusSuccessful {
		t.Errorf("the task is %s", row.Status)
	}
	if swept, err := sys.client.Sweep(t.Context(), 0); err != nil || swept != (queue.SweepResult{}) {
		t.Errorf("Sweep: %+v, %v", swept, err)
	}
	if _, cancelled, err := sys.client.Cancel(t.Context(), waiting); err != nil || !cancelled {
		t.Errorf("Cancel: %t, %v", cancelled, err)
	}
	ctx, final := t.Context(), []queue.Status{queue.StatusFailed}
	for name, call := range map[string]func(c *queue.Client) error{
		"Operator":     func(c *queue.Client) error { _, err := c.Operator(); return err },
		"Stats":        func(c *queue.Client) error { _, err := c.Stats(ctx, queue.Filter{}); return err },
		"PendingCount": func(c *queue.Client) error { _, err := c.PendingCount(ctx, queue.Filter{}); return err },
		"Requeue":      func(c *queue.Client) error { _, err := c.Requeue(ctx, queue.RequeueRequest{}); return err },
		"CountMatching": func(c *queue.Client) error {
			_, err := c.CountMatching(ctx, queue.ActionRun, queue.Selection{}, 1)
			return err
		},
		"RecordAudit": func(c *queue.Client) error { return c.RecordAudit(ctx, "ann", "retry", uuid.New(), "a task") },
		"Act": func(c *queue.Client) error {
			_, err := c.Act(ctx, queue.ActRequest{Action: queue.ActionRun}, nil)
			return err
		},
		"Purge": func(c *queue.Client) error {
			_, _, err := c.Purge(ctx, queue.PurgeRequest{Statuses: final}, nil)
			return err
		},
		"CountPurgeable": func(c *queue.Client) error {
			_, err := c.CountPurgeable(ctx, queue.PurgeRequest{Statuses: final})
			return err
		},
	} {
		if err := call(sys.client); !errors.Is(err, queue.ErrUnsupported) || !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
