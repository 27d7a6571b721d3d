package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/claimcheck-go/claimcheck/internal/testproc"
	"github.com/claimcheck-go/claimcheck/queue"
)

// The process_*_test.go files test the server from outside, as real processes,
// each with a directory and an environment of its own. This file starts them,
// sends them requests and ends them.

// procPatience is how long a condition is waited for.
const procPatience = time.Minute

// procToken is a shared secret that the server accepts.
const procToken = "TASK_API_TOKEN=0123456789abcdefghijklmnopqrstuv"

// procTemp holds the binary; TestMain removes it.
var procTemp string

func TestMain(m *testing.M) {
	if setup := os.Getenv(startVariable); setup != "" {
		os.Exit(startProgram(setup))
	}
	var err error
	if procTemp, err = os.MkdirTemp("", "claimcheck-server-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	status := m.Run()
	_ = os.RemoveAll(procTemp)
	os.Exit(status)
}

// procBuild builds the server when the first test asks for it.
var procBuild = sync.OnceValues(func() (string, error) {
	binary := filepath.Join(procTemp, "server")
	if out, err := exec.Command("go", "build", "-o", binary, "../cmd/server").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return binary, nil
})

// procCommand is the binary with a clean environment, killed when the test ends
// or, if there is a limit, after that. PATH is there because every environment
// has one; HOME keeps credentials of this machine out. An environment may name
// another binary.
func procCommand(t *testing.T, limit time.Duration, dir string, env []string, args ...string) *exec.Cmd {
	t.Helper()
	binary := procOtherBinary(env)
	if binary == "" {
		var err error
		if binary, err = procBuild(); err != nil {
			t.Fatal(err)
		}
	}
	ctx := t.Context()
	if limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		t.Cleanup(cancel)
	}
	command := exec.CommandContext(ctx, binary, args...)
	command.Dir = dir
	command.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir}, env...)
	return command
}

// procResult is the result of a process that ended by itself.
type procResult struct {
	status         int
	stdout, stderr string
}

