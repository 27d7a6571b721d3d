package httpapi_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/httpapi"
)

func TestRunProcessesWhatIsDueInClaimOrder(t *testing.T) {
	a := newAPI(t, nil)
	for n, priority := range []int{0, 5, -3} {
		a.enqueue(fmt.Sprintf(`{"task":"t.echo","args":%d,"priority":%d}`, n, priority))
	}
	other := a.enqueue(`{"task":"t.fail","queue_name":"other"}`)
	a.enqueue(`{"task":"t.echo","run_after":"2035-01-01T00:00:00Z"}`)

	some := a.do("POST", "/tasks/run/", `{"max_tasks":2,"queue_name":"default"}`)
	a.expect("two of default", some, 200, `{"processed":2,"results":[{`)
	if first, second := strings.Index(some.text, `"return_value":1`), strings.Index(some.text, `"return_value":0`); first < 0 || second < first {
		t.Errorf("order: %s", some.text)
	}
	all := a.do("POST", "/tasks/run", "")
	a.expect("the rest", all, 200, `{"processed":2,"results":[`)
	if !strings.Contains(all.text, other) || !strings.Contains(all.text, `"status":"READY"`) {
		t.Errorf("the failed one: %s", all.text)
	}
	a.expect("nothing is left", a.do("POST", "/tasks/run/", "{}"), 200, `{"processed":0,"results":[]}`)
}

func TestRunOneProcessesOne(t *testing.T) {
	a := newAPI(t, nil)
	a.expect("nothing is due", a.do("POST", "/tasks/run-one/", ""), 200, `{"processed":false,"result":null}`)
	a.enqueue(`{"task":"t.echo","args":"low","priority":-1}`)
	a.enqueue(`{"task":"t.echo","args":"high"}`)
	a.expect("first", a.do("POST", "/tasks/run-one/", `{"queue_name":null}`), 200, `"return_value":"high"`)
	a.expect("another queue", a.do("POST", "/tasks/run-one/", `{"queue_name":"x"}`), 200, `{"processed":false,"result":null}`)
	a.expect("second", a.do("POST", "/tasks/run-one/", `{"backend_name":"default"}`), 200, `"return_value":"low"`)
}

func TestRunBeginsNothingInTheSecondHalfOfTheRequest(t *testing.T) {
	a := newAPI(t, func(c *httpapi.Config, _ *queue.Config) { c.RequestTimeout = 2 * time.Nanosecond })
	a.enqueue(`{"task":"t.echo"}`)
	a.expect("no time", a.do("POST", "/tasks/run/", ""), 200, `{"processed":0,"results":[]}`)
}

func TestStatusCounts(t *testing.T) {
	a := newAPI(t, nil)
	a.expect("empty", a.do("GET", "/tasks/status/", ""), 200,
		`{"pending_count":0,"running_count":0,"successful_count":0,"failed_count":0,"cancelled_count":0,"delayed_count":0,"stranded_count":0}`)
	a.enqueue(`{"task":"t.echo","queue_name":"emails"}`)
	a.deliver(a.enqueue(`{"task":"t.echo"}`))
	a.deliver(a.enqueue(`{"task":"t.discard"}`))
	a.enqueue(`{"task":"t.echo","run_after":"2035-01-01T00:00:00Z"}`)
	a.do("POST", "/tasks/cancel/"+a.enqueue(`{"task":"t.echo"}`)+"/", "")
	all := a.do("GET", "/tasks/status", "")
	a.expect("all", all, 200, `{"pending_count":1,"running_count":0,"successful_count":1,"failed_count":1,"cancelled_count":1,"delayed_count":1,"oldest_pending_waiting_since":"`)
	if all.body["oldest_pending_waiting_since"] != all.body["newest_pending_waiting_since"] {
		t.Errorf("one task waits: %s", all.text)
	}
	a.expect("one queue", a.do("GET", "/tasks/status/?queue_name=emails&backend_name=default", ""), 200, `{"pending_count":1,"running_count":0,"successful_count":0`)
}

func TestCancel(t *testing.T) {
	a := newAPI(t, nil)
	id := a.enqueue(`{"task":"t.echo"}`)
	a.expect("READY", a.do("POST", "/tasks/cancel/"+id+"/", "{}"), 200, `{"cancelled":true,"result":{"id":"`+id+`","status":"CANCELLED"`)
	a.expect("CANCELLED", a.do("POST", "/tasks/cancel/"+id, ""), 409, `{"cancelled":false,"result":{`)
	a.expect("its delivery", a.deliver(id), 200, `{"executed":false,"reason":"Task is not in READY status"}`)
	a.expect("its delivery, even with allow_retry", a.do("POST", "/tasks/execute/"+id+"/?allow_retry=true", ""), 200, `"executed":false`)
	a.expect("unknown", a.do("POST", "/tasks/cancel/01890a5d-ac96-774b-bcce-b302099a8057/", ""), 404, "Task not found")
	a.expect("nonsense", a.do("POST", "/tasks/cancel/x/", ""), 404, "Task not found")

	running := a.enqueue(`{"task":"t.block"}`)
	done := make(chan reply)
	go func() { done <- a.deliver(running) }()
	<-a.started
	a.expect("RUNNING", a.do("POST", "/tasks/cancel/"+running+"/", ""), 200, `"status":"CANCELLED"`)
	close(a.block)
	a.expect("its finish is refused", <-done, 200, `"executed":false`)
	a.expect("and the row stays", a.do("GET", "/tasks/result/"+running, ""), 200, `"status":"CANCELLED"`)
}

