package server

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

func TestServerDoesWhatTheReadmeShows(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := procServe(t, dir, nil)
	row := s.enqueue(`{"task":"demo.echo","args":{"hello":"world"}}`)
	if row.Status != queue.StatusReady || row.Task != "demo.echo" || row.Queue != "default" {
		t.Errorf("the answer to enqueue: %+v", row)
	}
	if row = s.wantEnd(row.ID, queue.StatusSuccessful, 1); string(row.ReturnValue) != `{"hello":"world"}` {
		t.Errorf("return_value %s", row.ReturnValue)
	}
	if _, err := os.Stat(filepath.Join(dir, "claimcheck.db")); err != nil {
		t.Errorf("the database is not where the README says: %v", err)
	}
	for _, want := range []string{"mode=local", "database=sqlite:claimcheck.db"} {
		if !strings.Contains(s.log.String(), want) {
			t.Errorf("the log does not say %s", want)
		}
	}
}

func TestFlakyTaskSucceedsOnItsRetry(t *testing.T) {
	t.Parallel()
	s := procServe(t, t.TempDir(), nil)
	row := s.wantEnd(s.enqueue(`{"task":"demo.flaky","args":{"failures":1}}`).ID, queue.StatusSuccessful, 2)
	if string(row.ReturnValue) != `{"attempts":2}` || len(row.Errors) != 1 || row.Errors[0].Attempt != 1 || len(row.WorkerIDs) != 2 {
		t.Errorf("%+v", row)
	}
	if log := s.log.String(); strings.Count(log, "it will be retried") != 1 || strings.Count(log, `msg="task succeeded"`) != 1 {
		t.Error("the log does not have one line for each attempt")
	}
}

func TestPanicIsRecordedWithItsStackAndAffectsNoOtherTask(t *testing.T) {
	t.Parallel()
	s := procServe(t, t.TempDir(), nil)
	row := s.wantEnd(s.enqueue(`{"task":"demo.panic"}`).ID, queue.StatusFailed, 1)
	if len(row.Errors) != 1 || row.Errors[0].Message != "panic: demo.panic was asked for" || !strings.Contains(row.Errors[0].Traceback, "main.panics(") {
		t.Errorf("errors %+v", row.Errors)
	}
	if log := s.log.String(); !strings.Contains(log, "task failed") || !strings.Contains(log, "main.panics(") {
		t.Error("the log lacks the failure or its stack")
	}
	s.wantEnd(s.enqueue(`{"task":"demo.echo"}`).ID, queue.StatusSuccessful, 1)
}

func TestPortInUseIsOneLine(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	address := listener.Addr().String()
	procRun(t, t.TempDir(), nil, "", "--listen", address).wantRefusal(t, 1, address, "in use", "--listen")
}

func TestWhatOtherProcessesEnqueueRunsOnce(t *testing.T) {
	t.Parallel()
	dir, hook := t.TempDir(), procNewHook(t)
	env := hook.env("LOG_LEVEL=error")
	lines := strings.Repeat(hook.task()+"\n", 30)
	first := procServe(t, dir, hook.env())
	var results [2]procResult
	var processes sync.WaitGroup
	for i := range results {
		processes.Go(func() { results[i] = procRun(t, dir, env, lines, "enqueue", "-") })
	}
	processes.Wait()
	for _, result := range results {
		ids := strings.Fields(result.stdout)
		if result.status != 0 || result.stderr != "" || len(ids) != 30 {
			t.Fatalf("enqueue -: exit status %d, %d IDs, stderr %q", result.status, len(ids), result.stderr)
		}
		for _, text := range ids {
			id := uuid.MustParse(text)
			first.wantEnd(id, queue.StatusSuccessful, 1)
			if hook.count(id) != 1 {
				t.Errorf("%s ran %d times", id, hook.count(id))
			}
		}
	}
}

func TestLocalServerRefusesPagesInABrowser(t *testing.T) {
	t.Parallel()
	s := procServe(t, t.TempDir(), nil)
	known := s.enqueue(`{"task":"demo.echo"}`).ID.String()
	for _, page := range []struct {
		name   string
		header []string
	}{
		{"another site", []string{"Sec-Fetch-Site", "cross-site"}},
		{"another site, old browser", []string{"Origin", "https://evil.example"}},
		{"another site, form", []string{"Origin", "https://evil.example", "Content-Type", "text/plain"}},
		{"opaque origin", []string{"Origin", "null"}},
		{"rebound name", []string{"Host", "evil.example"}},
		{"rebound name that looks local", []string{"Host", "127.0.0.1.evil.example:8080"}},
	} {
		id := uuid.NewString()
		for _, reply := range []procReply{
			s.do(http.MethodPost, "/tasks/enqueue/", fmt.Sprintf(`{"task":"demo.echo","id":%q}`, id), page.header...),
			s.do(http.MethodPost, "/tasks/execute/"+known+"/", "", page.header...),
			s.do(http.MethodGet, "/tasks/result/"+known+"/", "", page.header...),
		} {
			if reply.status != http.StatusForbidden || reply.body.Error == "" || reply.body.Result != nil {
				t.Errorf("%s: %d %s", page.name, reply.status, reply.text)
			}
		}
		if reply := s.do(http.MethodGet, "/tasks/result/"+id+"/", ""); reply.status != http.StatusNotFound {
			t.Errorf("%s has stored a task: %d %s", page.name, reply.status, reply.text)
		}
	}
	for _, header := range [][]string{{"Sec-Fetch-Site", "same-origin"}, {"Origin", s.url}, {"Host", "localhost:8080"}, {"Host", "[::1]"}} {
		if reply := s.do(http.MethodGet, "/tasks/result/"+known+"/", "", header...); reply.status != http.StatusOK {
			t.Errorf("%v: %d %s", header, reply.status, reply.text)
		}
	}
}

func TestTokenIsAskedForOnEveryRouteButHealth(t *testing.T) {
	t.Parallel()
	s := procServe(t, t.TempDir(), []string{"TASK_API_TOKEN=the-secret"})
	id := s.enqueue(`{"task":"demo.echo"}`).ID.String()
	s.wantEnd(uuid.MustParse(id), queue.StatusSuccessful, 1)
	for _, route := range []string{
		"POST /tasks/enqueue/", "POST /tasks/execute/" + id + "/", "GET /tasks/result/" + id + "/", "GET /tasks/result/" + id,
		"POST /tasks/no-such-endpoint/", "DELETE /tasks/enqueue/", "GET /tasks/openapi.json", "GET /tasks/", "GET /",
	} {
		method, path, _ := strings.Cut(route, " ")
		for _, credentials := range []string{"", "Bearer", "Bearer the-secre", "Bearer the-secret2", "Basic the-secret", "the-secret"} {
			reply := s.do(method, path, "", "Authorization", credentials)
			if reply.status != http.StatusUnauthorized || reply.header.Get("WWW-Authenticate") == "" || strings.Contains(reply.text, "the-secre") {
				t.Errorf("%s with %q: %d %s", route, credentials, reply.status, reply.text)
			}
		}
	}
	for _, path := range []string{"/health/live", "/health/ready", "/health/ready/"} {
		if reply := s.do(http.MethodGet, path, "", "Authorization", "", "Host", "probe.example"); reply.status != http.StatusOK || reply.text != "" {
			t.Errorf("%s: %d %q", path, reply.status, reply.text)
		}
	}
	if strings.Contains(s.log.String(), "the-secret") {
		t.Error("the log has the secret")
	}
}
