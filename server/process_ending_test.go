package server

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

func TestPushCancelsWhatExpiresAndDropsWhatIsNotKept(t *testing.T) {
	t.Parallel()
	c := procNewCloud(t)
	s := c.serve(t.TempDir(), c.env())
	expired := s.enqueue(`{"task":"demo.echo","expires_in":"1us"}`).ID
	if row := s.wantEnd(expired, queue.StatusCancelled, 0); len(row.Errors) != 1 || row.Errors[0].ExceptionClassPath != "Expired" {
		t.Errorf("errors %+v", row.Errors)
	}
	c.wantAnswers(expired, http.StatusOK)

	dropped := s.enqueue(`{"task":"demo.echo","args":{"secret":1},"keep_successful":"0","keep_failed":"0"}`).ID
	if row := s.wantEnd(dropped, queue.StatusSuccessful, 1); row.ReturnValue != nil {
		t.Errorf("return_value %s", row.ReturnValue)
	}
	again := s.do(http.MethodPost, "/tasks/enqueue/", `{"task":"demo.echo","args":{"secret":1},"id":"`+dropped.String()+`"}`)
	if again.status != http.StatusOK || !strings.Contains(again.text, `"status":"SUCCESSFUL"`) {
		t.Errorf("a repeated enqueue: %d %s", again.status, again.text)
	}

	waiting := s.enqueue(`{"task":"demo.echo","run_after":"` + time.Now().Add(time.Hour).Format(time.RFC3339) + `"}`).ID
	if reply := s.do(http.MethodPost, "/tasks/delete/"+waiting.String()+"/", ""); reply.status != http.StatusOK {
		t.Errorf("delete: %d %s", reply.status, reply.text)
	}
	if reply := s.do(http.MethodGet, "/tasks/result/"+waiting.String()+"/", ""); reply.status != http.StatusNotFound {
		t.Errorf("after its deletion: %d %s", reply.status, reply.text)
	}
}

func TestAPullingWorkerCancelsWhatExpires(t *testing.T) {
	t.Parallel()
	dir, env := t.TempDir(), []string{"TASKS_MODE=pull"}
	run := func(args ...string) string {
		t.Helper()
		result := procRun(t, dir, env, "", args...)
		if result.status != 0 {
			t.Fatalf("%v: exit status %d: %s", args, result.status, result.stderr)
		}
		return strings.TrimSpace(result.stdout)
	}
	run("migrate")
	expired, kept := run("enqueue", "demo.echo", "--expires", "1us"), run("enqueue", "demo.echo", `"secret"`, "--expires", "1h", "--keep-successful", "0", "--keep-failed", "0")
	run("work")
	if out := run("result", expired, "--json"); !strings.Contains(out, `"status":"CANCELLED"`) || !strings.Contains(out, `"attempts":0`) {
		t.Error(out)
	}
	if out := run("result", kept, "--json", "--args"); !strings.Contains(out, `"status":"SUCCESSFUL"`) || strings.Contains(out, "secret") {
		t.Error(out)
	}
}
