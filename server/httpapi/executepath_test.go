package httpapi_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/httpapi"
)

func TestExecutePathTakesNoOtherRoutesRequests(t *testing.T) {
	a := newAPI(t, nil)
	for path, want := range map[string]string{
		"/tasks/{task_id}/":                   "which takes requests for /tasks/enqueue/",
		"/tasks/{task_id}":                    "which takes requests for",
		"/tasks/pur{task_id}":                 "which takes requests for /tasks/purge/",
		"/{task_id}/status":                   "which takes requests for /tasks/status/",
		"/tasks/cancel/{task_id}/":            "which takes requests for /tasks/cancel/{task_id}/",
		"/tasks/result/{task_id}":             "which takes requests for /tasks/result/{task_id}/",
		"/tasks/{task_id}/x":                  "which takes requests for",
		"/tasks/execute/{task_id}/{task_id}/": "must contain {task_id} once",
		"/run/":                               "must contain {task_id} once",
		"":                                    "must contain {task_id} once",
		"run/{task_id}":                       "must begin with /",
		"/run/{task_id}?x=1":                  "must begin with / and have no space, ? or #",
		"//tasks/{task_id}":                   "no empty part",
	} {
		err := httpapi.CheckExecutePath(path)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v; want %s", path, err, want)
		}
		if path == "" {
			continue // New treats it as unset
		}
		if _, err := httpapi.New(httpapi.Config{Client: a.client, Executor: a.exec, Auth: allowAll{}, ExecutePath: path}); err == nil {
			t.Errorf("New accepts %q", path)
		}
	}
}

func TestExecutePathsThatWork(t *testing.T) {
	for _, path := range []string{"/tasks/run/{task_id}/", "/tasks/x-{task_id}/", "/tasks/execute/v2-{task_id}"} {
		if err := httpapi.CheckExecutePath(path); err != nil {
			t.Error(err)
		}
	}
	for _, path := range []string{"/tasks/execute/{task_id}/", "/tasks/execute/{task_id}", "/{task_id}", "/hooks/{task_id}/now", "/api/v1/tasks/cancel/{task_id}/"} {
		a := newAPI(t, func(c *httpapi.Config, _ *queue.Config) { c.ExecutePath = path })
		id := a.enqueue(`{"task":"t.echo"}`)
		if got := a.do("POST", strings.Replace(path, "{task_id}", id, 1), ""); got.status != http.StatusOK || got.body["executed"] != true {
			t.Errorf("%s: %d %s", path, got.status, got.text)
		}
		a.expect("cancel", a.do("POST", "/tasks/cancel/"+a.enqueue(`{"task":"t.echo"}`)+"/", ""), 200, `"cancelled":true`)
	}
}
