package chaos

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// programs holds what was built; TestMain removes it.
var programs string

func TestMain(m *testing.M) {
	var err error
	if programs, err = os.MkdirTemp("", "claimcheck-chaos-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	status := m.Run()
	_ = os.RemoveAll(programs)
	os.Exit(status)
}

// buildWorker builds the worker when the first test asks for it.
var buildWorker = sync.OnceValues(func() (string, error) {
	program := filepath.Join(programs, "worker")
	args := []string{"build", "-o", program}
	if *raceFlag {
		args = append(args, "-race")
	}
	if out, err := exec.Command("go", append(args, "./worker")...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return program, nil
})

func workerProgram(t *testing.T) string {
	t.Helper()
	program, err := buildWorker()
	if err != nil {
		t.Fatal(err)
	}
	return program
}

// worker is one of the processes, which is restarted each time that it has ended. One
// fault at a time may use it.
type worker struct {
	name    string
	program string
	args    []string
	number  int
	front   *front

	busy sync.Mutex // held by the fault that strikes

	mu      sync.Mutex
	command *exec.Cmd
	stdin   io.Closer     // when it closes, the process ends
	ended   chan struct{} // closed when the process has
	leaving bool          // it was signalled to end
	lost    []string      // why it ended without a signal
}

// start starts the process and waits until it serves.
func (w *worker) start() error {
	command := exec.Command(w.program, append([]string{"-name", w.name}, w.args...)...)
	// In a group of its own: if the test dies while it is stopped, the kernel
	// hangs up on it.
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Env = append(os.Environ(), "GORACE=halt_on_error=1") // a race ends the process
	stdin, err := command.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := command.StdoutPipe()
	if err != nil {
		return err
	}
	output := &tail{}
	if command.Stderr, err = output.open(w.name); err != nil {
		return err
	}
	if err := command.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	w.mu.Lock()
	w.command, w.stdin, w.ended, w.leaving = command, stdin, ended, false
	w.mu.Unlock()
	line, _ := bufio.NewReader(stdout).ReadString('\n')
	go func() {
		_ = command.Wait()
		output.close()
		w.mu.Lock()
		if !w.leaving {
			w.lost = append(w.lost, fmt.Sprintf("%s: %s\n%s", w.name, command.ProcessState, output))
		}
		w.mu.Unlock()
		close(ended)
	}()
	if line == "" {
		<-ended
		return fmt.Errorf("%s does not start: %s\n%s", w.name, command.ProcessState, output)
	}
	w.front.set(w.number, strings.TrimSpace(line))
	return nil
}

// signal sends a signal to the process.
func (w *worker) signal(signal syscall.Signal) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.command != nil {
		_ = w.command.Process.Signal(signal) // the process may have ended
	}
}

// end ends the process by a signal and waits for its end.
func (w *worker) end(signal syscall.Signal) {
	w.mu.Lock()
	w.leaving = true
	ended := w.ended
	w.mu.Unlock()
	w.front.set(w.number, "")
	w.signal(signal)
	if ended == nil {
		return
	}
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		w.signal(syscall.SIGKILL)
		<-ended
	}
	_ = w.stdin.Close()
}

// usage is what the process uses.
type usage struct{ Goroutines, Descriptors, Resident int }

func (w *worker) usage() (f usage, err error) {
	w.front.mu.Lock()
	url := w.front.workers[w.number]
	w.front.mu.Unlock()
	response, err := (&http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}).Get(url + "/debug/usage")
	if err != nil {
		return f, err
	}
	defer response.Body.Close()
	return f, json.NewDecoder(response.Body).Decode(&f)
}

// tail keeps the end of a process's output, and all of it in a file if a flag says so.
type tail struct {
	mu   sync.Mutex
	text []byte
	file *os.File
}

func (l *tail) open(name string) (_ *tail, err error) {
	if *logsFlag != "" {
		l.file, err = os.OpenFile(filepath.Join(*logsFlag, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	}
	return l, err
}

func (l *tail) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	const limit = 8 << 10
	l.text = append(l.text, p...)
	l.text = l.text[max(0, len(l.text)-limit):]
	if l.file != nil {
		return l.file.Write(p)
	}
	return len(p), nil
}

func (l *tail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text)
}

func (l *tail) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file != nil {
		_ = l.file.Close()
	}
}
