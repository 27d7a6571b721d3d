package server

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/claimcheck-go/claimcheck/internal/mutate"
	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue"
)

// procEnqueueMany stores many tasks of a queue by one process.
func procEnqueueMany(t *testing.T, dir string, env []string, queueName string, n int) []uuid.UUID {
	t.Helper()
	lines := strings.Repeat(fmt.Sprintf("{\"task\":\"demo.echo\",\"queue_name\":%q}\n", queueName), n)
	var ids []uuid.UUID
	for _, id := range strings.Fields(procRun(t, dir, env, lines, "enqueue", "-").stdout) {
		ids = append(ids, uuid.MustParse(id))
	}
	if len(ids) != n {
		t.Fatalf("%d IDs, want %d", len(ids), n)
	}
	return ids
}

// procCounts counts the rows of a queue by status, and those that are parked.
func procCounts(t *testing.T, databaseURL, queueName string) (counts map[string]int, parked int) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	rows, err := conn.Query(t.Context(), `SELECT status, count(*)::int, (count(*) FILTER (WHERE hold = 2))::int FROM claimcheck_tasks WHERE queue_name = $1 GROUP BY status`, queueName)
	if err != nil {
		t.Fatal(err)
	}
	var status string
	var n, held int
	counts = make(map[string]int)
	if _, err := pgx.ForEachRow(rows, []any{&status, &n, &held}, func() error {
		counts[status] = n
		parked += held
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return counts, parked
}

// When the command has returned, no worker in any process starts a task of the queue,
// whenever it was enqueued, and tasks of other queues run.
func TestAPausedQueueStopsInAllProcesses(t *testing.T) {
	t.Parallel()
	database := testdb.Postgres(t)
	dir, env := t.TempDir(), []string{"DATABASE_URL=" + database, "LOG_LEVEL=warn", "TASKS_MODE=pull"}
	procRun(t, dir, env, "", "migrate")
	for range 2 {
		worker, _ := procWorker(t, dir, env, "--concurrency=10")
		t.Cleanup(func() { _ = worker.Process.Signal(syscall.SIGKILL); _ = worker.Wait() })
	}
	procEnqueueMany(t, dir, env, "emails", 600)
	paused := procRun(t, dir, env, "", "queues", "pause", "emails", "--reason", "the provider is down")
	if paused.status != 0 || !strings.Contains(paused.stdout, "queue emails is paused") {
		t.Fatalf("pause: %+v", paused)
	}
	before, _ := procCounts(t, database, "emails")
	procEnqueueMany(t, dir, env, "emails", 30) // by COPY
	other := procEnqueueMany(t, dir, env, "other", 100)
	procWait(t, "the tasks of the other queue", func() bool {
		counts, _ := procCounts(t, database, "other")
		return counts["SUCCESSFUL"] == len(other)
	})
	after, _ := procCounts(t, database, "emails")
	started := func(counts map[string]int) int { return counts["RUNNING"] + counts["SUCCESSFUL"] }
	if started(after) > started(before) {
		t.Errorf("tasks started while their queue was paused: %v before, %v after", before, after)
	}
	procWait(t, "the workers to set aside what was enqueued since", func() bool {
		counts, parked := procCounts(t, database, "emails")
		return parked == counts["READY"]
	})
	listed := procRun(t, dir, env, "", "queues", "--json")
	var answer struct{ Queues []queue.QueueState }
	if err := json.Unmarshal([]byte(listed.stdout), &answer); err != nil || len(answer.Queues) != 2 {
		t.Fatalf("queues: %+v: %v", listed, err)
	}
	if got := answer.Queues[0]; got.Name != "emails" || !got.Paused || got.PauseReason != "the provider is down" || !strings.HasPrefix(got.PausedBy, "command line") || got.Pending != after["READY"] {
		t.Errorf("queues: %+v", got)
	}
	if resumed := procRun(t, dir, env, "", "queues", "resume", "emails"); resumed.status != 0 || !strings.Contains(resumed.stdout, "queue emails is resumed") {
		t.Errorf("resume: %+v", resumed)
	}
	procWait(t, "all tasks", func() bool {
		counts, parked := procCounts(t, database, "emails")
		return counts["SUCCESSFUL"] == 630 && parked == 0
	})
}

// A delivery to a paused queue is answered with 200, so that its ticket is used up, and
// its task runs once after the queue was resumed.
func TestDeliveriesToAPausedQueueAreAnsweredAndParked(t *testing.T) {
	t.Parallel()
	c, database := procNewCloud(t), testdb.Postgres(t)
	dir, env := t.TempDir(), c.env("DATABASE_URL="+database)
	s := c.serve(dir, env)
	if reply := s.do(http.MethodPost, "/tasks/queues/default/pause/", `{"reason":"maintenance"}`); reply.status != http.StatusOK || !strings.Contains(reply.text, `"paused":true`) {
		t.Fatalf("pause: %d %s", reply.status, reply.text)
	}
	id := s.enqueue(`{"task":"demo.echo","args":1}`).ID
	c.wantAnswers(id, http.StatusOK)
	row := s.task(id)
	if row.Status != queue.StatusReady || row.Attempts != 0 {
		t.Errorf("the parked task: %+v", row)
	}
	const reason = "queue default is paused"
	if reply := procExecute(s, id, nil); reply.status != http.StatusOK || reply.body.Executed == nil || *reply.body.Executed || !strings.Contains(reply.body.Reason, reason) {
		t.Errorf("execute: %d %s", reply.status, reply.text)
	}
	procRun(t, dir, env, "", "run", id.String()).wantRefusal(t, 1, reason, "queues resume default")
	if swept := procRun(t, dir, env, "", "sweep", "--json"); !strings.Contains(swept.stdout, `"dispatched": 0`) && !strings.Contains(swept.stdout, `"dispatched":0`) {
		t.Errorf("sweep: %+v", swept)
	}
	if created := c.Stats().Created; created != 1 {
		t.Errorf("%d Cloud Tasks while the queue was paused, want 1", created)
	}
	if reply := s.do(http.MethodPost, "/tasks/queues/default/resume/", ""); reply.status != http.StatusOK || !strings.Contains(reply.text, `"rows":1`) {
		t.Fatalf("resume: %d %s", reply.status, reply.text)
	}
	s.wantEnd(id, queue.StatusSuccessful, 1)
	if created := c.Stats().Created; created != 2 {
		t.Errorf("%d Cloud Tasks in all, want 2", created)
	}
}

// An idle server sends no statements in cloudtasks mode, whether a queue is paused or not.
func TestAPausedQueueCostsAnIdleServerNothing(t *testing.T) {
	t.Parallel()
	c, database := procNewCloud(t), testdb.Postgres(t)
	counted, witness := procCountStatements(t, database), procCountStatements(t, database)
	dir := t.TempDir()
	s := c.serve(dir, c.env("DATABASE_URL="+counted.url))
	if reply := s.do(http.MethodPost, "/tasks/queues/default/pause/", ""); reply.status != http.StatusOK {
		t.Fatalf("pause: %d %s", reply.status, reply.text)
	}
	id := s.enqueue(`{"task":"demo.echo"}`).ID
	c.wantAnswers(id, http.StatusOK)
	procWantSilence(t, counted, witness)
}

// A process that dies while it sets rows aside, or makes them claimable again, leaves
// the rest to others.
func TestPausingAndResumingMayDieAnywhere(t *testing.T) {
	t.Parallel()
	binary := filepath.Join(t.TempDir(), "server")
	mutate.Build(t, "./cmd/server", binary, failpoints)
	const tasks = 1200 // more than two batches
	t.Run("pulled", func(t *testing.T) {
		t.Parallel()
		f := newFailSite(t, binary)
		f.settings = append(f.settings, "TASKS_MODE=pull")
		procEnqueueMany(t, f.dir, f.settings, "emails", tasks)
		f.killed("parked", "queues", "pause", "emails")
		if _, parked := procCounts(t, f.database, "emails"); parked == 0 || parked == tasks {
			t.Fatalf("the dead process has parked %d of %d rows", parked, tasks)
		}
		if worked := procRun(t, f.dir, f.settings, "", "work"); worked.status != 0 {
			t.Errorf("work: %+v", worked)
		}
		procRun(t, f.dir, f.settings, "", "sweep") // a worker that ends at once may not have parked all
		if counts, parked := procCounts(t, f.database, "emails"); counts["READY"] != tasks || parked != tasks {
			t.Fatalf("after a worker and a sweep: %v, %d parked", counts, parked)
		}
		f.killed("unparked", "queues", "resume", "emails")
		if _, parked := procCounts(t, f.database, "emails"); parked == 0 || parked == tasks {
			t.Fatalf("the dead process has left %d of %d rows parked", parked, tasks)
		}
		procRun(t, f.dir, f.settings, "", "sweep")
		if worked := procRun(t, f.dir, f.settings, "", "work", "--concurrency=10"); worked.status != 0 {
			t.Errorf("work: %+v", worked)
		}
		if counts, _ := procCounts(t, f.database, "emails"); counts["SUCCESSFUL"] != tasks {
			t.Errorf("in the end: %v", counts)
		}
	})
	t.Run("pushed", func(t *testing.T) {
		t.Parallel()
		f := newFailSite(t, binary)
		s := f.restart()
		if reply := s.do(http.MethodPost, "/tasks/queues/default/pause/", ""); reply.status != http.StatusOK {
			t.Fatalf("pause: %d %s", reply.status, reply.text)
		}
		ids := procEnqueueMany(t, f.dir, f.settings, "default", tasks)
		procWait(t, "all deliveries to be answered", func() bool { return len(f.Tasks()) == 0 })
		f.killed("unparked", "queues", "resume", "default")
		f.age() // the rows of the dead process were to be dispatched by it
		procWait(t, "all tasks to succeed", func() bool {
			if swept := procRun(t, f.dir, f.settings, "", "sweep", "--limit=10000"); swept.status != 0 {
				t.Fatalf("sweep: %+v", swept)
			}
			counts, _ := procCounts(t, f.database, "default")
			return counts["SUCCESSFUL"] == len(ids)
		})
		if _, parked := procCounts(t, f.database, "default"); parked != 0 {
			t.Errorf("%d rows are parked", parked)
		}
	})
}

// killed runs a command that dies at a failpoint.
func (f *failSite) killed(point string, args ...string) {
	f.t.Helper()
	if result := procRun(f.t, f.dir, f.doomed(point), "", args...); result.status != -1 {
		f.t.Fatalf("%v was to be killed at %s: %+v", args, point, result)
	}
}
