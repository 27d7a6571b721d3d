package httpapi_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/httpapi"
)

// A part that is left out stays as it is, and null takes it away.
func TestLimitsOfAQueueAreSetAndTakenAway(t *testing.T) {
	a := newAPI(t, nil)
	const warning = `,"warning":"no task of this program, no allow-list and no recent task has the queue emails: is the name right?"}`
	for _, step := range []struct{ body, want string }{
		{`{"running":2,"rate":{"starts":10,"per":"1s"}}`, `{"kind":"queue","name":"emails","running":2,"rate":{"starts":10,"per":"1s"},"set_by":"operator"}`},
		{`{"running":3}`, `{"kind":"queue","name":"emails","running":3,"rate":{"starts":10,"per":"1s"},"set_by":"operator"}`},
		{`{"running":null}`, `{"kind":"queue","name":"emails","running":null,"rate":{"starts":10,"per":"1s"},"set_by":"operator"}`},
		{`{"running":1,"rate":null}`, `{"kind":"queue","name":"emails","running":1,"rate":null,"set_by":"operator"}`},
		{`{"rate":{"starts":1,"per":"90m"}}`, `{"kind":"queue","name":"emails","running":1,"rate":{"starts":1,"per":"1h30m"},"set_by":"operator"}`},
	} {
		if got := a.do("PUT", "/tasks/queues/emails/limit/", step.body); got.status != 200 || strings.TrimSpace(got.text) != strings.TrimSuffix(step.want, "}")+warning {
			t.Errorf("%s: %d %s, want %s", step.body, got.status, got.text, step.want)
		}
	}
	listed := a.do("GET", "/tasks/queues/", "")
	if want := `"name":"emails","paused":false,"pending_count":0,"running_count":0,"limit":1,"rate":{"starts":1,"per":"1h30m"}`; listed.status != 200 || !strings.Contains(listed.text, want) {
		t.Errorf("queues: %d %s, want %s", listed.status, listed.text, want)
	}
	if got := a.do("PUT", "/tasks/queues/emails/limit", `{"running":null,"rate":null}`); got.status != 200 || got.body["running"] != nil || got.body["rate"] != nil || got.body["warning"] != nil {
		t.Errorf("removed: %d %s", got.status, got.text)
	}
	if listed := a.do("GET", "/tasks/queues/", ""); listed.text != `{"queues":[]}`+"\n" {
		t.Errorf("queues: %s", listed.text)
	}
}

// A removal of what does not exist says so, and what may be meant.
func TestRemovingALimitThatDoesNotExistIsWarnedAbout(t *testing.T) {
	a := newAPI(t, nil)
	for path, body := range map[string]string{"/tasks/queues/emails/limit/": `{"running":3}`, "/tasks/limits/t.tenant/": `{"each":true,"running":1}`, "/tasks/limits/t.fail/": `{"running":1}`} {
		if got := a.do("PUT", path, body); got.status != 200 {
			t.Fatalf("%s: %d %s", path, got.status, got.text)
		}
	}
	for _, c := range []struct{ path, body, want string }{
		{"/tasks/limits/emails/", `{"running":null,"rate":null}`, "this name had no limit; the queue of this name has one, which PUT /tasks/queues/NAME/limit/ removes"},
		{"/tasks/limits/t.tenant/", `{"running":null}`, "this name had no limit; each key of the task of this name has one"},
		{"/tasks/limits/t.fail/", `{"each":true,"running":null,"rate":null}`, "each key of this task had no limit; the task or key of this name has one"},
		{"/tasks/queues/other/limit/", `{"rate":null}`, "this queue had no limit: GET /tasks/limits/ lists those that are set"},
		{"/tasks/queues/emails/limit/", `{"running":null,"rate":null}`, ""},
	} {
		got := a.do("PUT", c.path, c.body)
		if warning, _ := got.body["warning"].(string); got.status != 200 || got.body["running"] != nil || !strings.HasPrefix(warning, c.want) || c.want == "" && warning != "" {
			t.Errorf("%s %s: %d %s, want %s", c.path, c.body, got.status, got.text, c.want)
		}
	}
}

