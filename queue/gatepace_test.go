package queue_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

// Rows of a resumed queue become claimable no faster than its rate allows: the tickets of
// the others would only be refused.
func TestAResumeKeepsToTheRateOfTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &recorder{}
		sys := newSystem(t, setup{dispatch: out}, queue.NewTask("t", nothing))
		sys.limit(queue.Limit{Kind: queue.LimitQueue, Name: "default", Starts: 10, Per: time.Minute})
		sys.pause("default")
		for range 25 {
			sys.enqueue("t", nil)
		}
		sys.pause("default") // parks them
		resumed := func(rows int, more bool) {
			t.Helper()
			if result := sys.resume("default"); result.Rows != rows || result.More != more || result.Paced != more {
				t.Errorf("%+v, want %d rows, more %t", result, rows, more)
			}
		}
		resumed(10, true)
		resumed(0, true)
		time.Sleep(30 * time.Second)
		resumed(5, true)
		time.Sleep(30 * time.Second)
		if _, err := sys.client.Sweep(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour) // no more than those of a minute
		sys.limit(queue.Limit{Kind: queue.LimitQueue, Name: "default", Starts: 3, Per: time.Minute})
		resumed(3, true)
		sys.limit(queue.Limit{Kind: queue.LimitQueue, Name: "default"})
		resumed(2, false)
		sys.shutdown()
	})
}
