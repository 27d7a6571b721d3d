package queue_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// readOnly is a database in a read-only window: it can be read, not written.
type readOnly struct{ fullStore }

func (readOnly) Insert(context.Context, ...*queue.NewRow) error {
	return fmt.Errorf("insert tasks: %w: read-only", queue.ErrUnavailable)
}

func TestAReadOnlyWindowIsOneOutage(t *testing.T) {
	sys := newSystem(t, setup{store: readOnly{newStore(t)}}, task(func(context.Context) (any, error) { return nil, nil }))
	for range 3 {
		if _, err := sys.client.Enqueue(t.Context(), "t", nil); !errors.Is(err, queue.ErrUnavailable) {
			t.Fatal(err)
		}
		if _, err := sys.client.Stats(t.Context(), queue.Filter{}); err != nil { // as a monitor asks
			t.Fatal(err)
		}
	}
	if begun, ended := strings.Count(sys.log.String(), `msg="database unavailable`), strings.Count(sys.log.String(), "database calls succeed again"); begun != 1 || ended != 0 {
		t.Errorf("%d lines say that it has gone, %d that it is back:\n%s", begun, ended, sys.log)
	}
}

// conflicting is a database in which another transaction holds each key.
type conflicting struct{ fullStore }

func (conflicting) Insert(context.Context, ...*queue.NewRow) error {
	return fmt.Errorf("insert tasks: %w", queue.ErrConflict)
}

// A conflict is the caller's to retry: the database answers.
func TestAConflictIsNoOutage(t *testing.T) {
	sys := newSystem(t, setup{store: conflicting{newStore(t)}}, task(func(context.Context) (any, error) { return nil, nil }))
	if _, err := sys.client.Enqueue(t.Context(), "t", nil, queue.Unique("k")); !errors.Is(err, queue.ErrConflict) {
		t.Fatal(err)
	}
	if log := sys.log.String(); strings.Contains(log, "level=ERROR") || strings.Contains(log, "level=WARN") {
		t.Errorf("log:\n%s", log)
	}
}

// hanging does not answer.
type hanging struct{ queue.Store }

func (hanging) Claim(ctx context.Context, _ uuid.UUID, _ queue.ClaimRequest) (*queue.Row, error) {
	<-ctx.Done()
	return nil, fmt.Errorf("claim task: %w", ctx.Err())
}

func TestADatabaseThatHangsIsAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sys := newSystem(t, setup{store: hanging{newStore(t)}}, task(func(context.Context) (any, error) { return nil, nil }))
		for range 3 {
			begun := time.Now()
			_, err := sys.exec.RunByID(t.Context(), uuid.New(), queue.RunOptions{})
			if !errors.Is(err, queue.ErrUnavailable) || time.Since(begun) > 10*time.Second {
				t.Errorf("after %s: %v", time.Since(begun), err)
			}
		}
		if begun := strings.Count(sys.log.String(), `msg="the database did not answer in time"`); begun != 1 {
			t.Errorf("%d lines say that it has gone:\n%s", begun, sys.log)
		}
		sys.shutdown() // until then it looks for what the lost answers may have claimed
	})
}