// procRun runs one command to its end.
func procRun(t *testing.T, dir string, env []string, stdin string, args ...string) procResult {
	t.Helper()
	command := procCommand(t, procPatience, dir, env, args...)
	var stdout, stderr bytes.Buffer
	command.Stdin, command.Stdout, command.Stderr = strings.NewReader(stdin), &stdout, &stderr
	var exit *exec.ExitError
	if err := command.Run(); err != nil && !errors.As(err, &exit) {
		t.Errorf("server %s: %v", strings.Join(args, " "), err)
	}
	return procResult{command.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// wantRefusal checks that the process ended with a status and one line of error
// that contains each of the texts.
func (r procResult) wantRefusal(t *testing.T, status int, texts ...string) {
	t.Helper()
	if r.status != status || strings.Count(r.stderr, "\n") != 1 || !strings.HasSuffix(r.stderr, "\n") {
		t.Errorf("exit status %d, stderr %q; want %d and one line", r.status, r.stderr, status)
	}
	for _, text := range texts {
		if !strings.Contains(r.stderr, text) {
			t.Errorf("stderr %q does not contain %q", r.stderr, text)
		}
	}
}

// procServer is a running server.
type procServer struct {
	t       *testing.T
	command *exec.Cmd
	log     *testproc.Log
	ended   chan struct{} // closed when the process is gone
	url     string
	token   string // sent along when it is not empty
}

// procServe starts a server on a free port and waits until it is ready. It
// ends with the test.
func procServe(t *testing.T, dir string, env []string, args ...string) *procServer {
	t.Helper()
	args = append([]string{"serve", "--listen", "127.0.0.1:0"}, args...)
	s := &procServer{t: t, ended: make(chan struct{})}
	for _, variable := range env {
		if token, ok := strings.CutPrefix(variable, "TASK_API_TOKEN="); ok {
			s.token = token
		}
	}
	s.command = procCommand(t, 0, dir, env, args...)
	s.log = testproc.NewLog(t, s.command)
	if err := s.command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { defer close(s.ended); _ = s.command.Wait() }()
	t.Cleanup(func() {
		s.signal(syscall.SIGKILL)
		<-s.ended
		if t.Failed() {
			t.Logf("log of the server %v:\n%s", s.command.Args[1:], s.log)
		}
	})
	ready := regexp.MustCompile(`msg="claimcheck is ready" .*listen=(http://\S+)`)
	procWait(t, "the server to be ready", func() bool {
		select {
		case <-s.ended:
			t.Fatalf("the server ended: %s", s.command.ProcessState)
		default:
		}
		found := ready.FindStringSubmatch(s.log.String())
		if found != nil {
			s.url = found[1]
		}
		return found != nil
	})
	return s
}

// signal sends a signal to the process, if it still runs.
func (s *procServer) signal(signal syscall.Signal) {
	s.t.Helper()
	if err := s.command.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		s.t.Errorf("%s: %v", signal, err)
	}
}

// end sends a signal, waits until the process has ended, and returns how it ended
// and how long that took.
func (s *procServer) end(signal syscall.Signal) (syscall.WaitStatus, time.Duration) {
	s.t.Helper()
	begun := time.Now()
	s.signal(signal)
	return s.waitForEnd(), time.Since(begun)
}

func (s *procServer) waitForEnd() syscall.WaitStatus {
	s.t.Helper()
	procWait(s.t, "the server to end", func() bool {
		select {
		case <-s.ended:
			return true
		default:
			return false
		}
	})
	return s.command.ProcessState.Sys().(syscall.WaitStatus)
}

// procReply is an answer; body has what the endpoints answer.
type procReply struct {
	status int
	header http.Header
	text   string
	body   struct {
		Result   *queue.Row
		Executed *bool
		Reason   string
		Error    string
	}
}

// procClient makes a connection for each request, as there is another server at
// the other end after a restart.
var procClient = &http.Client{Timeout: procPatience, Transport: &http.Transport{DisableKeepAlives: true}}

// do sends a request; header is names and values in turn, and Host is one.
func (s *procServer) do(method, path, body string, header ...string) procReply {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	if s.token != "" {
		request.Header.Set("Authorization", "Bearer "+s.token)
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	request.Host = request.Header.Get("Host")
	response, err := procClient.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	reply := procReply{status: response.StatusCode, header: response.Header, text: string(text)}
	if err := json.Unmarshal(text, &reply.body); err != nil && strings.HasPrefix(path, "/tasks/") {
		s.t.Errorf("%s %s: %d %q: %v", method, path, reply.status, text, err)
	}
	return reply
}

// enqueue stores a task, which must be new, and returns its row.
func (s *procServer) enqueue(body string) *queue.Row {
	s.t.Helper()
	reply := s.do(http.MethodPost, "/tasks/enqueue/", body, "Content-Type", "application/json")
	if reply.status != http.StatusCreated || reply.body.Result == nil {
		s.t.Fatalf("enqueue %s: %d %s", body, reply.status, reply.text)
	}
	return reply.body.Result
}

// task is the row as the server shows it.
func (s *procServer) task(id fmt.Stringer) *queue.Row {
	s.t.Helper()
	reply := s.do(http.MethodGet, "/tasks/result/"+id.String()+"/", "")
	if reply.status != http.StatusOK || reply.body.Result == nil {
		s.t.Fatalf("result of %s: %d %s", id, reply.status, reply.text)
	}
	return reply.body.Result
}

// wantEnd waits for a task's end and checks how it ended, and after how many
// attempts.
func (s *procServer) wantEnd(id fmt.Stringer, status queue.Status, attempts int) *queue.Row {
	s.t.Helper()
	var row *queue.Row
	procWait(s.t, "the end of "+id.String(), func() bool {
		row = s.task(id)
		return row.Status.Final()
	})
	if row.Status != status || row.Attempts != attempts {
		s.t.Errorf("%s is %s after %d attempts, errors %+v; want %s after %d", id, row.Status, row.Attempts, row.Errors, status, attempts)
	}
	return row
}

// procStored reads a row with the command line, without a server.
func procStored(t *testing.T, dir string, env []string, id fmt.Stringer) *queue.Row {
	t.Helper()
	result := procRun(t, dir, env, "", "result", id.String(), "--json")
	var answer struct{ Result *queue.Row }
	if err := json.Unmarshal([]byte(result.stdout), &answer); err != nil || answer.Result == nil {
		t.Fatalf("result %s: %+v: %v", id, result, err)
	}
	return answer.Result
}

// procWait waits until done reports true.
func procWait(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.After(procPatience)
	for !done() {
		select {
		case <-deadline:
			t.Fatalf("timed out waiting for %s", what)
		case <-time.After(10 * time.Millisecond):
		}
	}
}
