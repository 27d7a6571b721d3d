package httpapi_test

import (
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/google/uuid"
)

func TestAuditIsPagedByCursor(t *testing.T) {
	a := newAPI(t, nil)
	if got := a.do("GET", "/tasks/audit/", ""); got.status != 200 || got.text != `{"entries":[]}`+"\n" {
		t.Fatalf("an empty log: %d %s", got.status, got.text)
	}
	task := uuid.New()
	for i := range 5 {
		if err := a.client.RecordAudit(t.Context(), "ann", "retry", task, fmt.Sprintf("task %d", i)); err != nil {
			t.Fatal(err)
		}
	}
	var targets []any
	for cursor, pages := "", 0; pages == 0 || cursor != ""; pages++ {
		got := a.do("GET", "/tasks/audit/?limit=2&cursor="+cursor, "")
		if cursor == "" {
			got = a.do("GET", "/tasks/audit?limit=2", "")
		}
		for _, e := range got.body["entries"].([]any) {
			entry := e.(map[string]any)
			if entry["actor"] != "ann" || entry["action"] != "retry" || entry["task_id"] != task.String() || entry["done"] != 1.0 || entry["ended"] != true {
				t.Errorf("%v", entry)
			}
			targets = append(targets, entry["target"])
		}
		cursor, _ = got.body["next"].(string)
		if url.QueryEscape(cursor) != cursor {
			t.Errorf("next %q needs escaping", cursor)
		}
	}
	if got := fmt.Sprint(targets); got != "[task 4 task 3 task 2 task 1 task 0]" {
		t.Errorf("entries: %s", got)
	}
	later := url.QueryEscape(time.Now().Add(time.Hour).Format(time.RFC3339))
	for query, want := range map[string]int{"since=" + later: 0, "until=" + later: 5, "since=2020-01-01T00:00:00Z": 5, "until=2020-01-01T00:00:00%2B01:00": 0} {
		if got := a.do("GET", "/tasks/audit/?"+query, ""); got.status != 200 || len(got.body["entries"].([]any)) != want {
			t.Errorf("%s: %d %s", query, got.status, got.text)
		}
	}
	for query, want := range map[string]string{
		"limit=0": "limit must be a whole number from 1 to 1000", "limit=x": "limit must be a whole number from 1 to 1000", "cursor=x": "cursor must be the next of an earlier page",
		"since=7d": "since must be a time with an offset, such as 2026-01-31T15:04:05Z", "until=": "until must be a time with an offset, such as 2026-01-31T15:04:05Z", "actor=ann": `unknown query parameter "actor"; accepted: cursor, limit, since, until`,
	} {
		if got := a.do("GET", "/tasks/audit/?"+query, ""); got.status != 400 || got.body["error"] != want {
			t.Errorf("%s: %d %s", query, got.status, got.text)
		}
	}
}
