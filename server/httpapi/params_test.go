package httpapi_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestParametersAreNeverIgnored(t *testing.T) {
	a := newAPI(t, nil)
	a.deliver(a.enqueue(`{"task":"t.echo"}`))
	const id = "01890a5d-ac96-774b-bcce-b302099a8057"
	const purge = "batch_size, days, dry_run, status, task, task_path"
	inBody := func(name, accepted string) string {
		return fmt.Sprintf("the query parameter %q is not read with POST, whose parameters are fields of its JSON body; accepted there: %s", name, accepted)
	}
	for request, want := range map[string]string{
		"POST /tasks/purge/?days=30":                                         inBody("days", purge),
		"POST /tasks/purge/?dry_run=true {}":                                 inBody("dry_run", purge),
		"POST /tasks/sweep/?limit=1":                                         inBody("limit", "limit"),
		"POST /tasks/run/?max_tasks=1":                                       inBody("max_tasks", "backend_name, max_tasks, queue_name"),
		"POST /tasks/run-one/?queue_name=x":                                  inBody("queue_name", "backend_name, queue_name"),
		"POST /tasks/enqueue/?id=x {\"task\":\"t.echo\"}":                    inBody("id", "args, backend_name, expires_at, expires_in, group_id, id, keep_failed, keep_successful, on_conflict, priority, queue_name, run_after, task, unique_for, unique_key"),
		"POST /tasks/cancel/" + id + "/?x=1":                                 inBody("x", "none"),
		"GET /tasks/purge/ {\"days\":30}":                                    "GET takes no body; its parameters are in the query; accepted: " + purge,
		"GET /tasks/sweep/ {}":                                               "GET takes no body",
		"GET /tasks/status/ {\"queue_name\":\"x\"}":                          "GET takes no body",
		"HEAD /tasks/status/ x":                                              "HEAD takes no body",
		"GET /tasks/purge/?dryrun=true":                                      `unknown query parameter "dryrun"; accepted: ` + purge,
		"GET /tasks/purge/?Days=30":                                          `unknown query parameter "Days"`,
		"GET /tasks/sweep/?limits=1":                                         `unknown query parameter "limits"; accepted: limit`,
		"GET /tasks/status/?queue=x":                                         `unknown query parameter "queue"; accepted: backend_name, queue_name`,
		"GET /tasks/result/" + id + "/?x=1":                                  `unknown query parameter "x"; accepted: none`,
		"GET /tasks/openapi.json?x=1":                                        `unknown query parameter "x"; accepted: none`,
		"POST /tasks/execute/" + id + "/?fail_on_error=":                     "fail_on_error must be true or false",
		"GET /tasks/purge/?days=1&days=2":                                    `the query parameter "days" is given twice`,
		"GET /tasks/status/?queue_name=a&queue_name=a":                       `the query parameter "queue_name" is given twice`,
		"POST /tasks/execute/" + id + "/?allow_retry=true&allow_retry=false": `the query parameter "allow_retry" is given twice`,
		"GET /tasks/purge/?days=30;dry_run=true":                             `the query "days=30;dry_run=true" cannot be read`,
		"GET /tasks/purge/?days=%zz":                                         `the query "days=%zz" cannot be read`,
		"GET /tasks/purge/?task=%ff":                                         `the query parameter "task" must be UTF-8`,
		"GET /tasks/status/?queue_name=%00":                                  `the query parameter "queue_name" must be UTF-8 without U+0000`,
		"GET /tasks/purge/?status=":                                          "No valid statuses specified",
		"GET /tasks/purge/?days=":                                            "days must be a non-negative integer",
		"GET /tasks/purge/?batch_size":                                       "batch_size must be a positive integer",
		"GET /tasks/purge/?dry_run=":                                         "dry_run must be true or false",
		"GET /tasks/purge/?task=":                                            "task must be the name of a task; leave it out for all",
		"POST /tasks/purge/ {\"task\":\"\"}":                                 "task must be the name of a task; leave it out for all",
		"GET /tasks/sweep/?limit=":                                           "limit must be a positive integer",
		"GET /tasks/status/?backend_name=":                                   "Invalid backend name",
		"POST /tasks/run/ {\"backend_name\":\"\"}":                           "Invalid backend name",
	} {
		method, rest, _ := strings.Cut(request, " ")
		path, body, _ := strings.Cut(rest, " ")
		got := a.do(method, path, body)
		if text := fmt.Sprint(got.body["error"]); got.status != http.StatusBadRequest || !strings.HasPrefix(text, want) {
			t.Errorf("%s: %d %s, want %s", request, got.status, got.text, want)
		}
	}
	a.expect("nothing was deleted", a.do("GET", "/tasks/status/", ""), 200, `"successful_count":1`)
}

