package system

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	osexec "os/exec"
	"path/filepath"
	"sync"
	"time"
)

// GraphileWorker is the name of the system, and of its package; GraphileWorkerDir is
// where its program and its lock file are, from where the benchmark is run.
const (
	GraphileWorker    = "graphile-worker"
	GraphileWorkerDir = "graphile-worker"
)

// graphileWorker is a peer written in JavaScript: a separate process, which does
// and times what callers do, and is the client whose CPU and memory count.
func graphileWorker() System {
	return System{Name: GraphileWorker, Server: Postgres, Setup: setupGraphileWorker, Open: openGraphileWorker}
}

func setupGraphileWorker(ctx context.Context, t Target) error {
	s, err := openGraphileWorker(ctx, t)
	if err != nil {
		return err
	}
	return errors.Join(s.(*graphileSession).call(nil, "migrate"), s.Close(ctx))
}

func openGraphileWorker(_ context.Context, t Target) (Session, error) {
	s := &graphileSession{process: osexec.Command(t.Node, filepath.Join(GraphileWorkerDir, "session.mjs"), t.URL, taskName, string(sampleJSON))}
	s.process.Stderr = os.Stderr
	var err1, err2 error
	s.in, err1 = s.process.StdinPipe()
	out, err2 := s.process.StdoutPipe()
	if err := errors.Join(err1, err2, s.process.Start()); err != nil {
		return nil, err
	}
	s.out = bufio.NewReader(out)
	if err := s.answer(nil); err != nil { // it is ready
		return nil, errors.Join(err, s.process.Wait())
	}
	return s, nil
}

// graphileSession is one process.
type graphileSession struct {
	process *osexec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
	mu      sync.Mutex // one command at a time
}

// Close ends the session.
func (s *graphileSession) Close(context.Context) error {
	return errors.Join(s.in.Close(), s.process.Wait())
}

// PID is the process that is the client.
func (s *graphileSession) PID() int { return s.process.Process.Pid }

// call has a command carried out.
func (s *graphileSession) call(answer any, command string, args ...any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	line, err := json.Marshal(append([]any{command}, args...))
	if err != nil {
		return err
	}
	if _, err := s.in.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("%s: %w", command, err)
	}
	if err := s.answer(answer); err != nil {
		return fmt.Errorf("%s: %w", command, err)
	}
	return nil
}

func (s *graphileSession) answer(to any) error {
	line, err := s.out.ReadBytes('\n')
	if err != nil || to == nil {
		return err
	}
	return json.Unmarshal(line, to)
}

// EnqueueBatch stores n tasks in one call.
func (s *graphileSession) EnqueueBatch(_ context.Context, n int) error {
	return s.call(nil, "batch", n)
}

// Repeat stores tasks, n in each call.
func (s *graphileSession) Repeat(_ context.Context, callers, n int, d time.Duration) ([]time.Duration, error) {
	return s.times("repeat", callers, n, d.Milliseconds())
}

// IdleStarts times the starts of tasks.
func (s *graphileSession) IdleStarts(_ context.Context, samples int) ([]time.Duration, error) {
	return s.times("idle", samples)
}

func (s *graphileSession) times(command string, args ...any) ([]time.Duration, error) {
	var ms []float64
	if err := s.call(&ms, command, args...); err != nil {
		return nil, err
	}
	times := make([]time.Duration, len(ms))
	for i := range ms {
		times[i] = time.Duration(ms[i] * float64(time.Millisecond))
	}
	return times, nil
}

// Drain runs n tasks, which are all that there are.
func (s *graphileSession) Drain(_ context.Context, n int, _ func(time.Duration)) error {
	return s.call(nil, "drain", n)
}
