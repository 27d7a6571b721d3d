package server

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestFiguresPrintHowTasksEnded(t *testing.T) {
	c := newCLI(t)
	c.ok("migrate")
	if out := c.ok("figures"); !strings.HasPrefix(out, "TASK ") || strings.Count(out, "\n") != 2 {
		t.Errorf("with nothing there: %q", out)
	}
	c.ok("run", strings.TrimSpace(c.ok("enqueue", "demo.echo")))
	status, out, said := c.call("", "figures", "--task", "demo.echo", "--since", "2h")
	if status != 0 || !strings.Contains(out, "demo.echo ") || strings.Count(out, "\n") != 3 || !strings.Contains(said, "until ") {
		t.Errorf("%d %s %s", status, out, said)
	}
	var answer struct {
		Tasks []struct {
			Succeeded int
			Wait      struct{ Count int } `json:"wait_seconds"`
		}
	}
	if err := json.Unmarshal([]byte(c.ok("figures", "--json", "--queue", "default")), &answer); err != nil || len(answer.Tasks) != 1 || answer.Tasks[0].Succeeded != 1 || answer.Tasks[0].Wait.Count != 1 {
		t.Errorf("%+v, %v", answer, err)
	}
	c.ok("purge", "--days", "0", "--yes")
	if out := c.ok("figures"); !strings.Contains(out, "demo.echo ") {
		t.Errorf("after a purge: %s", out)
	}
	status, _, said = c.call("", "figures", "--since", "100d")
	if status == 0 || !strings.Contains(said, "--since must be less than 90 days before the end of the period") {
		t.Errorf("%d %s", status, said)
	}
}
