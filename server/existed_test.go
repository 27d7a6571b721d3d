package server

import (
	"strings"
	"testing"
)

// What stores nothing new says so on stderr, since what it prints looks the same.
func TestEnqueueSaysThatTheTaskExisted(t *testing.T) {
	t.Parallel()
	c := newCLI(t)
	const id = "01890a5d-ac96-774b-bcce-b302099a8057"
	steps := []struct{ args, want string }{
		{"demo.echo 1 --unique-key=k --run-after=2h --id=" + id, ""},
		{"demo.echo 1 --unique-key=k --run-after=2h --id=" + strings.ToUpper(id), "task " + id + " was stored before: nothing new was"},
		{"demo.echo 2 --unique-key=k", "task " + id + `, which is READY, holds the unique_key "k": nothing new was stored`},
		{"demo.echo 2 --unique-key=k --json", "task " + id + `, which is READY, holds the unique_key "k": nothing new was stored`},
		{"demo.echo 3 --unique-key=k --on-conflict=replace", "task " + id + ` had the unique_key "k" already, and was replaced`},
		{"demo.echo 4 --unique-key=k --wait", "task " + id + `, which is READY, holds the unique_key "k": nothing new was stored`},
		{"demo.echo 5 --unique-key=k", ""},
	}
	for _, step := range steps {
		status, _, stderr := c.call("", append([]string{"enqueue"}, strings.Fields(step.args)...)...)
		if status != 0 || step.want == "" && strings.Contains(stderr, "task ") || !strings.Contains(stderr, step.want) {
			t.Errorf("%s: %d %q, want %q", step.args, status, stderr, step.want)
		}
	}
}

// A second run of a schedule whose key is held prints the ID of the first.
func TestRunOfAScheduleSaysThatTheTaskExisted(t *testing.T) {
	t.Parallel()
	c := newCLI(t)
	c.ok("schedules", "add", "nightly", "--task=demo.echo", "--spec=0 3 * * *", "--unique-key=night", "--queue=reports", "--priority=7")
	id := strings.TrimSpace(c.ok("schedules", "run", "nightly"))
	want := "task " + id + `, which is READY, holds the unique_key "night": nothing new was stored`
	if status, stdout, stderr := c.call("", "schedules", "run", "nightly"); status != 0 || stdout != id+"\n" || !strings.Contains(stderr, want) {
		t.Errorf("%d %q %q, want %q", status, stdout, stderr, want)
	}
	if out := c.ok("schedules", "list", "nightly"); !strings.Contains(out, "queue_name reports\n  priority 7") {
		t.Error(out)
	}
}

// An expiry that is refused names the flag, and not the field of another interface.
func TestARefusedExpiryNamesTheFlag(t *testing.T) {
	t.Parallel()
	c := newCLI(t)
	for args, want := range map[string]string{
		"--run-after=1h --expires=1m":                                     "--expires must be longer than the delay of 1h0m0s, or the task never runs",
		"--expires=2001-01-01T00:00:00Z":                                  "--expires must be later than now",
		"--run-after=2100-01-01T00:00:00Z --expires=1h":                   "--expires must end after --run-after",
		"--run-after=2100-01-01T00:00:00Z --expires=2099-01-01T00:00:00Z": "--expires must be later than --run-after",
	} {
		if status, stdout, stderr := c.call("", append([]string{"enqueue", "demo.echo"}, strings.Fields(args)...)...); status != 2 || stdout != "" || !strings.Contains(stderr, want) || strings.Contains(stderr, "expires_") {
			t.Errorf("%s: %d %q, want %q", args, status, stderr, want)
		}
	}
	if status, stdout, _ := c.call("", "enqueue", "demo.echo", "--run-after=1h", "--expires=1m", "--json"); status != 2 || !strings.HasPrefix(stdout, `{"error":"expires_in must be longer than the delay`) {
		t.Errorf("as JSON: %d %s", status, stdout)
	}
}
