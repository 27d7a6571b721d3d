package server

import (
	"strings"
	"testing"

	"github.com/claimcheck-go/claimcheck/queue"
)

func TestHelpOfTheProgramHasTheCommandsTheSettingsAndTheFlagsOfServe(t *testing.T) {
	c := newCLI(t)
	out := c.ok("--help")
	for _, text := range []string{"--database-url", "$DATABASE_URL", "--tasks-lease", "$TASKS_LEASE", "--listen", "$CLAIMCHECK_LISTEN", "--concurrency", "--migrate", "--version"} {
		if !strings.Contains(out, text) {
			t.Errorf("it lacks %s", text)
		}
	}
	for _, command := range commandLine(t).Children {
		if !strings.Contains(out, "\n  "+command.Name+" ") {
			t.Errorf("it lacks the command %s", command.Name)
		}
	}
	if again := c.ok("help"); again != out {
		t.Errorf("help prints something else:\n%s", again)
	}
}

func TestHelpOfACommandHasItsOwnFlagsAndLittleElse(t *testing.T) {
	c := newCLI(t)
	c.name = "mailer"
	for _, command := range commandLine(t).Children {
		out := c.ok(command.Name, "--help")
		if lines := strings.Count(out, "\n"); lines >= 60 {
			t.Errorf("%s: %d lines, want fewer than 60", command.Name, lines)
		}
		for _, flag := range command.Flags {
			if flag.Name != "help" && (!strings.Contains(out, " --"+flag.Name) || !strings.Contains(out, "$"+flag.Envs[0])) {
				t.Errorf("%s: --%s or its variable %s is missing", command.Name, flag.Name, flag.Envs)
			}
		}
		if !strings.Contains(out, "mailer --help lists the settings") || !strings.HasPrefix(out, "Usage: mailer "+command.Name) {
			t.Errorf("%s: the program's name or its settings are missing:\n%s", command.Name, out)
		}
		if strings.Contains(out, "DATABASE_URL") || strings.Contains(out, "server "+command.Name) || strings.Contains(out, namePlaceholder) || strings.Contains(out, taskPlaceholder) {
			t.Errorf("%s: a setting, another name, or a placeholder is in it:\n%s", command.Name, out)
		}
		if again := c.ok("help", command.Name); again != out {
			t.Errorf("help %s prints something else:\n%s", command.Name, again)
		}
	}
}

// The examples of a program can be copied: they name a task that it has.
func TestExamplesNameATaskOfTheProgram(t *testing.T) {
	for name, tasks := range map[string][]queue.Definition{
		"orders.ship": {queue.Declare[string, string]("orders.ship"), queue.NewTask("accounts.close", echoTask)},
		"NAME":        nil,
	} {
		for command, want := range map[string]string{
			"enqueue": "\n    shop enqueue " + name + ` '{"hello":"world"}' --wait` + "\n",
			"retry":   "\n    shop retry --all --task " + name + " --yes\n",
		} {
			status, out, _ := runProgram(t, appConfig(t, tasks...), command, "--help")
			if status != 0 || !strings.Contains(out, want) || strings.Contains(out, "demo.") || strings.Contains(out, "claimcheck.probe") {
				t.Errorf("status %d, want %q in:\n%s", status, want, out)
			}
		}
	}
}

// An error about a missing argument shows the command's usage.
func TestMistakesShowTheUsageOfTheCommand(t *testing.T) {
	for want, args := range map[string][]string{
		`mailer: expected "<id>"; usage: mailer result <id> [flags]`:                              {"result"},
		`mailer: expected "<id>"; usage: mailer cancel <id> [flags]`:                              {"cancel"},
		`mailer: expected "<name>"; usage: mailer enqueue <name> [<args>] [flags]`:                {"enqueue"},
		"mailer: missing flags: --older-than=15m; usage: mailer requeue --older-than=15m [flags]": {"requeue"},
		`mailer: expected "<shell>"; usage: mailer completion <shell> [flags]`:                    {"completion"},
		"mailer: unknown flag --nope (mailer work --help shows its flags)":                        {"work", "--nope"},
		"mailer: unknown flag --nope (mailer --help lists all settings)":                          {"--nope"},
		`mailer: unknown command "wok", did you mean "work"? (mailer --help lists the commands)`:  {"help", "wok"},
		`mailer: unknown command "xyz" (mailer --help lists the commands)`:                        {"help", "xyz"},
		`mailer: unknown command "errands" (mailer --help lists the commands)`:                    {"errands"},
		"mailer: --listen needs a value (mailer --help lists all settings)":                       {"--listen"},
		"mailer: --concurrency needs a value (mailer work --help shows its flags)":                {"work", "--concurrency"},
		"usage: mailer retry ID | --all [flags]":                                                  {"retry"},
	} {
		c := newCLI(t)
		c.name = "mailer"
		if status, stdout, stderr := c.call("", args...); status != 2 || !strings.Contains(stderr, want) || strings.Count(stderr, "\n") != 1 || stdout != "" {
			t.Errorf("%v: status %d\n%s%swant %s", args, status, stdout, stderr, want)
		}
	}
}

func TestVersion(t *testing.T) {
	c := newCLI(t)
	c.name, c.version = "mailer", "v1.2.3"
	lines := strings.Split(c.ok("version"), "\n")
	if len(lines) != 4 || lines[0] != "mailer v1.2.3" || !strings.HasPrefix(lines[1], "commit ") || !strings.HasPrefix(lines[2], "go1.") {
		t.Errorf("%q", lines)
	}
	if out := c.ok("--version"); out != strings.Join(lines, "\n") {
		t.Errorf("--version prints %q", out)
	}
	if out := c.ok("version", "--json"); !strings.HasPrefix(out, `{"name":"mailer","version":"v1.2.3","revision":"`) || !strings.Contains(out, `"go":"go1.`) {
		t.Error(out)
	}
	c.version = "" // that of the build
	if out := c.ok("version"); !strings.HasPrefix(out, "mailer ") || strings.HasPrefix(out, "mailer \n") {
		t.Error(out)
	}
}
