package queue_test

import (
	"context"
	"strings"
	"testing"

	"github.com/claimcheck-go/claimcheck/queue"
)

// A hook only watches: what it does wrong must not end a process in which other
// tasks run.
func TestHooksThatPanicAreLoggedAndNothingElse(t *testing.T) {
	hooks := queue.Hooks{
		Enqueuing: func(ctx context.Context, _ []*queue.Row) (context.Context, func(error)) {
			return ctx, func(error) { panic("ended") }
		},
		Enqueued:   func(context.Context, *queue.Row) { panic("enqueued") },
		Dispatched: func(context.Context, *queue.Row, error) { panic("dispatched") },
		Running:    func(context.Context, *queue.Row) context.Context { panic("running") },
		Started:    func(context.Context, *queue.Row) { panic("started") },
		Finished:   func(context.Context, *queue.Run) { panic("finished") },
	}
	sys := newSystem(t, setup{dispatch: &recorder{}, client: queue.Config{Hooks: hooks}}, queue.NewTask("t", nothing))
	if run := sys.run(sys.enqueue("t", nil)); run.Outcome != queue.OutcomeSucceeded {
		t.Errorf("%+v", run)
	}
	for _, hook := range []string{"ended", "enqueued", "dispatched", "running", "started", "finished"} {
		if !strings.Contains(sys.log.String(), "panic="+hook) {
			t.Errorf("%s is not in the log:\n%s", hook, sys.log)
		}
	}
}

func TestHooksThatReturnNothingChangeNothing(t *testing.T) {
	hooks := queue.Hooks{
		Enqueuing: func(context.Context, []*queue.Row) (context.Context, func(error)) { return nil, nil },
		Running:   func(context.Context, *queue.Row) context.Context { return nil },
	}
	sys := newSystem(t, setup{client: queue.Config{Hooks: hooks}}, queue.NewTask("t", nothing))
	if run := sys.run(sys.enqueue("t", nil)); run.Outcome != queue.OutcomeSucceeded {
		t.Errorf("%+v", run)
	}
}