// A task that was chosen to start next takes up its limit although it does not run.
func TestLimitsCountTheTasksThatWereChosen(t *testing.T) {
	a := newAPI(t, nil)
	a.do("PUT", "/tasks/limits/t.echo/", `{"running":1}`)
	first, second := uuid.MustParse(a.enqueue(`{"task":"t.echo"}`)), a.enqueue(`{"task":"t.echo"}`)
	row, err := a.store.Claim(t.Context(), first, queue.ClaimRequest{Tasks: []string{"t.echo"}, Lease: time.Hour, ClaimID: queue.NewClaimID()})
	if err != nil {
		t.Fatal(err)
	}
	a.do("POST", "/tasks/execute/"+second+"/", "")
	if listed := a.do("GET", "/tasks/limits/", ""); !strings.Contains(listed.text, `"running_count":1}`) {
		t.Errorf("while one runs: %s", listed.text)
	}
	if _, err := a.store.Finish(t.Context(), row.Claim(), queue.Finish{Status: queue.StatusSuccessful}); err != nil {
		t.Fatal(err)
	}
	if rows, err := a.store.(queue.Limiter).Admit(t.Context(), queue.AdmitRequest{Backend: "default", Limit: 1}); err != nil || len(rows) != 1 {
		t.Fatal(rows, err)
	}
	if listed := a.do("GET", "/tasks/limits/", ""); !strings.Contains(listed.text, `"running_count":0,"chosen_count":1}`) {
		t.Errorf("while one is about to start: %s", listed.text)
	}
}

// A delivery over a limit is answered with 200 and parked; no other task is affected.
func TestADeliveryOverALimitIsAnswered(t *testing.T) {
	a := newAPI(t, nil)
	if got := a.do("PUT", "/tasks/limits/t.echo/", `{"rate":{"starts":1,"per":"1h"}}`); got.status != 200 {
		t.Fatalf("%d %s", got.status, got.text)
	}
	first, second, other := a.enqueue(`{"task":"t.echo","args":1}`), a.enqueue(`{"task":"t.echo","args":2}`), a.enqueue(`{"task":"t.fail"}`)
	if got := a.do("POST", "/tasks/execute/"+first+"/", ""); got.status != 200 || got.body["executed"] != true {
		t.Errorf("the first: %d %s", got.status, got.text)
	}
	got := a.do("POST", "/tasks/execute/"+second+"/", "")
	if reason, _ := got.body["reason"].(string); got.status != 200 || got.body["executed"] != false || reason != "the limit of task t.echo is reached: the task waits" {
		t.Errorf("the second: %d %s", got.status, got.text)
	}
	if got := a.do("POST", "/tasks/execute/"+other+"/", ""); got.status != 200 || got.body["executed"] != true {
		t.Errorf("another task: %d %s", got.status, got.text)
	}
	if got := a.do("GET", "/tasks/result/"+second+"/", ""); !strings.Contains(got.text, `"status":"READY"`) || !strings.Contains(got.text, `"attempts":0`) {
		t.Errorf("the second: %s", got.text)
	}
}

// A limit key may have any character, so a name is read from the escaped path.
func TestLimitsOfTasksAndKeysAreListed(t *testing.T) {
	a := newAPI(t, nil)
	for path, name := range map[string]string{
		"/tasks/limits/t.echo/": "t.echo", "/tasks/limits/tenant%2F7/": "tenant/7", "/tasks/limits/tenant%2F8": "tenant/8",
		"/tasks/limits/gr%C3%BCn%20%3F/": "grün ?", "/tasks/limits/limits/": "limits", "/tasks/limits/end%2F/": "end/",
	} {
		if got := a.do("PUT", path, `{"running":5}`); got.status != 200 || got.body["kind"] != "name" || got.body["name"] != name {
			t.Errorf("%s: %d %s", path, got.status, got.text)
		}
	}
	if got := a.do("PUT", "/tasks/limits/t.echo/", `{"each":true,"running":1}`); got.status != 200 || got.body["kind"] != "each" || !strings.Contains(got.text, "task t.echo has no LimitKey") {
		t.Errorf("each: %d %s", got.status, got.text)
	}
	a.do("PUT", "/tasks/queues/emails/limit/", `{"running":2}`)
	listed := a.do("GET", "/tasks/limits/", "")
	list, _ := listed.body["limits"].([]any)
	var names []string
	for _, l := range list {
		l := l.(map[string]any)
		names = append(names, l["kind"].(string)+" "+l["name"].(string))
		if l["running_count"] != 0.0 || l["set_by"] != "operator" {
			t.Errorf("%v", l)
		}
	}
	want := []string{"each t.echo", "name end/", "name grün ?", "name limits", "name t.echo", "name tenant/7", "name tenant/8", "queue emails"}
	if listed.status != 200 || !slices.Equal(names, want) {
		t.Errorf("limits: %d %v, want %v", listed.status, names, want)
	}
	audit, err := a.client.Operator()
	if err != nil {
		t.Fatal(err)
	}
	entries, err := audit.AuditLog(t.Context(), uuid.Nil, time.Now().Add(time.Hour), 100)
	if err != nil || len(entries) != 8 || entries[0].Actor != "HTTP API" || entries[0].Action != queue.AuditLimit || entries[0].Target != "queue emails: 2 running" {
		t.Errorf("audit: %+v, %v", entries, err)
	}
}

