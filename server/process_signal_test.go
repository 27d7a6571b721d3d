package server

import (
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/internal/testproc"
	"github.com/claimcheck-go/claimcheck/queue"
)

func TestStoppedServerReleasesItsTasksAndTheNextOneRunsThem(t *testing.T) {
	t.Parallel()
	dir, hook := t.TempDir(), procNewHook(t)
	hook.hold()
	s := procServe(t, dir, hook.env())
	held := s.enqueue(hook.task())
	long := s.enqueue(`{"task":"demo.sleep","args":{"duration_ms":60000}}`)
	short := s.enqueue(`{"task":"demo.sleep","args":{"duration_ms":1500}}`)
	hook.waitFor(t, held.ID)
	for _, row := range []*queue.Row{long, short} {
		procWait(t, "the sleep to begin", func() bool { return s.task(row.ID).Status != queue.StatusReady })
	}

	status, took := s.end(syscall.SIGTERM)
	if status.ExitStatus() != 0 || took >= 10*time.Second {
		t.Errorf("exit status %d after %s; want 0 in less than 10s", status.ExitStatus(), took)
	}
	for _, id := range []uuid.UUID{held.ID, long.ID} {
		row := procStored(t, dir, nil, id)
		if row.Status != queue.StatusReady || row.Attempts != 0 || len(row.WorkerIDs) != 0 || len(row.Errors) != 0 {
			t.Errorf("the interrupted task: %+v", row)
		}
	}
	if row := procStored(t, dir, nil, short.ID); row.Status != queue.StatusSuccessful {
		t.Errorf("the task that ended while the server drained: %+v", row)
	}

	hook.open()
	s = procServe(t, dir, hook.env())
	s.wantEnd(held.ID, queue.StatusSuccessful, 1)
	if hook.count(held.ID) != 2 {
		t.Errorf("it ran %d times, not twice", hook.count(held.ID))
	}
	procWait(t, "the long sleep to begin again", func() bool { return s.task(long.ID).Status == queue.StatusRunning })
}

func TestTaskOfAKilledServerIsReclaimed(t *testing.T) {
	t.Parallel()
	dir, hook := t.TempDir(), procNewHook(t)
	env := hook.env("TASKS_LEASE=1s")
	hook.hold()
	s := procServe(t, dir, env)
	id := s.enqueue(hook.task()).ID
	hook.waitFor(t, id)
	s.end(syscall.SIGKILL)
	if row := procStored(t, dir, env, id); row.Status != queue.StatusRunning || row.Attempts != 1 {
		t.Errorf("after SIGKILL: %+v", row)
	}

	hook.open()
	s = procServe(t, dir, env)
	row := s.wantEnd(id, queue.StatusSuccessful, 2)
	if len(row.WorkerIDs) != 2 || row.WorkerIDs[0] == row.WorkerIDs[1] {
		t.Errorf("worker_ids %v", row.WorkerIDs)
	}
	if !strings.Contains(s.log.String(), "the workers may be gone") {
		t.Error("the log does not report the lost worker")
	}
}

func TestSecondSignalReleasesWhatIsRunningAndEndsTheProcess(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		args []string
		env  []string
	}{
		{"serve", []string{"serve", "--listen", "127.0.0.1:0"}, nil},
		{"work", []string{"work", "--continuous", "--concurrency", "2", "--shutdown-timeout", "0"}, []string{"TASKS_MODE=pull"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if result := procRun(t, dir, nil, "", "migrate"); result.status != 0 {
				t.Fatalf("migrate: %+v", result)
			}
			stored := procRun(t, dir, nil, "", "enqueue", "demo.sleep", `{"duration_ms":60000}`)
			id, err := uuid.Parse(strings.TrimSpace(stored.stdout))
			if err != nil {
				t.Fatalf("enqueue: %+v: %v", stored, err)
			}
			command := procCommand(t, 0, dir, c.env, c.args...)
			log := testproc.NewLog(t, command)
			if err := command.Start(); err != nil {
				t.Fatal(err)
			}
			procWait(t, "the sleep to begin", func() bool { return procStored(t, dir, nil, id).Status == queue.StatusRunning })
			signal := func() {
				if err := command.Process.Signal(syscall.SIGTERM); err != nil {
					t.Fatal(err)
				}
			}
			signal()
			procWait(t, "it to drain", func() bool { return strings.Contains(log.String(), "stopping") })
			began := time.Now()
			signal()
			err = command.Wait()
			if took := time.Since(began); err != nil || took > 7*time.Second {
				t.Errorf("ended with %v after %s: %s", err, took, log)
			}
			row := procStored(t, dir, nil, id)
			if row.Status != queue.StatusReady || row.Attempts != 0 || len(row.WorkerIDs) != 0 || len(row.Errors) != 0 {
				t.Errorf("the task that was cut off: %+v", row)
			}
		})
	}
}

// TestSignalRightAfterReadyStopsTheServer sends SIGTERM while the server still writes
// the line that says it is ready: that line is longer than the pipe holds.
func TestSignalRightAfterReadyStopsTheServer(t *testing.T) {
	t.Parallel()
	queues := "TASKS_QUEUES=default" + strings.Repeat(",another-queue", 7000)
	command := procCommand(t, procPatience, t.TempDir(), []string{queues}, "serve", "--listen", "127.0.0.1:0")
	stderr, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stderr.Close() }()
	command.Stderr = writer
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	_ = writer.Close()
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()

	var log strings.Builder
	for !strings.Contains(log.String(), "claimcheck is ready") {
		if _, err := io.CopyN(&log, stderr, 1); err != nil {
			t.Fatal(err)
		}
	}
	if err := command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	select {
	case err := <-ended:
		t.Fatalf("it did not drain: %v", err)
	case <-time.After(300 * time.Millisecond): // it cannot continue before the rest is read
	}
	if _, err := io.Copy(&log, stderr); err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil || !strings.HasSuffix(log.String(), "msg=stopped\n") {
		t.Errorf("%v; the log ends with %q", err, log.String()[max(0, log.Len()-200):])
	}
}
