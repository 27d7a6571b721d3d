package examples_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The program has every command under its own name, and a task with a dependency,
// which only the commands that need it make.
func TestServe(t *testing.T) {
	program := outside(t, "serve")
	dir := t.TempDir()
	mailbox := filepath.Join(dir, "mailbox")
	for _, c := range []struct {
		command string
		mailbox string
		status  int
		want    string
	}{
		{"migrate", "", 0, "applied"},
		{"tasks", "", 1, "serve: setup of the tasks failed: MAILBOX is required"},
		{"tasks", mailbox, 0, "emails.send_welcome"},
		{`enqueue greet "world" --wait`, mailbox, 0, `"Hello, world!"`},
		{`enqueue emails.send_welcome {"email":"zoe@example.com"} --wait`, mailbox, 0, "@example.com"},
		{`enqueue emails.send_welcome {"email":"nobody"}`, mailbox, 0, ""},
		{"work --failed-exit-code 3", mailbox, 3, "missing '@'"},
		{"status", "", 0, ""},
		{"doctor", mailbox, 0, "2 tasks are registered"},
		{"version", "", 0, "serve "},
		{"--no-such-flag", "", 2, "serve: unknown flag"},
	} {
		run := exec.CommandContext(t.Context(), program, strings.Fields(c.command)...)
		run.Dir, run.Env = dir, []string{"HOME=" + dir, "MAILBOX=" + c.mailbox}
		out, _ := run.CombinedOutput()
		if status := run.ProcessState.ExitCode(); status != c.status || !strings.Contains(string(out), c.want) {
			t.Errorf("%s: status %d, want %d and %q\n%s", c.command, status, c.status, c.want, out)
		}
	}
	if mails := read(t, mailbox); strings.Count(mails, "Message-ID:") != 1 || !strings.Contains(mails, "To: <zoe@example.com>") {
		t.Errorf("sent: %s", mails)
	}
}

// The example's own test, which docs/your-own-program.md quotes, passes where it is.
func TestServesOwnTest(t *testing.T) {
	test := exec.CommandContext(t.Context(), "go", "test", "-v", "-count=1", ".")
	test.Dir, test.Env = "serve", append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=readonly", "GOPROXY=off")
	if out, err := test.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: TestTheWelcomeMailIsWritten") {
		t.Errorf("%v\n%s", err, out)
	}
}
