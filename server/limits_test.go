package server

import (
	"bytes"
	"log/slog"
	"strconv"
	"strings"
	"testing"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/config"
)

func TestLimitsAreSetListedAndRemoved(t *testing.T) {
	c := newCLI(t)
	c.ok("migrate")
	for _, step := range []struct{ args, want string }{
		{"queues limit emails --running 20 --starts 100/1m", "queue emails: at most 20 running, at most 100 starts within 1m\n"},
		{"queues limit emails --starts none", "queue emails: at most 20 running\n"},
		{"limits set demo.echo --running=2 --starts=10/1", "task demo.echo: at most 2 running, at most 10 starts within 1s\n"},
		{"limits set demo.echo --each --running 1", "each key of task demo.echo: at most 1 running\n"},
		{"limits set tenant/17 --running 3", "key tenant/17: at most 3 running\n"},
		{"limits remove tenant/17", "key tenant/17: no limit\n"},
		{"queues limit unused --running none", "queue unused: no limit\n"},
		{"queues limit emails --running 21 --json", `{"kind":"queue","name":"emails","running":21,"rate":null,"set_by":"operator","warning":"no task of this program, no allow-list and no recent task has the queue emails: is the name right?"}` + "\n"},
		{"limits --json", `{"limits":[{"kind":"each","name":"demo.echo","running":1,"rate":null,"set_by":"operator","running_count":0},` +
			`{"kind":"name","name":"demo.echo","running":2,"rate":{"starts":10,"per":"1s"},"set_by":"operator","running_count":0},` +
			`{"kind":"queue","name":"emails","running":21,"rate":null,"set_by":"operator","running_count":0}]}` + "\n"},
	} {
		if out := c.ok(strings.Fields(step.args)...); out != step.want {
			t.Errorf("%s: %s, want %s", step.args, out, step.want)
		}
	}
	wantFields := func(line string, want ...string) {
		t.Helper()
		if got := strings.Fields(line); strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("%q, want %q", got, want)
		}
	}
	lines := strings.Split(c.ok("limits"), "\n")
	wantFields(lines[1], "each", "key", "of", "demo.echo", "0", "in", "all", "1", "each", "operator")
	wantFields(lines[2], "task", "or", "key", "demo.echo", "0", "2", "10/1s", "operator")
	wantFields(lines[3], "queue", "emails", "0", "21", "operator")
	wantFields(strings.Split(c.ok("queues"), "\n")[1], "emails", "0", "0", "21")
	c.ok("limits", "remove", "demo.echo", "--each")
	c.ok("queues", "limit", "emails", "--running=none")
	if out := c.ok("limits"); strings.Contains(out, "each") || strings.Contains(out, "emails") {
		t.Error(out)
	}
}

// A limit that seems to limit nothing is set with a warning.
func TestLimitsThatLimitNothingAreWarnedAbout(t *testing.T) {
	c := newCLI(t)
	c.ok("migrate")
	for args, want := range map[string]string{
		"queues limit deflt --running 1":             "has the queue deflt: is the name right?",
		"queues limit default --running 1":           "",
		"limits set demo.ehco --running 1":           "did you mean demo.echo?",
		"limits set demo.echo --running 1":           "",
		"limits set default --running 1":             "which is that of a queue",
		"limits set demo.echo --each --running 1":    "task demo.echo has no LimitKey",
		"limits set demo.ehco --each --running 1":    "did you mean demo.echo?",
		"limits set demo.ehco --each --running none": "",
	} {
		status, _, stderr := c.call("", strings.Fields(args)...)
		if status != 0 || strings.Contains(stderr, "warning: ") != (want != "") || !strings.Contains(stderr, want) {
			t.Errorf("%s: status %d, %s, want %q", args, status, stderr, want)
		}
	}
}

func TestLimitsThatAreRefused(t *testing.T) {
	c := newCLI(t)
	c.ok("migrate")
	for args, want := range map[string]string{
		"queues limit":                         "queues limit needs the name of a queue",
		"queues limit emails":                  "give --running, --starts or both, as in: server queues limit emails --running 20 --starts 100/1m",
		"queues limit emails --running 0":      "--running must be a whole number from 1 to 10000, or none, not \"0\"; to run nothing, pause the queue",
		"queues limit emails --running many":   "--running must be",
		"queues limit emails --starts 5":       "--starts must be N/PERIOD such as 10/1s, N from 1 to 10000 and the period from 1ms to 744h, or none, not \"5\"",
		"queues limit emails --starts 5/1d":    "--starts must be",
		"queues limit emails --starts none/1s": "--starts must be",
		"queues limit emails --starts 5/800h":  "--starts must be",
		"queues pause emails --running 5":      "--running belongs to queues limit, and not to queues pause",
		"queues limit emails --reason x":       "--reason is why a queue is paused",
		"queues limit a%b --running 1":         "queue \"a%b\"",
		"limits set":                           "limits set needs a name",
		"limits set demo.echo":                 "give --running, --starts or both, as in: server limits set demo.echo",
		"limits set a%b --each --running 1":    "task \"a%b\"",
		"limits remove demo.echo --running 1":  "--running belongs to limits set",
		"limits list demo.echo":                "limits list takes no name",
		"limits --starts 1/1s":                 "--starts belongs to limits set",
		"limits set a --reset --running 1":     "--reset sets what the code of the program does: leave out --running and --starts",
		"limits --each":                        "--each belongs to limits set",
	} {
		status, stdout, stderr := c.call("", strings.Fields(args)...)
		if status != 2 || stdout != "" || !strings.Contains(stderr, want) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%s: status %d\n%s%s, want %s", args, status, stdout, stderr, want)
		}
	}
	if out := c.ok("limits", "--json"); out != `{"limits":[]}`+"\n" {
		t.Error(out)
	}
}

