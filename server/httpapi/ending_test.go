package httpapi_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/httpapi"
)

func (a *api) stored(id string) *queue.Row {
	a.t.Helper()
	row, err := a.client.Get(a.t.Context(), uuid.MustParse(id))
	if err != nil {
		a.t.Fatal(err)
	}
	return row
}

func TestEnqueueSaysHowATaskEnds(t *testing.T) {
	a := newAPI(t, nil)
	row := a.stored(a.enqueue(`{"task":"t.echo","keep_successful":"0","keep_failed":"720h","expires_in":"90s"}`))
	if *row.Keep != (queue.Retention{Failed: 720 * time.Hour}) || row.ExpiresAt.Sub(row.EnqueuedAt) != 90*time.Second {
		t.Errorf("%+v, expires %s", row.Keep, row.ExpiresAt)
	}
	id := a.enqueue(`{"task":"t.echo","expires_at":"2040-01-02T03:04:05+01:00"}`)
	if answer := a.do("GET", "/tasks/result/"+id+"/", ""); !strings.Contains(answer.text, `"expires_at":"2040-01-02T02:04:05Z"`) {
		t.Error(answer.text)
	}
	for fields, want := range map[string]string{
		`"expires_at":"2040-01-02T03:04:05Z","expires_in":"1h"`: "expires_at and expires_in exclude each other",
		`"expires_at":"2040-01-02"`:                             "expires_at must be a time with an offset",
		`"expires_at":"2020-01-02T03:04:05Z"`:                   "expires_at must be later than now, or the task never runs, not 2020-01-02T03:04:05Z",
		`"expires_in":"0"`:                                      "expires_in must be a duration longer than 0",
		`"expires_in":"-1h"`:                                    "expires_in must be a duration longer than 0",
		`"expires_in":3600`:                                     "expires_in must be a string",
		`"keep_successful":"1h"`:                                "keep_successful and keep_failed belong together",
		`"keep_failed":"1h"`:                                    "keep_successful and keep_failed belong together",
		`"keep_failed":"1h","keep_successful":"1d"`:             "keep_successful must be a duration such as",
		`"keep_failed":"1h","keep_successful":"9999999h"`:       `at most 50 years ("438000h")`,
		`"keep_failed":"-1h","keep_successful":"1h"`:            "keep_failed must be a duration such as",
		`"keep_failed":"500000h","keep_successful":"1h"`:        "keep_failed must be a duration such as",
	} {
		if answer := a.do("POST", "/tasks/enqueue/", `{"task":"t.echo",`+fields+`}`); answer.status != http.StatusBadRequest || !strings.Contains(answer.body["error"].(string), want) {
			t.Errorf("%s: %d %s", fields, answer.status, answer.text)
		}
	}
}

func TestADeliveryOfAnExpiredTask(t *testing.T) {
	a := newAPI(t, nil)
	id := a.enqueue(`{"task":"t.echo","expires_in":"1us"}`)
	answer := a.do("POST", "/tasks/execute/"+id+"/?fail_on_error=true", "")
	if answer.status != http.StatusOK || answer.body["executed"] != false || !strings.Contains(answer.body["reason"].(string), "not started before its expires_at") {
		t.Errorf("%d %s", answer.status, answer.text)
	}
	result := a.do("GET", "/tasks/result/"+id+"/", "")
	if !strings.Contains(result.text, `"status":"CANCELLED"`) || !strings.Contains(result.text, `"exception_class_path":"Expired"`) {
		t.Error(result.text)
	}
	a.enqueue(`{"task":"t.echo","expires_in":"1us"}`)
	if swept := a.do("POST", "/tasks/sweep/", ""); swept.body["expired"] != 1.0 {
		t.Error(swept.text)
	}
}

func TestDeleteRemovesATask(t *testing.T) {
	a := newAPI(t, nil)
	id := a.enqueue(`{"task":"t.echo"}`)
	if answer := a.do("POST", "/tasks/delete/"+id+"/", ""); answer.status != http.StatusOK || answer.text != `{"deleted":true}`+"\n" {
		t.Errorf("%d %s", answer.status, answer.text)
	}
	for _, path := range []string{"/tasks/delete/" + id + "/", "/tasks/delete/7/"} {
		if answer := a.do("POST", path, ""); answer.status != http.StatusNotFound {
			t.Errorf("%s: %d %s", path, answer.status, answer.text)
		}
	}
	if answer := a.do("GET", "/tasks/delete/"+id+"/", ""); answer.status != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d", answer.status)
	}
	running := a.enqueue(`{"task":"t.block"}`)
	go a.do("POST", "/tasks/execute/"+running+"/", "")
	<-a.started
	if answer := a.do("POST", "/tasks/delete/"+running+"/", ""); answer.status != http.StatusConflict || answer.body["deleted"] != false || !strings.Contains(answer.text, "cancel it first") {
		t.Errorf("RUNNING: %d %s", answer.status, answer.text)
	}
	close(a.block)
	operator, err := a.client.Operator()
	if err != nil {
		t.Fatal(err)
	}
	entries, err := operator.AuditLog(t.Context(), uuid.MustParse(id), time.Now().Add(time.Hour), 10)
	if err != nil || len(entries) != 1 || entries[0].Action != "delete" || entries[0].Actor != "POST /tasks/delete/" {
		t.Errorf("%+v, %v", entries, err)
	}
}

func TestAFullBacklogIs429(t *testing.T) {
	a := newAPI(t, func(_ *httpapi.Config, q *queue.Config) { q.MaxBacklog = map[string]int{"": 1} })
	a.enqueue(`{"task":"t.echo"}`)
	answer := a.do("POST", "/tasks/enqueue/", `{"task":"t.echo"}`)
	if answer.status != http.StatusTooManyRequests || answer.header.Get("Retry-After") == "" || !strings.Contains(answer.body["error"].(string), "the queue's backlog is full") {
		t.Errorf("%d %s", answer.status, answer.text)
	}
}
