package server

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue"
)

// A delivery over a limit that an operator has set is answered with 200, so that its ticket
// is used up; when the operator removes the limit, its task gets another one and runs once.
func TestDeliveriesOverALimitAreAnsweredAndParked(t *testing.T) {
	t.Parallel()
	c, database := procNewCloud(t), testdb.Postgres(t)
	dir, env := t.TempDir(), c.env("DATABASE_URL="+database)
	s := c.serve(dir, env)
	if reply := s.do(http.MethodPut, "/tasks/queues/default/limit/", `{"rate":{"starts":1,"per":"24h"}}`); reply.status != http.StatusOK || !strings.Contains(reply.text, `"set_by":"operator"`) {
		t.Fatalf("limit: %d %s", reply.status, reply.text)
	}
	s.wantEnd(s.enqueue(`{"task":"demo.echo","args":1}`).ID, queue.StatusSuccessful, 1)
	var waiting []uuid.UUID
	for range 3 {
		id := s.enqueue(`{"task":"demo.echo","args":2}`).ID
		c.wantAnswers(id, http.StatusOK)
		if row := s.task(id); row.Status != queue.StatusReady || row.Attempts != 0 {
			t.Errorf("the task that waits: %+v", row)
		}
		waiting = append(waiting, id)
	}
	const reason = "the limit of queue default is reached: the task waits"
	if reply := procExecute(s, waiting[0], nil); reply.status != http.StatusOK || reply.body.Executed == nil || *reply.body.Executed || reply.body.Reason != reason {
		t.Errorf("execute: %d %s", reply.status, reply.text)
	}
	procRun(t, dir, env, "", "run", waiting[0].String()).wantRefusal(t, 1, reason, "limits lists the limits")
	if listed := procRun(t, dir, env, "", "list", "--status=READY", "--json"); strings.Count(listed.stdout, "\n") != len(waiting) {
		t.Errorf("list: %+v", listed)
	}
	if removed := procRun(t, dir, env, "", "queues", "limit", "default", "--starts", "none"); removed.status != 0 || removed.stdout != "queue default: no limit\n" {
		t.Fatalf("removal: %+v", removed)
	}
	for _, id := range waiting {
		s.wantEnd(id, queue.StatusSuccessful, 1)
	}
}

// The commands that end a task let the next one start, as the endpoints do.
func TestCommandsThatEndATaskLetTheNextOneStart(t *testing.T) {
	t.Parallel()
	c, database := procNewCloud(t), testdb.Postgres(t)
	dir, env := t.TempDir(), c.env("DATABASE_URL="+database)
	s := c.serve(dir, env)
	if reply := s.do(http.MethodPut, "/tasks/queues/default/limit/", `{"running":1}`); reply.status != http.StatusOK {
		t.Fatalf("limit: %d %s", reply.status, reply.text)
	}
	running := s.enqueue(`{"task":"demo.sleep","args":{"duration_ms":60000}}`).ID
	procWait(t, "the task that hangs", func() bool { return s.task(running).Status == queue.StatusRunning })
	waiting := s.enqueue(`{"task":"demo.echo","args":1}`).ID
	c.wantAnswers(waiting, http.StatusOK)
	if result := procRun(t, dir, env, "", "cancel", running.String()); result.status != 0 {
		t.Fatalf("cancel: %+v", result)
	}
	s.wantEnd(waiting, queue.StatusSuccessful, 1)

	// Without the settings of Cloud Tasks a cancellation works, and the sweeper does the rest.
	last := s.enqueue(`{"task":"demo.echo","args":1,"run_after":"2099-01-01T00:00:00Z"}`).ID
	if result := procRun(t, dir, []string{"DATABASE_URL=" + database, "TASKS_MODE=cloudtasks"}, "", "cancel", last.String()); result.status != 0 || result.stderr != "" {
		t.Errorf("cancel: %+v", result)
	}
}

// A limit that one process sets holds in all others, and a task that ends lets the next one
// start where they are pulled.
func TestALimitHoldsInAllProcesses(t *testing.T) {
	t.Parallel()
	database := testdb.Postgres(t)
	dir, env := t.TempDir(), []string{"DATABASE_URL=" + database, "LOG_LEVEL=warn", "TASKS_MODE=pull"}
	procRun(t, dir, env, "", "migrate")
	procRun(t, dir, env, "", "limits", "set", "demo.sleep", "--running", "2")
	for range 2 {
		worker, _ := procWorker(t, dir, env, "--concurrency=10")
		t.Cleanup(func() { _ = worker.Process.Kill(); _ = worker.Wait() })
	}
	lines := strings.Repeat(`{"task":"demo.sleep","args":{"duration_ms":30},"queue_name":"slow"}`+"\n", 40)
	if enqueued := procRun(t, dir, env, lines, "enqueue", "-"); enqueued.status != 0 {
		t.Fatalf("enqueue: %+v", enqueued)
	}
	most := 0
	procWait(t, "all tasks", func() bool {
		counts, _ := procCounts(t, database, "slow")
		if counts["RUNNING"] > 2 {
			t.Errorf("%d tasks run at once", counts["RUNNING"])
		}
		most = max(most, counts["RUNNING"])
		return counts["SUCCESSFUL"] == 40
	})
	if most == 0 {
		t.Error("no task was seen running")
	}
}
