package server

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/claimcheck-go/claimcheck/internal/testproc"
	"github.com/claimcheck-go/claimcheck/queue"
)

// startVariable makes the test binary the program of [startProgram].
const startVariable = "TEST_START_PROGRAM"

// startProgram runs the command of os.Args in a program whose Setup waits as told.
func startProgram(setup string) int {
	cfg := Config{Name: "shop", Tasks: testTasks, OwnVariables: []string{startVariable}}
	cfg.Setup = func(ctx context.Context, app *App) ([]queue.Definition, error) {
		app.OnClose(func() error { fmt.Fprintln(os.Stderr, "OnClose was called"); return nil })
		context.AfterFunc(ctx, func() { fmt.Fprintln(os.Stderr, "the context of Setup has ended") })
		fmt.Fprintln(os.Stderr, "Setup was called")
		switch setup {
		case "waits":
			<-ctx.Done()
			return nil, ctx.Err()
		case "ignores":
			<-make(chan struct{})
		case "panics":
			panic("Setup panics")
		}
		return nil, nil
	}
	return Run(context.Background(), cfg, os.Args[1:])
}

// start starts a command of startProgram.
func start(t *testing.T, setup string, env []string, args ...string) (*exec.Cmd, *testproc.Log) {
	t.Helper()
	command := exec.CommandContext(t.Context(), os.Args[0], args...)
	command.Dir = t.TempDir()
	command.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + command.Dir, startVariable + "=" + setup}, env...)
	log := testproc.NewLog(t, command)
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	return command, log
}

// startCommands are those that drain at a signal.
var startCommands = [][]string{{"serve", "--listen=127.0.0.1:0"}, {"work", "--continuous"}}

// A signal while Setup waits for its context ends serve and work with status 0, once
// what Setup opened is closed.
func TestSignalDuringSetup(t *testing.T) {
	t.Parallel()
	for _, args := range startCommands {
		command, log := start(t, "waits", nil, args...)
		procWait(t, "Setup", func() bool { return strings.Contains(log.String(), "Setup was called") })
		if err := command.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if err := command.Wait(); err != nil || !strings.Contains(log.String(), "OnClose was called") {
			t.Errorf("%s: %v\n%s", args, err, log)
		}
	}
}

// The same holds while the database does not answer.
func TestSignalWhileTheDatabaseDoesNotAnswer(t *testing.T) {
	t.Parallel()
	for _, args := range startCommands {
		listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		command, log := start(t, "returns", []string{"TASKS_MODE=pull", "TASK_API_TOKEN=0123456789abcdefghijklmnopqrstuv", "DATABASE_URL=postgres://u@" + listener.Addr().String() + "/x?sslmode=disable"}, args...)
		connection, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if err := command.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if err := command.Wait(); err != nil || !strings.Contains(log.String(), "OnClose was called") {
			t.Errorf("%s: %v\n%s", args, err, log)
		}
		_, _ = connection.Close(), listener.Close()
	}
}

// The second signal ends a process whose Setup ignores the first.
func TestSecondSignalDuringSetup(t *testing.T) {
	t.Parallel()
	for _, args := range startCommands {
		command, log := start(t, "ignores", nil, args...)
		for _, text := range []string{"Setup was called", "the context of Setup has ended"} {
			procWait(t, text, func() bool { return strings.Contains(log.String(), text) })
			if err := command.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
		}
		_ = command.Wait()
		if status, ok := command.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGTERM {
			t.Errorf("%s: %v\n%s", args, command.ProcessState, log)
		}
	}
}

// A panic in Setup ends the process with its own stack, and what Setup opened is
// closed before.
func TestPanicInSetupOfACommand(t *testing.T) {
	t.Parallel()
	for _, args := range append([][]string{{"tasks"}, {"doctor"}, {"enqueue", "demo.echo"}}, startCommands...) {
		command, log := start(t, "panics", nil, args...)
		err := command.Wait()
		if text := log.String(); err == nil || !strings.Contains(text, "OnClose was called") || !strings.Contains(text, "panic: Setup panics") || !strings.Contains(text, "startProgram") {
			t.Errorf("%s: %v\n%s", args, err, text)
		}
	}
}
