package queue_test

import (
	"fmt"
	"testing"

	"github.com/claimcheck-go/claimcheck/queue"
)

// Rows from before a task was renamed have its old name.
func ExampleRegistry_ByAnyName() {
	registry := queue.NewRegistry(queue.Declare[any, any]("billing.charge_card", queue.Alias("payments.charge")))
	hidden := registry.ByAnyName(func(task string) bool { return task == "billing.charge_card" })
	fmt.Println(hidden("billing.charge_card"), hidden("payments.charge"), hidden("emails.send_welcome"))
	// Output: true true false
}

func TestByAnyNameAsksForAllNamesOfATask(t *testing.T) {
	r := queue.NewRegistry(queue.Declare[any, any]("new", queue.Alias("old", "older")), queue.Declare[any, any]("other"))
	if r.ByAnyName(nil) != nil {
		t.Error("nothing is asked, but the answer is not nil")
	}
	for _, name := range []string{"new", "old", "older", "other", "unknown"} {
		is := r.ByAnyName(func(task string) bool { return task == name })
		for _, task := range []string{"new", "old", "older", "other", "unknown"} {
			same := name != "other" && name != "unknown" && task != "other" && task != "unknown"
			if is(task) != (same || task == name) {
				t.Errorf("%s for %s: %v", name, task, is(task))
			}
		}
	}
}