func TestLimitRequestsThatAreRefused(t *testing.T) {
	a := newAPI(t, nil)
	const running, rate = "running must be a whole number from 1 to 10000, or null", `rate must be {\"starts\":N,\"per\":D}`
	for _, c := range []struct {
		method, path, body string
		status             int
		text               string
	}{
		{"PUT", "/tasks/queues/emails/limit/", "", http.StatusBadRequest, "give running, rate or both"},
		{"PUT", "/tasks/queues/emails/limit/", "{}", http.StatusBadRequest, "null takes a part away"},
		{"PUT", "/tasks/queues/emails/limit/", `{"running":0}`, http.StatusBadRequest, running},
		{"PUT", "/tasks/queues/emails/limit/", `{"running":10001}`, http.StatusBadRequest, running},
		{"PUT", "/tasks/queues/emails/limit/", `{"running":"5"}`, http.StatusBadRequest, running},
		{"PUT", "/tasks/queues/emails/limit/", `{"running":1.5}`, http.StatusBadRequest, "to run nothing, pause the queue"},
		{"PUT", "/tasks/queues/emails/limit/", `{"rate":5}`, http.StatusBadRequest, rate},
		{"PUT", "/tasks/queues/emails/limit/", `{"rate":{"starts":5}}`, http.StatusBadRequest, rate},
		{"PUT", "/tasks/queues/emails/limit/", `{"rate":{"starts":5,"per":"1s","burst":1}}`, http.StatusBadRequest, `unknown field \"burst\"`},
		{"PUT", "/tasks/queues/emails/limit/", `{"rate":{"starts":0,"per":"1s"}}`, http.StatusBadRequest, rate},
		{"PUT", "/tasks/queues/emails/limit/", `{"rate":{"starts":1,"per":"1d"}}`, http.StatusBadRequest, `from 1ms to 744h, or null to take this part away: per is \"1d\"`},
		{"PUT", "/tasks/queues/emails/limit/", `{"rate":{"starts":1,"per":"1us"}}`, http.StatusBadRequest, rate},
		{"PUT", "/tasks/queues/emails/limit/", `{"running":1,"each":true}`, http.StatusBadRequest, "accepted: rate, reset, running"},
		{"PUT", "/tasks/queues/emails/limit/", `{"running":1,"reset":true}`, http.StatusBadRequest, "leave out running and rate"},
		{"PUT", "/tasks/queues/a%20b/limit/", `{"running":1}`, http.StatusBadRequest, "queue"},
		{"POST", "/tasks/queues/emails/limit/", `{"running":1}`, http.StatusMethodNotAllowed, "use PUT"},
		{"GET", "/tasks/limits/a/", "", http.StatusMethodNotAllowed, "use PUT"},
		{"PUT", "/tasks/limits/a/b/", `{"running":1}`, http.StatusNotFound, "no such endpoint"},
		{"POST", "/tasks/limits/", "", http.StatusMethodNotAllowed, "use GET"},
		{"PUT", "/tasks/limits/a%00b/", `{"running":1}`, http.StatusBadRequest, "limit key"},
		{"PUT", "/tasks/limits/" + strings.Repeat("a", 201) + "/", `{"running":1}`, http.StatusBadRequest, "200 bytes"},
		{"PUT", "/tasks/limits/a%20b/", `{"running":1,"each":true}`, http.StatusBadRequest, "task"},
		{"PUT", "/tasks/limits/a/", `{"running":1,"each":"yes"}`, http.StatusBadRequest, "each must be"},
		{"PUT", "/tasks/limits/a/?running=1", `{"running":1}`, http.StatusBadRequest, "PUT"},
	} {
		if got := a.do(c.method, c.path, c.body); got.status != c.status || !strings.Contains(got.text, c.text) {
			t.Errorf("%s %s %s: %d %s; want %d and %q", c.method, c.path, c.body, got.status, got.text, c.status, c.text)
		}
	}
	if listed := a.do("GET", "/tasks/limits/", ""); listed.text != `{"limits":[]}`+"\n" {
		t.Errorf("limits: %s", listed.text)
	}
}

