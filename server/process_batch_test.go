package server

import (
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/claimcheck-go/claimcheck/cloudtasks/cloudtaskstest"
	"github.com/claimcheck-go/claimcheck/queue"
)

func TestPushBulkEnqueuesAndSweepsCreateBatches(t *testing.T) {
	t.Parallel()
	c := procNewCloud(t)
	dir, env := t.TempDir(), c.env("TASKS_BATCH_CREATE=true", "TASKS_DISPATCH_TIMEOUT=20s")
	s := c.serve(dir, env)
	bulk := func(n int) (ids []string) {
		t.Helper()
		result := procRun(t, dir, env, strings.Repeat(`{"task":"demo.echo"}`+"\n", n), "enqueue", "-")
		if result.status != 0 {
			t.Fatalf("exit status %d: %s", result.status, result.stderr)
		}
		return strings.Fields(result.stdout)
	}
	ids := bulk(250)
	if n := c.Stats().Batches; n != 3 || len(ids) != 250 {
		t.Errorf("%d tasks in %d batches", len(ids), n)
	}

	procWaitSuccessful(t, s, ids)

	// The code ends the dispatch at once: only a limit that a busy machine keeps is set.
	c.SetFaults(cloudtaskstest.Faults{Code: codes.FailedPrecondition, Rates: map[cloudtaskstest.Fault]float64{cloudtaskstest.RefuseBatch: 1}})
	ids = append(ids, bulk(2)...)
	c.SetFaults(cloudtaskstest.Faults{})
	if reply := s.do(http.MethodPost, "/tasks/sweep/", `{}`); reply.status != http.StatusOK || !strings.Contains(reply.text, `"dispatched":2`) {
		t.Errorf("%d %s", reply.status, reply.text)
	}
	if n := c.Stats().Batches; n != 4 {
		t.Errorf("%d batches after the sweep", n)
	}
	procWaitSuccessful(t, s, ids)
}

// procWaitSuccessful waits until all tasks have succeeded.
func procWaitSuccessful(t *testing.T, s *procServer, ids []string) {
	t.Helper()
	procWait(t, "the end of all tasks", func() bool {
		for _, id := range ids {
			if !strings.Contains(s.do(http.MethodGet, "/tasks/result/"+id+"/", "").text, string(queue.StatusSuccessful)) {
				return false
			}
		}
		return true
	})
}
