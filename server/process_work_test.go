package server

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/internal/testproc"
	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/pgstore"
)

func TestFourWorkersRunEachTaskOnce(t *testing.T) {
	t.Parallel()
	databaseURL := testdb.Postgres(t)
	dir, env := t.TempDir(), []string{"DATABASE_URL=" + databaseURL, "LOG_LEVEL=warn", "TASKS_MODE=pull"}
	procRun(t, dir, env, "", "migrate")
	var lines strings.Builder
	const tasks = 400
	for i := range tasks {
		fmt.Fprintf(&lines, "{\"task\":\"demo.echo\",\"args\":%d,\"priority\":%d,\"queue_name\":\"q%d\"}\n", i, i%7-3, i%3)
	}
	ids := strings.Fields(procRun(t, dir, env, lines.String(), "enqueue", "-").stdout)
	if len(ids) != tasks {
		t.Fatalf("%d IDs", len(ids))
	}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if r := procRun(t, dir, env, "", "work", "--concurrency=5"); r.status != 0 || r.stderr != "" {
				t.Errorf("%+v", r)
			}
		})
	}
	all.Wait()
	store, err := pgstore.Open(t.Context(), pgstore.Config{URL: databaseURL})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	workers := make(map[string]int)
	for _, id := range ids {
		row, err := store.Get(t.Context(), uuid.MustParse(id))
		if err != nil {
			t.Fatal(err)
		}
		if row.Status != queue.StatusSuccessful || row.Attempts != 1 || len(row.WorkerIDs) != 1 {
			t.Errorf("%+v", row)
		} else {
			workers[row.WorkerIDs[0]]++
		}
	}
	t.Logf("tasks by worker: %v", workers)
}

// procWorker is a worker in the background.
func procWorker(t *testing.T, dir string, env []string, args ...string) (*exec.Cmd, *testproc.Log) {
	t.Helper()
	worker := procCommand(t, procPatience, dir, env, append([]string{"work", "--continuous", "--interval=0.1"}, args...)...)
	log := testproc.NewLog(t, worker)
	if err := worker.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log of the worker:\n%s", log)
		}
	})
	return worker, log
}

// procHeld enqueues a task that a receiver holds, and waits until it runs.
func procHeld(t *testing.T, dir string, env []string, hook *procHook) uuid.UUID {
	t.Helper()
	args := fmt.Sprintf(`{"url":%q}`, hook.url)
	id := uuid.MustParse(strings.TrimSpace(procRun(t, dir, env, "", "enqueue", "webhook.deliver", args).stdout))
	hook.waitFor(t, id)
	return id
}

func procRow(t *testing.T, dir string, env []string, id uuid.UUID) *queue.Row {
	t.Helper()
	var answer struct{ Result *queue.Row }
	if err := json.Unmarshal([]byte(procRun(t, dir, env, "", "result", "--json", id.String()).stdout), &answer); err != nil {
		t.Fatal(err)
	}
	return answer.Result
}

func TestStoppedWorkerFinishesItsTaskAndExitsWithZero(t *testing.T) {
	t.Parallel()
	hook := procNewHook(t)
	hook.hold()
	dir, env := t.TempDir(), hook.env()
	worker, log := procWorker(t, dir, env)
	id := procHeld(t, dir, env, hook)
	_ = worker.Process.Signal(syscall.SIGTERM)
	procWait(t, "the worker to receive the signal", func() bool { return strings.Contains(log.String(), "stopping") })
	left := strings.TrimSpace(procRun(t, dir, env, "", "enqueue", "demo.echo").stdout)
	hook.open()
	if err := worker.Wait(); err != nil {
		t.Errorf("%v\n%s", err, log)
	}
	if row := procRow(t, dir, env, id); row.Status != queue.StatusSuccessful || row.Attempts != 1 {
		t.Errorf("%+v", row)
	}
	if row := procRow(t, dir, env, uuid.MustParse(left)); row.Attempts != 0 {
		t.Errorf("a stopping worker claimed more: %+v", row)
	}
}

func TestWorkerThatIsHurriedGivesItsTaskBackAndExitsWithZero(t *testing.T) {
	t.Parallel()
	for name, flags := range map[string][]string{"second signal": nil, "shutdown timeout": {"--shutdown-timeout=0.2"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			hook := procNewHook(t)
			hook.hold()
			dir, env := t.TempDir(), hook.env()
			worker, log := procWorker(t, dir, env, flags...)
			id := procHeld(t, dir, env, hook)
			_ = worker.Process.Signal(syscall.SIGTERM)
			procWait(t, "the worker to receive the signal", func() bool { return strings.Contains(log.String(), "stopping") })
			if flags == nil {
				_ = worker.Process.Signal(syscall.SIGTERM)
			}
			_ = worker.Wait()
			if text := log.String(); worker.ProcessState.ExitCode() != 0 || !strings.Contains(text, "interrupted") || strings.Contains(text, "keep") {
				t.Errorf("exit status %d\n%s", worker.ProcessState.ExitCode(), log)
			}
			if row := procRow(t, dir, env, id); row.Status != queue.StatusReady || row.Attempts != 0 {
				t.Errorf("%+v", row)
			}
			hook.open()
		})
	}
}

// Who stops waiting has the ID all the same: the row is stored.
func TestStoppedWaitPrintsTheIDOfTheStoredTask(t *testing.T) {
	t.Parallel()
	for mode, count := range map[string]string{"local": `"running_count":1`, "pull": `"pending_count":1`} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			dir, env := t.TempDir(), []string{"TASKS_MODE=" + mode}
			procRun(t, dir, env, "", "migrate")
			waiting := procCommand(t, procPatience, dir, env, "enqueue", "demo.sleep", `{"duration_ms":600000}`, "--wait")
			var out, errs strings.Builder
			waiting.Stdout, waiting.Stderr = &out, &errs
			if err := waiting.Start(); err != nil {
				t.Fatal(err)
			}
			procWait(t, "the task to be stored", func() bool {
				return strings.Contains(procRun(t, dir, env, "", "status", "--json").stdout, count)
			})
			_ = waiting.Process.Signal(syscall.SIGTERM)
			_ = waiting.Wait()
			id, err := uuid.Parse(strings.TrimSpace(out.String()))
			if err != nil || waiting.ProcessState.ExitCode() != 1 || !strings.Contains(errs.String(), "interrupted while waiting; the task stays stored") {
				t.Fatalf("exit status %d, stdout %q\n%s", waiting.ProcessState.ExitCode(), out.String(), errs.String())
			}
			if row := procRow(t, dir, env, id); row.Status != queue.StatusReady || row.Attempts != 0 {
				t.Errorf("%+v", row)
			}
		})
	}
}
