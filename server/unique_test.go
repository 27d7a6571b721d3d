package server

import (
	"fmt"
	"strings"
	"testing"
)

func TestEnqueueWithAUniqueKey(t *testing.T) {
	c := newCLI(t)
	id := strings.TrimSpace(c.ok("enqueue", "demo.echo", "1", "--unique-key", "k", "--run-after=2h"))
	if out := c.ok("enqueue", "demo.echo", "2", "--unique-key=k"); out != id+"\n" {
		t.Errorf("again: %q", out)
	}
	if out := c.ok("enqueue", "demo.echo", "3", "--unique-key=k", "--json"); !strings.HasPrefix(out, `{"result":{"id":"`+id) || !strings.Contains(out, `"existed":true`) {
		t.Error(out)
	}
	if status, _, stderr := c.call("", "enqueue", "demo.echo", "4", "--unique-key=k", "--on-conflict=error"); status != 1 || !strings.Contains(stderr, `unique_key "k": task `+id+" holds it and is READY") {
		t.Errorf("%d %s", status, stderr)
	}
	if status, stdout, _ := c.call("", "enqueue", "demo.echo", "4", "--unique-key=k", "--on-conflict=error", "--json"); status != 1 || !strings.HasPrefix(stdout, `{"error":"unique_key`) || !strings.Contains(stdout, `"result":{"id":"`+id) {
		t.Errorf("%d %s", status, stdout)
	}
	if out := c.ok("enqueue", "demo.echo", "5", "--unique-key=k", "--on-conflict=replace"); out != id+"\n" {
		t.Errorf("replace: %q", out)
	}
	if out := c.ok("work") + c.ok("result", id); !strings.Contains(out, "5") {
		t.Error(out)
	}
	kept := c.ok("enqueue", "demo.echo", "--unique-key=k", "--unique-for=kept")
	c.ok("work")
	if out := c.ok("enqueue", "demo.echo", "--unique-key=k", "--unique-for", "1h"); out != kept {
		t.Errorf("kept: %q, want %q", out, kept)
	}
	for want, args := range map[string]string{
		"--unique-for needs --unique-key":           "--unique-for=1h",
		"--on-conflict needs --unique-key":          "--on-conflict=return",
		"--unique-key must be 1 to 200 bytes":       "--unique-key=",
		`--unique-for must be "unfinished", "kept"`: "--unique-key=k --unique-for=ever",
		`--on-conflict must be "return", "replace"`: "--unique-key=k --on-conflict=x",
	} {
		if status, stdout, stderr := c.call("", append([]string{"enqueue", "demo.echo"}, strings.Fields(args)...)...); status != 2 || stdout != "" || !strings.Contains(stderr, want) {
			t.Errorf("%s: %d %s", args, status, stderr)
		}
	}
}

// Duplicates within the lines, in other chunks and of stored tasks are one task each.
func TestBulkEnqueueWithUniqueKeys(t *testing.T) {
	c := newCLI(t)
	stored := strings.TrimSpace(c.ok("enqueue", "demo.echo", "--unique-key=7"))
	var lines strings.Builder
	for i := range 1500 {
		fmt.Fprintf(&lines, `{"task":"demo.echo","args":%d,"unique_key":"%d"}`+"\n", i, i%300)
	}
	status, stdout, stderr := c.call(lines.String(), "enqueue", "-")
	ids := strings.Fields(stdout)
	if status != 0 || len(ids) != 1500 {
		t.Fatalf("%d, %d IDs, %s", status, len(ids), stderr)
	}
	for i, id := range ids {
		if id != ids[i%300] || i%300 == 7 && id != stored {
			t.Fatalf("line %d: %s, and line %d: %s", i+1, id, i%300+1, ids[i%300])
		}
	}
	status, stdout, stderr = c.call(lines.String()+`{"task":"demo.echo","unique_key":"7","on_conflict":"error"}`, "enqueue", "-")
	if n := len(strings.Fields(stdout)); status != 2 || n != 1000 || !strings.Contains(stderr, `line 1501: unique_key "7": task `+stored) {
		t.Errorf("%d, %d IDs, %s", status, n, stderr)
	}
}

// A line with the key or the ID of another one names that line, and no task that is not there.
func TestBulkEnqueueNamesTheLineThatHasTheKey(t *testing.T) {
	c := newCLI(t)
	const id = "01890a5d-ac96-774b-bcce-b302099a8057"
	for lines, want := range map[string]string{
		`{"task":"demo.echo","unique_key":"k"}|{"task":"demo.echo"}||{"task":"demo.echo","unique_key":"k","on_conflict":"error"}`: `line 4: unique_key "k" is that of line 1 too; 0 tasks of the lines before its chunk are stored`,
		`{"task":"demo.echo"}|{"task":"demo.echo","id":"` + id + `"}|{"task":"demo.echo","id":"` + id + `","args":2}`:             `line 3: id ` + id + ` is that of line 2 too, with another task or other arguments;`,
	} {
		if status, stdout, stderr := c.call(strings.ReplaceAll(lines, "|", "\n"), "enqueue", "-"); status != 2 || stdout != "" || !strings.Contains(stderr, want) {
			t.Errorf("%d %s%s", status, stdout, stderr)
		}
	}
}

func TestRetrySkipsTasksWhoseKeysAreTaken(t *testing.T) {
	c := newCLI(t)
	failed := []string{c.failTasks(1, "--unique-key=k"), c.failTasks(1, "--unique-key=k")}
	c.failTasks(1)
	if out := c.ok("retry", "--all", "--yes", "--json"); out != `{"retried":2,"undispatched":0,"locked":0,"taken":1}`+"\n" {
		t.Error(out)
	}
	var refusals strings.Builder
	for _, id := range failed {
		status, _, stderr := c.call("", "retry", id)
		if status != 1 {
			t.Errorf("%s: %d %s", id, status, stderr)
		}
		refusals.WriteString(stderr)
	}
	retried := failed[0] // which one is not said
	if strings.Contains(c.ok("result", retried), "FAILED") {
		retried = failed[1]
	}
	for _, want := range []string{"the task is READY", "task " + retried + `, which is READY, holds its unique_key "k": wait for its end, or cancel it`} {
		if strings.Count(refusals.String(), want) != 1 {
			t.Errorf("%s is not said once: %s", want, refusals.String())
		}
	}
	if out, _, stderr := c.call("", "retry", "--all", "--yes"); out != 0 || !strings.Contains(stderr, "1 task not changed, because tasks that have not ended hold their unique keys") {
		t.Errorf("%d %s", out, stderr)
	}
}