// There is nothing to remove: that is refused with what is probably meant, and nothing is
// recorded that would keep out a limit of later code.
func TestALimitThatDoesNotExistIsNotRemoved(t *testing.T) {
	c := newCLI(t)
	c.ok("migrate")
	c.ok("queues", "limit", "emails", "--running", "3")
	c.ok("limits", "set", "demo.echo", "--each", "--running", "1")
	c.ok("limits", "set", "demo.fail", "--running", "1")
	for args, want := range map[string]string{
		"limits remove tenant-9":         "key tenant-9 has no limit, and nothing was changed: server limits lists those that are set",
		"limits remove emails":           "key emails has no limit; the queue emails has one, which server queues limit emails --running none --starts none removes",
		"limits remove demo.echo":        "task demo.echo has no limit; each key of this task has one, which --each removes",
		"limits remove demo.fail --each": "each key of task demo.fail has no limit; to remove that of demo.fail itself, leave out --each",
	} {
		if status, _, stderr := c.call("", strings.Fields(args)...); status != 2 || !strings.Contains(stderr, want) {
			t.Errorf("%s: status %d, %s, want %s", args, status, stderr, want)
		}
	}
	client := c.openWith(queue.Limit{Kind: queue.LimitName, Name: "tenant-9", Running: 4}, queue.Limit{Kind: queue.LimitQueue, Name: "emails", Running: 5})
	if limits := c.ok("limits", "--json"); !strings.Contains(limits, `"name":"tenant-9","running":4,"rate":null,"set_by":"code"`) || !strings.Contains(client, "an operator has changed or removed a limit that the code sets") ||
		!strings.Contains(client, "queue emails: 3 running") || strings.Contains(client, "tenant-9") {
		t.Error(limits, client)
	}
}

// Names that a table does not show are quoted.
func TestNamesOfLimitsAreReadable(t *testing.T) {
	c := newCLI(t)
	c.ok("migrate")
	for _, name := range []string{" w", "€\n", "  "} {
		if out := c.ok("limits", "set", name, "--running", "1"); !strings.HasPrefix(out, "key "+strconv.Quote(name)+": ") {
			t.Error(out)
		}
		if out := c.ok("limits"); !strings.Contains(out, strconv.Quote(name)) {
			t.Error(out)
		}
	}
}

// A task that a limit keeps from running is not run by hand, and the reason is printed.
func TestATaskOverALimitIsNotRun(t *testing.T) {
	c := newCLI(t)
	c.env["TASKS_MODE"] = "pull"
	c.ok("migrate")
	c.ok("limits", "set", "demo.echo", "--starts", "1/1h")
	first, second := strings.TrimSpace(c.ok("enqueue", "demo.echo", "1")), strings.TrimSpace(c.ok("enqueue", "demo.echo", "2"))
	c.ok("run", first)
	status, stdout, stderr := c.call("", "run", second)
	if status != 1 || stdout != "" || !strings.Contains(stderr, "not run: ") || !strings.Contains(stderr, "limits lists the limits; it starts by itself when they allow it") {
		t.Errorf("%d %s%s", status, stdout, stderr)
	}
	if out := c.ok("list", "--status", "READY", "--json"); !strings.Contains(out, second) {
		t.Errorf("the task that waits is not listed: %s", out)
	}
}

// openWith starts a program with these limits in its configuration, and returns its log.
func (c *cli) openWith(limits ...queue.Limit) string {
	c.t.Helper()
	var log bytes.Buffer
	app, err := Open(c.t.Context(), Config{Name: "server", Tasks: testTasks, IgnoreEnv: true, Limits: limits, Logger: slog.New(slog.NewTextHandler(&log, nil)),
		Settings: Settings{DatabaseURL: c.env["DATABASE_URL"], TasksMode: config.ModeLocal}})
	if err != nil {
		c.t.Fatal(err)
	}
	app.storeSchedules(c.t.Context())
	if err := app.Shutdown(c.t.Context()); err != nil {
		c.t.Fatal(err)
	}
	return log.String()
}

// The limits of Config are set when the program starts. An operator's are kept.
func TestLimitsOfTheProgramAreSetAtItsStart(t *testing.T) {
	c := newCLI(t)
	open := func(running int) { c.openWith(queue.Limit{Kind: queue.LimitQueue, Name: "emails", Running: running}) }
	open(3)
	if out := c.ok("limits", "--json"); !strings.Contains(out, `"running":3,"rate":null,"set_by":"code"`) {
		t.Error(out)
	}
	open(4)
	if out := c.ok("limits", "--json"); !strings.Contains(out, `"running":4,"rate":null,"set_by":"code"`) {
		t.Error(out)
	}
	c.ok("queues", "limit", "emails", "--running", "9")
	open(5)
	if out := c.ok("limits", "--json"); !strings.Contains(out, `"running":9,"rate":null,"set_by":"operator"`) {
		t.Error(out)
	}
	if out := c.ok("queues", "limit", "emails", "--reset"); out != "queue emails: no limit\n" { // this command line has no limits in its code
		t.Error(out)
	}
	open(6)
	if out := c.ok("limits", "--json"); !strings.Contains(out, `"running":6,"rate":null,"set_by":"code"`) {
		t.Error(out)
	}
	_, err := Open(t.Context(), Config{Name: "server", Tasks: testTasks, IgnoreEnv: true, Settings: Settings{DatabaseURL: "sqlite::memory:"}, Limits: []queue.Limit{{Kind: queue.LimitQueue, Name: "emails", Running: -1}}})
	if err == nil || !strings.Contains(err.Error(), "Config.Limits[0]: running must be a whole number from 1 to 10000, not -1") {
		t.Error(err)
	}
}