func TestPurgeDeletesFinishedRowsOnly(t *testing.T) {
	a := newAPI(t, nil)
	finish := func() {
		a.deliver(a.enqueue(`{"task":"t.echo"}`))
		a.deliver(a.enqueue(`{"task":"t.discard"}`))
		a.do("POST", "/tasks/cancel/"+a.enqueue(`{"task":"t.typed"}`)+"/", "")
	}
	finish()
	ready := a.enqueue(`{"task":"t.echo"}`)
	for _, step := range []struct{ method, path, body, want string }{
		{"POST", "/tasks/purge/", `{"dry_run":true}`, `{"count":2,"dry_run":true}`},
		{"GET", "/tasks/purge/?dry_run=true&status=SUCCESSFUL,FAILED,CANCELLED", "", `{"count":3,"dry_run":true}`},
		{"POST", "/tasks/purge/", `{"days":1}`, `{"deleted":0,"dry_run":false}`},
		{"POST", "/tasks/purge/", `{"task":"t.fail"}`, `{"deleted":0,"dry_run":false}`},
		{"POST", "/tasks/purge/", `{"task_path":"t.fail"}`, `{"deleted":0,"dry_run":false}`},
		{"POST", "/tasks/purge/", `{"task_path":"t.echo","task":"t.echo","dry_run":true}`, `{"count":1,"dry_run":true}`},
		{"GET", "/tasks/purge/?task_path=t.echo&dry_run=true", "", `{"count":1,"dry_run":true}`},
		{"GET", "/tasks/purge/?task_path=t.fail&task=t.fail&dry_run=true", "", `{"count":0,"dry_run":true}`},
		{"POST", "/tasks/purge/", `{"status":"READY,RUNNING,FAILED","batch_size":1}`, `{"deleted":1,"dry_run":false}`},
		{"GET", "/tasks/purge?days=0", "", `{"deleted":1,"dry_run":false}`},
		{"GET", "/tasks/purge/?status=cancelled&task=t.typed", "", `{"deleted":1,"dry_run":false}`},
		{"POST", "/tasks/purge/", "", `{"deleted":0,"dry_run":false}`},
	} {
		if got := a.do(step.method, step.path, step.body); got.status != 200 || strings.TrimSpace(got.text) != step.want {
			t.Errorf("%s %s %s: %d %s, want %s", step.method, step.path, step.body, got.status, got.text, step.want)
		}
	}
	a.expect("the live one", a.do("GET", "/tasks/result/"+ready+"/", ""), 200, `"status":"READY"`)

	hurried := newAPI(t, func(c *httpapi.Config, q *queue.Config) { c.RequestTimeout, q.Store = 2*time.Nanosecond, a.store })
	finish()
	a.expect("no time", hurried.do("POST", "/tasks/purge/", ""), 200, `{"deleted":0,"dry_run":false,"more":true}`)
}

