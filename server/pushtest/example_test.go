package pushtest_test

import (
	"testing"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/queuetest"
	"github.com/claimcheck-go/claimcheck/server/pushtest"
)

func ExampleStart() {
	_ = func(t *testing.T) { // a test
		s := pushtest.Start(t, queue.Config{Registry: queue.NewRegistry(flaky)})
		if _, err := flaky.Enqueue(t.Context(), s.Client, "it"); err != nil { // what the code under test does
			t.Fatal(err)
		}
		s.Wait(t, 10*time.Second)
		queuetest.RequireEnqueued(t, s.Client, flaky, queuetest.Status(queue.StatusSuccessful))
	}
}
