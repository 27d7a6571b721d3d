package httpapi_test

import (
	"testing"
	"time"
)

func TestFigures(t *testing.T) {
	a := newAPI(t, nil)
	if got := a.do("GET", "/tasks/figures/", ""); got.status != 200 || len(got.body["tasks"].([]any)) != 0 || len(got.body["hours"].([]any)) != 0 || got.body["total"].(map[string]any)["wait_seconds"] != nil {
		t.Errorf("with nothing there: %d %s", got.status, got.text)
	}
	id := a.enqueue(`{"task":"t.echo"}`)
	if got := a.do("POST", "/tasks/execute/"+id+"/", ""); got.status != 200 {
		t.Fatal(got.text)
	}
	got := a.do("GET", "/tasks/figures?task=t.echo&queue_name=default&backend_name=default", "")
	if got.status != 200 {
		t.Fatal(got.text)
	}
	tasks, hours := got.body["tasks"].([]any), got.body["hours"].([]any)
	task := tasks[0].(map[string]any)
	if task["task_path"] != "t.echo" || task["succeeded"] != 1.0 || task["wait_seconds"].(map[string]any)["count"] != 1.0 || task["attempts"].(map[string]any)["p99"] != 1.0 || task["per_hour"].(float64) <= 0 {
		t.Errorf("%v", task)
	}
	if hour := hours[0].(map[string]any); len(hours) != 1 || hour["complete"] != false || hour["succeeded"] != 1.0 {
		t.Errorf("%v", hours)
	}
	for query, want := range map[string]int{"task=none": 0, "queue_name=none": 0, "until=2026-01-01T00:00:00Z": 0, "since=" + time.Now().Add(-48*time.Hour).UTC().Format(time.RFC3339): 1} {
		if got := a.do("GET", "/tasks/figures/?"+query, ""); got.status != 200 || len(got.body["tasks"].([]any)) != want {
			t.Errorf("%s: %d %s", query, got.status, got.text)
		}
	}
	const period = "since must be less than 90 days before the end of the period, and before it"
	for query, want := range map[string]string{
		"since=yesterday": "since must be a time with an offset, such as 2026-01-31T15:04:05Z",
		"until=1":         "until must be a time with an offset, such as 2026-01-31T15:04:05Z",
		"since=2026-01-01T00:00:00Z&until=2026-01-01T00:00:00Z": period,
		"since=2020-01-01T00:00:00Z":                            period,
		"backend_name=none":                                     "Invalid backend name",
	} {
		if got := a.do("GET", "/tasks/figures/?"+query, ""); got.status != 400 || got.body["error"] != want {
			t.Errorf("%s: %d %s", query, got.status, got.text)
		}
	}
}
