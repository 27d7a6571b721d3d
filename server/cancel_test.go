package server

import (
	"strings"
	"testing"

	"github.com/google/uuid"
)

func TestCancelAnswersAsTheEndpoint(t *testing.T) {
	c := newCLI(t)
	first, second := strings.TrimSpace(c.ok("enqueue", "demo.echo")), strings.TrimSpace(c.ok("enqueue", "demo.echo"))
	if out := c.ok("cancel", first); out != first+" cancelled\n" {
		t.Error(out)
	}
	if out := c.ok("cancel", second, "--json"); !strings.HasPrefix(out, `{"cancelled":true,"result":{"id":"`+second) || !strings.Contains(out, `"status":"CANCELLED"`) {
		t.Error(out)
	}
	if status, stdout, stderr := c.call("", "cancel", first); status != 1 || stdout != "" || !strings.Contains(stderr, "not cancelled: the task is CANCELLED") {
		t.Errorf("again: %d %s%s", status, stdout, stderr)
	}
	if status, stdout, _ := c.call("", "cancel", first, "--json"); status != 1 || !strings.HasPrefix(stdout, `{"cancelled":false,"result":{`) {
		t.Errorf("again: %d %s", status, stdout)
	}
	if status, stdout, stderr := c.call("", "cancel", uuid.NewString(), "--json"); status != 1 || stdout != `{"error":"Task not found"}`+"\n" || !strings.Contains(stderr, "was never in this database") {
		t.Errorf("absent: %d %s%s", status, stdout, stderr)
	}
	if status, _, stderr := c.call("", "cancel", "7"); status != 2 || !strings.Contains(stderr, "ID must be a UUID") {
		t.Errorf("%d %s", status, stderr)
	}
}
