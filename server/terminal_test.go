package server

import (
	"bytes"
	"io"
	"regexp"
	"strings"
	"testing"

	"github.com/creack/pty"
	"github.com/google/uuid"
)

// onTerminal runs the program on a terminal of its own, answers its question, if it
// asks one, and returns what is on the screen, without carriage returns.
func onTerminal(t *testing.T, dir string, env []string, answer string, args ...string) string {
	t.Helper()
	command := procCommand(t, procPatience, dir, append([]string{"TERM=xterm"}, env...), args...)
	terminal, err := pty.StartWithSize(command, &pty.Winsize{Rows: 50, Cols: 200})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = terminal.Close() }()
	var screen bytes.Buffer
	part := make([]byte, 4096)
	for {
		n, err := terminal.Read(part) // EIO at the end
		screen.Write(part[:n])
		if answer != "" && strings.HasSuffix(screen.String(), "[y/N] ") {
			if _, err := io.WriteString(terminal, answer+"\n"); err != nil {
				t.Fatal(err)
			}
			answer = ""
		}
		if err != nil {
			break
		}
	}
	_ = command.Wait()
	return strings.ReplaceAll(screen.String(), "\r", "")
}

var colourCode = regexp.MustCompile("\x1b\\[[0-9;]*m")

// Tables are the same on a terminal and in a pipe, but for the colours.
func TestColoursOnATerminalOnly(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	procRun(t, dir, nil, "", "enqueue", "demo.fail", `{"message":"no luck"}`, "--id", "01890a5d-ac96-774b-bcce-b302099a8057")
	procRun(t, dir, nil, "", "work")
	for _, step := range []struct{ args, coloured string }{
		{"list", "\x1b[31mFAILED\x1b[0m"},
		{"status", "\x1b[31m1\x1b[0m"},
		{"tasks", "\x1b[1mNAME\x1b[22m"},
		{"result 01890a5d-ac96-774b-bcce-b302099a8057", "\x1b[31mFAILED\x1b[0m"},
		{"doctor", "\x1b[32mok\x1b[0m"},
		{"migrate status", "\x1b[32mapplied"},
	} {
		args := strings.Fields(step.args)
		piped := procRun(t, dir, []string{"TERM=xterm"}, "", args...)
		if piped.stdout == "" || strings.Contains(piped.stdout, "\x1b") {
			t.Errorf("%s in a pipe: %q", step.args, piped.stdout)
		}
		screen := onTerminal(t, dir, nil, "", args...)
		if !strings.Contains(screen, step.coloured) {
			t.Errorf("%s on a terminal: %q lacks %q", step.args, screen, step.coloured)
		}
		if args[0] != "doctor" && !strings.HasSuffix(colourCode.ReplaceAllString(screen, ""), piped.stdout) { // doctor measures times
			t.Errorf("%s: on a terminal\n%s\nin a pipe\n%s", step.args, screen, piped.stdout)
		}
		for _, plain := range []string{"NO_COLOR=1", "TERM=dumb"} {
			if screen := onTerminal(t, dir, []string{plain}, "", args...); strings.Contains(screen, "\x1b") {
				t.Errorf("%s with %s: %q", step.args, plain, screen)
			}
		}
	}
}

func TestTablesAlignWideAndColouredText(t *testing.T) {
	table := &table{colours: true}
	table.head("A", "B")
	table.row(statusCell("FAILED"), plain("x"))
	table.row(plain("日本"), plain("y\x1b[2J"), plain(""))
	var out bytes.Buffer
	if err := table.print(&out); err != nil {
		t.Fatal(err)
	}
	if got, want := colourCode.ReplaceAllString(out.String(), ""), "A       B\nFAILED  x\n日本    y [2J\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestBulkEnqueueOnATerminalPrintsASummary(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, step := range []struct {
		args []string
		want string
	}{
		{[]string{"enqueue", "-"}, `^2 tasks stored$`},
		{[]string{"enqueue", "-", "--ids"}, `^[0-9a-f-]{36}\n[0-9a-f-]{36}$`},
		{[]string{"enqueue", "-", "--json"}, `^\{"result":.*\n\{"result":`},
	} {
		// Only its output is a terminal.
		command := procCommand(t, procPatience, dir, []string{"TERM=xterm"}, step.args...)
		terminal, tty, err := pty.Open()
		if err != nil {
			t.Fatal(err)
		}
		command.Stdin, command.Stdout = strings.NewReader("{\"task\":\"demo.echo\"}\n{\"task\":\"demo.echo\"}\n"), tty
		if err := command.Run(); err != nil {
			t.Fatal(err)
		}
		_ = tty.Close()
		screen, _ := io.ReadAll(terminal) // until EIO
		_ = terminal.Close()
		if text := strings.TrimSpace(strings.ReplaceAll(string(screen), "\r", "")); !regexp.MustCompile(step.want).MatchString(text) {
			t.Errorf("%v: %q, want %s", step.args, text, step.want)
		}
	}
}

func TestRetryAsksOnATerminalWithTheCount(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for range 3 {
		procRun(t, dir, nil, "", "enqueue", "demo.fail", `{"message":"no luck"}`)
	}
	procRun(t, dir, nil, "", "work")
	for _, step := range []struct {
		answer string
		args   []string
		want   []string
	}{
		{"n", []string{"--task=demo.fail"}, []string{"Retry 3 tasks (failed tasks named demo.fail)? [y/N] "}},
		{"", []string{"--task=demo.echo"}, []string{"0 tasks retried"}},
		{"y", nil, []string{"Retry 3 tasks (all failed tasks)? [y/N] ", "3 tasks retried\n"}},
		{"", []string{"--yes"}, []string{"0 tasks retried\n"}},
	} {
		screen := onTerminal(t, dir, nil, step.answer, append([]string{"retry", "--all"}, step.args...)...)
		for _, want := range step.want {
			if !strings.Contains(screen, want) {
				t.Errorf("%q to %v: %q lacks %q", step.answer, step.args, screen, want)
			}
		}
		if step.answer == "n" && strings.Contains(screen, "retried") {
			t.Errorf("%q", screen)
		}
	}
}

func TestResultPrintsTheArgumentsWhenAsked(t *testing.T) {
	c := newCLI(t)
	id := uuid.NewString()
	c.ok("enqueue", "demo.echo", `{"secret":1}`, "--id", id)
	for _, args := range [][]string{{"result", id}, {"result", id, "--json"}} {
		if out := c.ok(args...); strings.Contains(out, "secret") {
			t.Errorf("%v: %s", args, out)
		}
		if out := c.ok(append(args, "--args")...); !strings.Contains(out, `{"secret":1}`) {
			t.Errorf("%v --args: %s", args, out)
		}
	}
	if out := c.ok("result", id, "--json", "--args"); !strings.HasPrefix(out, `{"result":{`) || !strings.HasSuffix(out, `,"args":{"secret":1}}`+"\n") {
		t.Error(out)
	}
}
