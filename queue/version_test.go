package queue_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

// Every other ticket of an unclaimed row may go to any version, and so may every
// ticket from the sweeper of a version that does not know the task.
func TestTicketsOfStrandedRowsMayGoAnywhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		anywhere := func(out *recorder) (got []bool) {
			for _, ticket := range out.sent() {
				got = append(got, ticket.AnyVersion)
			}
			return got
		}
		out := &recorder{}
		sys := newSystem(t, setup{dispatch: out}, queue.NewTask("t", nothing))
		sys.enqueue("t", nil)
		for range 3 {
			time.Sleep(24 * time.Hour)
			sys.sweep(0, queue.SweepResult{Dispatched: 1})
		}
		if got := anywhere(out); !slices.Equal(got, []bool{false, false, true, false}) {
			t.Errorf("a version that knows the task: %v", got)
		}

		other := &recorder{}
		client, err := queue.NewClient(queue.Config{
			Store: sys.store, Registry: queue.NewRegistry(queue.NewTask("other", nothing)), Dispatcher: other,
		})
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			time.Sleep(24 * time.Hour)
			if _, err := client.Sweep(t.Context(), 0); err != nil {
				t.Fatal(err)
			}
		}
		if got := anywhere(other); !slices.Equal(got, []bool{true, true, true}) {
			t.Errorf("a version that does not: %v", got)
		}
	})
}
