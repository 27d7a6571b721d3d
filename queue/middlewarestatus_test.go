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
	"github.com/claimcheck-go/claimcheck/queue/aead"
)

// testRing is a codec of a key of its own.
func testRing(t *testing.T) queue.Codec {
	t.Helper()
	ring, err := aead.New(aead.NewKey(aead.HashKey).Secret, aead.NewKey("k1"))
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

// What middleware is told of the status is what is stored.
func TestStatusAfterIsWhatIsStored(t *testing.T) {
	step := func(ctx context.Context) error {
		_, err := queue.Step(ctx, "s", func(context.Context) (int, error) { return 1, nil })
		return err
	}
	for name, c := range map[string]struct {
		f    func(ctx context.Context) error
		want queue.Status
	}{
		"the last attempt":         {func(context.Context) error { return errors.New("no") }, queue.StatusFailed},
		"continues":                {func(context.Context) error { return queue.Continue(1) }, queue.StatusReady},
		"continues, wrapped":       {func(context.Context) error { return fmt.Errorf("later: %w", queue.Continue(1)) }, queue.StatusReady},
		"continues, discarded":     {func(context.Context) error { return queue.Discard(queue.Continue(1)) }, queue.StatusReady},
		"continues with no JSON":   {func(context.Context) error { return queue.Continue(func() {}) }, queue.StatusFailed},
		"a step, then fails":       {func(ctx context.Context) error { return errors.Join(step(ctx), errors.New("no")) }, queue.StatusReady},
		"a step, then discards":    {func(ctx context.Context) error { return queue.Discard(step(ctx)) }, queue.StatusFailed},
		"a step of its middleware": {nil, queue.StatusReady},
		"timed out after a step": {func(ctx context.Context) error {
			if err := step(ctx); err != nil {
				return err
			}
			<-ctx.Done()
			return queue.Discard(ctx.Err())
		}, queue.StatusReady},
	} {
		for _, codec := range []queue.Codec{nil, testRing(t)} {
			t.Run(fmt.Sprintf("%s, encrypted %t", name, codec != nil), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var told queue.Status
					around := running(func(ctx context.Context, row *queue.Row, next queue.RunFunc) error {
						err := next(ctx, row)
						if c.f == nil {
							err = errors.Join(step(ctx), err)
						}
						told = row.StatusAfter(err)
						return err
					})
					fn := queue.NewTask("t", func(ctx context.Context, _ any) (any, error) {
						if c.f == nil {
							return nil, errors.New("no")
						}
						return nil, c.f(ctx)
					}, queue.MaxAttempts(1), queue.Timeout(time.Minute))
					sys := newSystem(t, setup{client: queue.Config{Middleware: around, Codec: codec}}, fn)
					id := sys.enqueue("t", nil)
					sys.run(id)
					if row := sys.row(id); told != c.want || row.Status != told {
						t.Errorf("told %s, stored %s; want %s", told, row.Status, c.want)
					}
				})
			})
		}
	}
}

// Middleware of an encrypted schedule's occurrences gets their arguments, and they are
// stored encrypted.
func TestMiddlewareOfOccurrencesGetsTheirArguments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l trail
		more := enqueueing(func(ctx context.Context, rows []*queue.Row, next queue.EnqueueFunc) error {
			l.add("%s before", rows[0].Args)
			err := next(ctx, rows)
			l.add("%s after", rows[0].Args)
			return err
		})
		store := newStore(t)
		sys := newSystem(t, setup{store: store, client: queue.Config{Middleware: more, Codec: testRing(t)}}, nightly, queue.Every("report", "@hourly", nightly, 1))
		sys.tick(0)
		time.Sleep(time.Hour)
		if n := sys.tick(0); n != 1 {
			t.Fatalf("%d occurrences", n)
		}
		wantSteps(t, &l, "1 before", "1 after")
		stored, err := store.Get(t.Context(), sys.schedule("report").LastTaskID)
		if err != nil || aead.ShortID(stored.KeyID) != "k1" || !strings.Contains(string(stored.Args), "claimcheck:1:"+stored.KeyID+":schedule:") {
			t.Errorf("stored %+v, %v", stored, err)
		}
	})
}
