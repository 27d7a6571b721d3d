package httpapi_test

import (
	"net/http"
	"strings"
	"testing"
)

func TestQueuesArePausedAndResumed(t *testing.T) {
	a := newAPI(t, nil)
	id := a.enqueue(`{"task":"t.echo","args":1,"queue_name":"emails"}`)
	paused := a.do("POST", "/tasks/queues/emails/pause/", `{"reason":"the provider is down"}`)
	if b := paused.body; paused.status != 200 || b["name"] != "emails" || b["paused"] != true || b["changed"] != true || b["rows"] != 1.0 || b["paused_by"] != "HTTP API" || b["pause_reason"] != "the provider is down" {
		t.Errorf("pause: %d %s", paused.status, paused.text)
	}
	if again := a.do("POST", "/tasks/queues/emails/pause", ""); again.status != 200 || again.body["changed"] != false || again.body["pause_reason"] != "the provider is down" {
		t.Errorf("pause again: %d %s", again.status, again.text)
	}
	listed := a.do("GET", "/tasks/queues/", "")
	queues, _ := listed.body["queues"].([]any)
	if listed.status != 200 || len(queues) != 1 {
		t.Fatalf("queues: %d %s", listed.status, listed.text)
	}
	q := queues[0].(map[string]any)
	limit, hasLimit := q["limit"]
	rate, hasRate := q["rate"]
	if q["name"] != "emails" || q["paused"] != true || q["pending_count"] != 1.0 || q["running_count"] != 0.0 || !hasLimit || limit != nil || !hasRate || rate != nil {
		t.Errorf("queues: %s", listed.text)
	}
	executed := a.do("POST", "/tasks/execute/"+id+"/", "")
	if executed.status != 200 || executed.body["executed"] != false || executed.body["reason"] != "queue emails is paused: the task waits until it is resumed" {
		t.Errorf("execute: %d %s", executed.status, executed.text)
	}
	if one := a.do("POST", "/tasks/run-one/", ""); one.body["processed"] != false {
		t.Errorf("run-one: %s", one.text)
	}
	resumed := a.do("POST", "/tasks/queues/emails/resume/", "")
	if b := resumed.body; resumed.status != 200 || b["paused"] != false || b["changed"] != true || b["rows"] != 1.0 || strings.Contains(resumed.text, "paused_by") {
		t.Errorf("resume: %d %s", resumed.status, resumed.text)
	}
	if executed := a.do("POST", "/tasks/execute/"+id+"/", ""); executed.status != 200 || executed.body["executed"] != true {
		t.Errorf("execute after the resume: %d %s", executed.status, executed.text)
	}
}

func TestQueueRequestsThatAreRefused(t *testing.T) {
	a := newAPI(t, nil)
	for _, c := range []struct {
		method, path, body string
		status             int
		text               string
	}{
		{"POST", "/tasks/queues/a%20b/pause/", "", http.StatusBadRequest, "queue"},
		{"POST", "/tasks/queues/emails/pause/", `{"why":"x"}`, http.StatusBadRequest, "reason"},
		{"POST", "/tasks/queues/emails/pause/", `{"reason":1}`, http.StatusBadRequest, "reason must be a string"},
		{"POST", "/tasks/queues/emails/resume/", `{"reason":"x"}`, http.StatusBadRequest, "none"},
		{"GET", "/tasks/queues/emails/pause/", "", http.StatusMethodNotAllowed, "use POST"},
		{"POST", "/tasks/queues/", "", http.StatusMethodNotAllowed, "use GET"},
		{"GET", "/tasks/queues/emails/", "", http.StatusNotFound, "no such endpoint"},
		{"POST", "/tasks/queues/emails/stop/", "", http.StatusNotFound, "no such endpoint"},
		{"GET", "/tasks/queues/?limit=1", "", http.StatusBadRequest, "limit"},
	} {
		if got := a.do(c.method, c.path, c.body); got.status != c.status || !strings.Contains(got.text, c.text) {
			t.Errorf("%s %s %s: %d %s; want %d and %q", c.method, c.path, c.body, got.status, got.text, c.status, c.text)
		}
	}
}
