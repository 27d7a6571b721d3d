package server

import (
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue"
)

// A service to which Cloud Tasks delivers and a worker pool serve one queue: each task
// runs once, whoever is first, and no ticket is left.
func TestPushAndPullServeOneQueue(t *testing.T) {
	t.Parallel()
	c := procNewCloud(t)
	database := "DATABASE_URL=" + testdb.Postgres(t)
	dir := t.TempDir()
	s := c.serve(dir, c.env(database))
	service := c.proxy.Load()

	// Only deliveries: no worker runs yet.
	s.wantEnd(s.enqueue(`{"task":"demo.echo"}`).ID, queue.StatusSuccessful, 1)

	// Only the worker: deliveries do not arrive.
	c.proxy.Store(nil)
	worker, log := procWorker(t, dir, []string{database, "CLOUD_RUN_WORKER_POOL=workers"})
	missed := s.enqueue(`{"task":"demo.echo"}`).ID
	s.wantEnd(missed, queue.StatusSuccessful, 1)
	long := s.enqueue(`{"task":"demo.sleep","args":{"duration_ms":2000}}`).ID
	procWait(t, "the worker to run it", func() bool { return s.task(long).Status == queue.StatusRunning })

	// The tickets arrive while the one task runs and after the other has ended.
	c.proxy.Store(service)
	s.wantEnd(long, queue.StatusSuccessful, 1)
	procWait(t, "all messages to be deleted", func() bool { return len(c.Tasks()) == 0 })
	statuses := map[int]int{}
	for _, delivery := range c.delivered(long) {
		statuses[delivery.status]++
	}
	if statuses[http.StatusConflict] == 0 || statuses[http.StatusOK] != 1 {
		t.Errorf("the deliveries of what the worker ran were answered %v", statuses)
	}

	// Both.
	ids := []*queue.Row{}
	for i := range 100 {
		ids = append(ids, s.enqueue(fmt.Sprintf(`{"task":"demo.echo","args":%d}`, i)))
	}
	for _, row := range ids {
		s.wantEnd(row.ID, queue.StatusSuccessful, 1)
	}
	procWait(t, "all messages to be deleted", func() bool { return len(c.Tasks()) == 0 })
	if err := worker.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	if err := worker.Wait(); err != nil {
		t.Errorf("the worker ended with %v", err)
	}
	if n := strings.Count(log.String(), `"message":"task succeeded"`); n < 2 {
		t.Errorf("the worker ran %d tasks", n)
	}
}

// What a pool without a handler URL enqueues gets no ticket, and is retried there.
func TestAPoolWithoutAHandlerURLMakesNoTickets(t *testing.T) {
	t.Parallel()
	c := procNewCloud(t)
	database := "DATABASE_URL=" + testdb.Postgres(t)
	dir := t.TempDir()
	s := c.serve(dir, c.env(database))
	pool := []string{database, "CLOUD_RUN_WORKER_POOL=workers"}
	id := strings.TrimSpace(procRun(t, dir, pool, "", "enqueue", "demo.flaky", `{"failures":1}`).stdout)
	if n := c.Stats().Created; n != 0 {
		t.Errorf("%d tickets", n)
	}
	worker, _ := procWorker(t, dir, pool)
	s.wantEnd(procID(id), queue.StatusSuccessful, 2)
	if n := c.Stats().Created; n != 0 {
		t.Errorf("%d tickets", n)
	}
	if err := worker.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	if err := worker.Wait(); err != nil {
		t.Errorf("the worker ended with %v", err)
	}
}

// procID is an ID as a command prints it.
type procID string

func (id procID) String() string { return string(id) }
