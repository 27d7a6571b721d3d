package system

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/claimcheck-go/claimcheck/internal/holdport"
)

// Launch starts the server's program as a process in local mode, on the session's
// database, and returns how long it took to the first answer of /health/live, and
// its memory in bytes after it has then rested.
func (p *product) Launch(ctx context.Context, rest time.Duration) (first time.Duration, rss int64, err error) {
	port, err := holdport.Hold()
	if err != nil {
		return 0, 0, err
	}
	defer port.Release()
	address := port.Addr()
	server := osexec.CommandContext(ctx, p.Binary, "--listen", address)
	server.Dir = filepath.Dir(p.Binary)
	server.Env = []string{"HOME=" + server.Dir, "DATABASE_URL=" + p.URL, "TASKS_MODE=local", "LOG_LEVEL=warn"}
	server.Stderr = os.Stderr
	began := time.Now()
	if err := server.Start(); err != nil {
		return 0, 0, err
	}
	defer func() {
		err = errors.Join(err, server.Process.Signal(syscall.SIGTERM), server.Wait())
	}()
	for ; !lives(address); time.Sleep(100 * time.Microsecond) {
		if time.Since(began) > 10*time.Second {
			return 0, 0, errors.New("the server gave no answer within ten seconds")
		}
	}
	first = time.Since(began)
	if rest == 0 {
		return first, 0, nil
	}
	time.Sleep(rest)
	rss, err = residentMemory(server.Process.Pid)
	return first, rss, err
}

// lives asks once. It writes the request itself: a client of net/http would take
// CPU from the process that starts.
func lives(address string) bool {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return false
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "GET /health/live HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", address); err != nil {
		return false
	}
	answer := make([]byte, len("HTTP/1.1 200"))
	_, err = conn.Read(answer)
	return err == nil && string(answer) == "HTTP/1.1 200"
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
