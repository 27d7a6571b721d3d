package api_test

import (
	"encoding/json"
	"testing"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/api"
)

// An answer has no arguments that are still encrypted.
func TestAScheduleThatIsUnreadableHasNoArguments(t *testing.T) {
	body := api.ScheduleOf(&queue.Schedule{Name: "s", Args: json.RawMessage(`"claimcheck:1:k1:schedule:AAAA"`), KeyID: "k1", Unreadable: "no key"})
	if body.Args != nil || body.Unreadable != "no key" {
		t.Errorf("args %s, unreadable %q", body.Args, body.Unreadable)
	}
}
