package queue_test

import (
	"testing"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

func TestRegistryTellsABackoff(t *testing.T) {
	r := queue.NewRegistry(
		queue.Declare[any, any]("t.own", queue.Backoff(queue.Exponential(time.Second, time.Minute)), queue.Description("Does it.")),
		queue.Declare[any, any]("t.panics", queue.Backoff(func(int) time.Duration { panic("no") })),
		queue.Declare[any, any]("t.none"),
	)
	for task, own := range map[string]bool{"t.own": true, "t.panics": false, "t.none": false, "t.unknown": false} {
		if wait, ok := r.Backoff(task, 3); ok != own || own != (wait > 0) {
			t.Errorf("%s: %s, %t", task, wait, ok)
		}
	}
	for _, info := range r.Tasks() {
		if info.Name == "t.own" && (info.Description != "Does it." || !info.Backoff) {
			t.Errorf("%+v", info)
		}
	}
}
