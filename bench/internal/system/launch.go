package system

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/claimcheck-go/claimcheck/bench/internal/probe"
	"github.com/claimcheck-go/claimcheck/internal/holdport"
	"github.com/claimcheck-go/claimcheck/queue"
)

// apiToken may call the server that is started, echoTask is one of its tasks.
const (
	apiToken = "a token of the benchmark"
	echoTask = "demo.echo"
)

// program is the server's program as a process.
type program struct {
	address string
	began   time.Time
	cmd     *osexec.Cmd
	port    *holdport.Port
}

// launch starts the program, without waiting for anything.
func (p *product) launch(ctx context.Context, databaseURL string, settings ...string) (*program, error) {
	port, err := holdport.Hold()
	if err != nil {
		return nil, err
	}
	s := &program{address: port.Addr(), port: port, cmd: osexec.CommandContext(ctx, p.Binary, "--listen", port.Addr())}
	s.cmd.Dir = filepath.Dir(p.Binary)
	s.cmd.Env = append([]string{"HOME=" + s.cmd.Dir, "DATABASE_URL=" + databaseURL, "LOG_LEVEL=warn"}, settings...)
	s.cmd.Stderr = os.Stderr
	s.began = time.Now()
	if err := s.cmd.Start(); err != nil {
		port.Release()
		return nil, err
	}
	return s, nil
}

// stop ends the program.
func (s *program) stop() error {
	defer s.port.Release()
	return errors.Join(s.cmd.Process.Signal(syscall.SIGTERM), s.cmd.Wait())
}

// live waits for the first answer of /health/live, and returns the time since the
// start.
func (s *program) live() (time.Duration, error) {
	for ; !answers(s.address, "GET", "/health/live"); time.Sleep(100 * time.Microsecond) {
		if time.Since(s.began) > 10*time.Second {
			return 0, errors.New("the server gave no answer within ten seconds")
		}
	}
	return time.Since(s.began), nil
}

// Launch starts the program in local mode, on the session's database, and returns
// how long it took to the first answer of /health/live, and its memory in bytes
// after it has then rested.
func (p *product) Launch(ctx context.Context, rest time.Duration) (first time.Duration, rss int64, err error) {
	server, err := p.launch(ctx, p.URL, "TASKS_MODE=local")
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, server.stop()) }()
	if first, err = server.live(); err != nil || rest == 0 {
		return first, 0, err
	}
	time.Sleep(rest)
	rss, err = residentMemory(server.cmd.Process.Pid)
	return first, rss, err
}

// forCloudTasks are the settings of mode cloudtasks. There is no Cloud Tasks: what
// is measured creates none.
var forCloudTasks = []string{
	"TASKS_MODE=cloudtasks", "CLOUD_TASKS_EMULATOR_HOST=127.0.0.1:9", "CLOUD_TASKS_PROJECT=bench", "CLOUD_TASKS_LOCATION=europe-west1",
	"TASK_HANDLER_URL=" + handlerURL + "{task_id}/", "OIDC_SERVICE_ACCOUNT_EMAIL=" + account,
	"OIDC_ISSUER=http://127.0.0.1:9", "OIDC_CERTS_URL=http://127.0.0.1:9/certs", "TASK_API_TOKEN=" + apiToken,
}

// LaunchServing starts the program in mode cloudtasks, and returns how long it took
// to the first answer of /health/live, and until a task was delivered, run and
// answered.
func (p *postgresProduct) LaunchServing(ctx context.Context) (first, served time.Duration, err error) {
	client, err := queue.NewClient(queue.Config{
		Store: p.store, Logger: quiet(), Registry: queue.NewRegistry(queue.Declare[order, any](echoTask)),
	})
	if err != nil {
		return 0, 0, err
	}
	handle, err := client.Enqueue(ctx, echoTask, sample)
	if err != nil {
		return 0, 0, err
	}
	server, err := p.launch(ctx, p.URL, forCloudTasks...)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, server.stop()) }()
	if first, err = server.live(); err != nil {
		return 0, 0, err
	}
	if !answers(server.address, "POST", "/tasks/execute/"+handle.ID.String()+"/") {
		return 0, 0, errors.New("the delivery was not answered with 200")
	}
	served = time.Since(server.began)
	row, err := client.Get(ctx, handle.ID)
	if err == nil && row.Status != queue.StatusSuccessful {
		err = fmt.Errorf("the task is %s after its delivery", row.Status)
	}
	return first, served, err
}

// Rest starts the program in mode cloudtasks, leaves it alone until it has settled,
// and returns how many statements it sends in a time in which it has nothing to do,
// and its memory in bytes after that.
func (p *postgresProduct) Rest(ctx context.Context, settle, rest time.Duration) (statements, rss int64, err error) {
	counter, through, err := probe.CountStatements(p.URL)
	if err != nil {
		return 0, 0, err
	}
	defer func() { _ = counter.Close() }()
	server, err := p.launch(ctx, through, forCloudTasks...)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, server.stop()) }()
	if _, err := server.live(); err != nil {
		return 0, 0, err
	}
	time.Sleep(settle)
	before := counter.Count()
	if before == 0 {
		return 0, 0, errors.New("no statement was counted while the server started")
	}
	time.Sleep(rest)
	statements = counter.Count() - before
	rss, err = residentMemory(server.cmd.Process.Pid)
	return statements, rss, err
}

// answers sends one request and reports whether the answer is 200. It writes the
// request itself: a client of net/http would take CPU from the process that starts.
func answers(address, method, path string) bool {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return false
	}
	defer conn.Close()
	_, err = fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
		method, path, address, apiToken)
	if err != nil {
		return false
	}
	status := make([]byte, len("HTTP/1.1 200"))
	_, err = io.ReadFull(conn, status)
	return err == nil && bytes.Equal(status, []byte("HTTP/1.1 200"))
}

func residentMemory(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	_, after, _ := strings.Cut(string(text), "VmRSS:")
	var kB int64
	_, err = fmt.Sscanf(after, "%d kB", &kB)
	return kB << 10, err
}