// TASK_HANDLER_URL may have a query of its own, and a gateway may add to it.
func TestADeliverysURLMayHaveMoreInItsQuery(t *testing.T) {
	a := newAPI(t, nil)
	id := a.enqueue(`{"task":"t.echo"}`)
	a.expect("delivery", a.do("POST", "/tasks/execute/"+id+"/?key=abc&fail_on_error=true&key=def", ""), 200, `"executed":true`)
}

// The names that a refused query is answered with are those that the body takes.
func TestAcceptedNamesAreThoseOfTheBody(t *testing.T) {
	a := newAPI(t, nil)
	for _, path := range []string{"enqueue", "run", "run-one", "purge", "sweep", "cancel/01890a5d-ac96-774b-bcce-b302099a8057"} {
		_, inBody, _ := strings.Cut(a.do("POST", "/tasks/"+path+"/", `{"nonsense":1}`).text, "accepted: ")
		_, inQuery, _ := strings.Cut(a.do("POST", "/tasks/"+path+"/?nonsense=1", "").text, "accepted there: ")
		if inBody == "" || inBody != inQuery {
			t.Errorf("%s: the body accepts %s, the error about the query says %s", path, inBody, inQuery)
		}
	}
}

// Callers such as Cloud Scheduler and proxies may announce a body that is empty.
func TestEmptyBodyOfAGetIsNone(t *testing.T) {
	a := newAPI(t, nil)
	server := httptest.NewServer(a.handler)
	defer server.Close()
	for name, body := range map[string]io.Reader{"none": nil, "Content-Length: 0": http.NoBody, "chunked": io.MultiReader()} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/tasks/purge/?days=30", body)
		if err != nil {
			t.Fatal(err)
		}
		if name == "chunked" {
			request.TransferEncoding = []string{"chunked"}
		}
		response, err := server.Client().Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != http.StatusOK {
			t.Errorf("%s: %d", name, response.StatusCode)
		}
	}
}

// In every field null counts as left out.
func TestNullIsAFieldThatIsLeftOut(t *testing.T) {
	a := newAPI(t, nil)
	for _, c := range []struct{ method, path, required, optional string }{
		{"POST", "/tasks/enqueue/", `"task":"t.echo"`, "args queue_name priority run_after backend_name id expires_at expires_in keep_successful keep_failed unique_key unique_for on_conflict"},
		{"PUT", "/tasks/schedules/s/", `"task":"t.echo","spec":"@daily"`, "args zone catch_up overlap paused queue_name priority backend_name keep_successful keep_failed expires_in unique_key unique_for"},
		{"POST", "/tasks/run/", ``, "max_tasks queue_name backend_name"},
		{"POST", "/tasks/run-one/", ``, "queue_name backend_name"},
		{"POST", "/tasks/purge/", ``, "days status batch_size dry_run task task_path"},
		{"POST", "/tasks/sweep/", ``, "limit"},
		{"POST", "/tasks/tick/", ``, "ahead"},
		{"POST", "/tasks/queues/q/pause/", ``, "reason"},
	} {
		body := c.required
		for name := range strings.FieldsSeq(c.optional) {
			one := strings.TrimPrefix(c.required+`,"`+name+`":null`, ",")
			body = strings.TrimPrefix(body+`,"`+name+`":null`, ",")
			for _, body := range []string{one, body} {
				if answer := a.do(c.method, c.path, "{"+body+"}"); answer.status >= 300 {
					t.Errorf("%s %s: %d %s", c.path, body, answer.status, answer.text)
				}
			}
		}
	}
}