func TestParametersAreRefusedWithTheContractsTexts(t *testing.T) {
	a := newAPI(t, nil)
	a.enqueue(`{"task":"t.echo"}`)
	for request, want := range map[string]string{
		"POST /tasks/run/ [1]":                                             "Invalid JSON",
		"POST /tasks/run/ {":                                               "Invalid JSON",
		`POST /tasks/run/ {"max_tasks":0}`:                                 "max_tasks must be a positive integer",
		`POST /tasks/run/ {"max_tasks":-1}`:                                "max_tasks must be a positive integer",
		`POST /tasks/run/ {"max_tasks":true}`:                              "max_tasks must be a positive integer",
		`POST /tasks/run/ {"max_tasks":"5"}`:                               "max_tasks must be a positive integer",
		`POST /tasks/run/ {"max_tasks":1.5}`:                               "max_tasks must be a positive integer",
		`POST /tasks/run/ {"max_tasks":1e99}`:                              "max_tasks must be a positive integer",
		`POST /tasks/run/ {"max_tasks":101}`:                               "max_tasks cannot exceed 100",
		`POST /tasks/run/ {"backend_name":"x"}`:                            "Invalid backend name",
		`POST /tasks/run/ {"queue_name":1}`:                                "queue_name must be a string",
		`POST /tasks/run/ {"max_task":1}`:                                  `unknown field "max_task"; accepted: backend_name, max_tasks, queue_name`,
		`POST /tasks/run/ {"max_tasks":1,"max_tasks":2}`:                   `field "max_tasks" is given twice`,
		`POST /tasks/run-one/ {"backend_name":"x"}`:                        "Invalid backend name",
		`POST /tasks/run-one/ {"max_tasks":1}`:                             `unknown field "max_tasks"`,
		`GET /tasks/status/?backend_name=x `:                               "Invalid backend name",
		`POST /tasks/purge/ {"days":-1}`:                                   "days must be a non-negative integer",
		`POST /tasks/purge/ {"days":"7"}`:                                  "days must be a non-negative integer",
		`POST /tasks/purge/ {"days":false}`:                                "days must be a non-negative integer",
		`POST /tasks/purge/ {"task":"t.echo","task_path":"t.fail"}`:        "task and task_path name different tasks: give one of them",
		`GET /tasks/purge/?task=t.echo&task_path=t.fail `:                  "task and task_path name different tasks: give one of them",
		`POST /tasks/purge/ {"task_path":""}`:                              "task_path must be the name of a task",
		`GET /tasks/purge/?task_path= `:                                    "task_path must be the name of a task",
		`POST /tasks/purge/ {"days":40000}`:                                "days cannot exceed 36500",
		`POST /tasks/purge/ {"batch_size":0}`:                              "batch_size must be a positive integer",
		`POST /tasks/purge/ {"batch_size":10001}`:                          "batch_size cannot exceed 10000",
		`POST /tasks/purge/ {"status":"READY"}`:                            "No valid statuses specified",
		`POST /tasks/purge/ {"status":""}`:                                 "No valid statuses specified",
		`POST /tasks/purge/ {"dry_run":"false"}`:                           "dry_run must be true or false",
		`POST /tasks/purge/ {"dry_run":1}`:                                 "dry_run must be true or false",
		`GET /tasks/purge/?days=-1 `:                                       "days must be a non-negative integer",
		`GET /tasks/purge/?days=x `:                                        "days must be a non-negative integer",
		`GET /tasks/purge/?batch_size=0 `:                                  "batch_size must be a positive integer",
		`GET /tasks/purge/?batch_size=10001 `:                              "batch_size cannot exceed 10000",
		`GET /tasks/purge/?status=RUNNING `:                                "No valid statuses specified",
		`GET /tasks/purge/?dry_run=yes `:                                   "dry_run must be true or false",
		`POST /tasks/cancel/01890a5d-ac96-774b-bcce-b302099a8057/ {"x":1}`: `unknown field "x"; accepted: none`,
	} {
		method, rest, _ := strings.Cut(request, " ")
		path, body, _ := strings.Cut(rest, " ")
		got := a.do(method, path, body)
		if text := fmt.Sprint(got.body["error"]); got.status != http.StatusBadRequest || !strings.HasPrefix(text, want) {
			t.Errorf("%s: %d %s, want %s", request, got.status, got.text, want)
		}
	}
	a.expect("nothing was done", a.do("GET", "/tasks/status/", ""), 200, `{"pending_count":1,"running_count":0,"successful_count":0,"failed_count":0`)
}

func TestMethodsOfRoutesWithTwo(t *testing.T) {
	a := newAPI(t, nil)
	if got := a.do("DELETE", "/tasks/purge/", ""); got.status != 405 || got.header.Get("Allow") != "POST, GET" {
		t.Errorf("%d, Allow %q", got.status, got.header.Get("Allow"))
	}
	for _, path := range []string{"/tasks/run/", "/tasks/run-one/", "/tasks/cancel/01890a5d-ac96-774b-bcce-b302099a8057/"} {
		if got := a.do("GET", path, ""); got.status != 405 || got.header.Get("Allow") != "POST" {
			t.Errorf("%s: %d, Allow %q", path, got.status, got.header.Get("Allow"))
		}
	}
	if got := a.do("POST", "/tasks/status/", ""); got.status != 405 || got.header.Get("Allow") != "GET" {
		t.Errorf("%d, Allow %q", got.status, got.header.Get("Allow"))
	}
}

func TestRouteAuthReplacesAuthForItsRoutesOnly(t *testing.T) {
	a := newAPI(t, func(c *httpapi.Config, _ *queue.Config) {
		c.Auth = httpapi.BearerToken("program")
		c.RouteAuth = map[string]httpapi.Authenticator{"purge": httpapi.AppEngineCron()}
	})
	cron := []string{"X-Appengine-Cron", "true"}
	program := []string{"Authorization", "Bearer program"}
	for _, c := range []struct {
		path   string
		header []string
		want   int
	}{
		{"/tasks/purge/", cron, 200}, {"/tasks/purge/", program, 401}, {"/tasks/purge/", nil, 401},
		{"/tasks/status/", cron, 401}, {"/tasks/status/", program, 200}, {"/tasks/unknown/", cron, 401},
	} {
		if got := a.do("GET", c.path, "", c.header...); got.status != c.want {
			t.Errorf("%s with %v: %d, want %d", c.path, c.header, got.status, c.want)
		}
	}
	for _, routes := range []map[string]httpapi.Authenticator{{"purges": allowAll{}}, {"purge": nil}} {
		if _, err := httpapi.New(httpapi.Config{Client: a.client, Executor: a.exec, Auth: allowAll{}, RouteAuth: routes}); err == nil {
			t.Errorf("%v was accepted", routes)
		}
	}
}
