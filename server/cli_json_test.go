package server

import (
	"strings"
	"testing"

	"github.com/google/uuid"
)

// With --json, whoever reads stdout is told what the endpoint would have said.
func TestErrorsAreJSONTooWhereTheEndpointAnswersThem(t *testing.T) {
	c := newCLI(t)
	id := uuid.NewString()
	c.ok("enqueue", "demo.echo", "1", "--id", id)
	for _, step := range []struct {
		args   []string
		status int
		stdout string
		stderr string
	}{
		{[]string{"result", uuid.NewString()}, 1, `{"error":"Task not found"}`, "not found: it never was in this database"},
		{[]string{"run", uuid.NewString()}, 1, `{"error":"Task not found"}`, ""},
		{[]string{"enqueue", "demo.echo", "2", "--id", id}, 2, `{"error":"this id belongs to another task already"}`, "server: "},
		{[]string{"enqueue", "demo.ecko"}, 2, `{"error":"task \"demo.ecko\" is not registered`, "is not registered"},
		{[]string{"enqueue", "demo.echo", "--backend", "x"}, 2, `{"error":"Invalid backend name"}`, `--backend "x" is not known`},
		{[]string{"status", "--backend", "x"}, 2, `{"error":"Invalid backend name"}`, `--backend "x" is not known`},
	} {
		status, stdout, stderr := c.call("", append(step.args, "--json")...)
		if status != step.status || !strings.HasPrefix(stdout, step.stdout) || strings.Count(stdout, "\n") != 1 || !strings.Contains(stderr, step.stderr) {
			t.Errorf("%v: status %d\n%s%s", step.args, status, stdout, stderr)
		}
		if _, stdout, _ := c.call("", step.args...); stdout != "" {
			t.Errorf("%v prints %q", step.args, stdout)
		}
	}
}
