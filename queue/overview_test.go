package queue_test

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

// operatorOnly hides that its store reads overviews.
type operatorOnly struct {
	queue.Store
	queue.Operator
}

// A store that reads no overviews has them all the same, from two reads.
func TestAnOverviewOfTwoReads(t *testing.T) {
	store := newStore(t)
	sys := newSystem(t, setup{store: store}, task(func(context.Context) (any, error) { return nil, queue.Discard(errors.New("no")) }))
	sys.run(sys.enqueue("t", nil))
	sys.run(sys.enqueue("t", nil))
	since := sys.row(sys.enqueue("t", nil)).EnqueuedAt
	sys.run(sys.enqueue("t", nil))
	r := queue.OverviewRequest{Since: since, Groups: 10}
	want, err := sys.client.Overview(t.Context(), r)
	if err != nil || len(want.Failures) != 1 || want.Failures[0].Count != 3 || want.Failures[0].Recent != 1 || want.Failures[0].Permanent != 3 || want.Separate {
		t.Fatalf("%+v, %v", want, err)
	}
	client, err := queue.NewClient(queue.Config{Store: operatorOnly{store, store}, Registry: queue.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	got, err := client.Overview(t.Context(), r)
	if want.Separate = true; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v, %v\nwant %+v", got, err, want)
	}
	if _, err := client.Overview(t.Context(), queue.OverviewRequest{Since: time.Now()}); !errors.Is(err, queue.ErrInvalid) {
		t.Errorf("no groups: %v", err)
	}
	if _, err := newSystem(t, setup{store: requiredStore{newStore(t)}}).client.Overview(t.Context(), r); !errors.Is(err, queue.ErrUnsupported) {
		t.Errorf("no operator: %v", err)
	}
}