// The code's limits are shown as such; once an operator has changed a part, the code
// changes nothing.
func TestLimitsOfTheCodeAreShown(t *testing.T) {
	a := newAPI(t, func(_ *httpapi.Config, q *queue.Config) {
		q.Limits = []queue.Limit{{Kind: queue.LimitQueue, Name: "emails", Running: 4, Starts: 7, Per: 60e9}}
	})
	apply := func() {
		if err := a.client.ApplyLimits(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	apply()
	if got := a.do("GET", "/tasks/limits/", ""); !strings.Contains(got.text, `"running":4,"rate":{"starts":7,"per":"1m"},"set_by":"code"`) {
		t.Errorf("of the code: %s", got.text)
	}
	a.do("PUT", "/tasks/queues/emails/limit/", `{"running":9}`)
	apply()
	if got := a.do("GET", "/tasks/limits/", ""); !strings.Contains(got.text, `"running":9,"rate":{"starts":7,"per":"1m"},"set_by":"operator","running_count":0,"code":{"running":4,"rate":{"starts":7,"per":"1m"}}}`) {
		t.Errorf("of an operator: %s", got.text)
	}
	a.do("PUT", "/tasks/queues/emails/limit/", `{"running":null,"rate":null}`)
	apply()
	if got := a.do("GET", "/tasks/limits/", ""); strings.TrimSpace(got.text) != `{"limits":[{"kind":"queue","name":"emails","running":null,"rate":null,"set_by":"none","code":{"running":4,"rate":{"starts":7,"per":"1m"}}}]}` {
		t.Errorf("removed by an operator: %s", got.text)
	}
	if got := a.do("PUT", "/tasks/queues/emails/limit/", `{"reset":true}`); got.status != 200 || strings.TrimSpace(got.text) != `{"kind":"queue","name":"emails","running":4,"rate":{"starts":7,"per":"1m"},"set_by":"code"}` {
		t.Errorf("given back to the code: %d %s", got.status, got.text)
	}
}

// A task of a tenant is counted under its key, which its result shows.
func TestALimitKeyIsShownAndCounted(t *testing.T) {
	a := newAPI(t, nil)
	a.do("PUT", "/tasks/limits/acme/", `{"rate":{"starts":1,"per":"1h"}}`)
	first, second, other := a.enqueue(`{"task":"t.tenant","args":{"Tenant":"acme"}}`), a.enqueue(`{"task":"t.tenant","args":{"Tenant":"acme"}}`), a.enqueue(`{"task":"t.tenant","args":{"Tenant":"b"}}`)
	if got := a.do("GET", "/tasks/result/"+first+"/", ""); !strings.Contains(got.text, `"limit_key":"acme"`) {
		t.Errorf("result: %s", got.text)
	}
	for _, id := range []string{first, other} {
		if got := a.do("POST", "/tasks/execute/"+id+"/", ""); got.body["executed"] != true {
			t.Errorf("execute: %d %s", got.status, got.text)
		}
	}
	if got := a.do("POST", "/tasks/execute/"+second+"/", ""); got.status != 200 || got.body["reason"] != "the limit of key acme is reached: the task waits" {
		t.Errorf("execute: %d %s", got.status, got.text)
	}
}
