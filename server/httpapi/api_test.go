package httpapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/sqlitestore"
	"github.com/claimcheck-go/claimcheck/server/httpapi"
)

// api is a handler on a fresh database, with a few tasks.
type api struct {
	t       testing.TB
	handler http.Handler
	client  *queue.Client
	exec    *queue.Executor
	store   queue.Store
	block   chan struct{} // t.block runs until it is closed
	started chan struct{} // gets a value when t.block begins
}

type allowAll struct{}

func (allowAll) Authenticate(*http.Request) error { return nil }

func newAPI(t testing.TB, change func(*httpapi.Config, *queue.Config)) *api {
	t.Helper()
	store, err := sqlitestore.Open(t.Context(), sqlitestore.Config{URL: "sqlite::memory:"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	if _, err := store.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	a := &api{t: t, store: store, block: make(chan struct{}), started: make(chan struct{}, 1)}
	quiet := slog.New(slog.DiscardHandler)
	clientCfg := queue.Config{Store: store, Logger: quiet, Registry: queue.NewRegistry(
		queue.NewTask("t.echo", func(_ context.Context, in json.RawMessage) (json.RawMessage, error) { return in, nil }),
		queue.NewTask("t.typed", func(_ context.Context, in struct{ N int }) (int, error) { return in.N, nil }),
		queue.NewTask("t.tenant", func(_ context.Context, in struct{ Tenant string }) (string, error) { return in.Tenant, nil }, queue.LimitKey(func(in struct{ Tenant string }) string { return in.Tenant })),
		queue.NewTask("t.fail", func(context.Context, any) (any, error) { return nil, errors.New("no luck") }, queue.MaxAttempts(2)),
		queue.NewTask("t.discard", func(context.Context, any) (any, error) { return nil, queue.Discard(errors.New("never")) }),
		queue.NewTask("t.cancel", func(context.Context, any) (any, error) { return nil, queue.Cancel(errors.New("gone")) }),
		queue.NewTask("t.snooze", func(context.Context, any) (any, error) { return nil, queue.Snooze(time.Hour) }),
		queue.Declare[any, any]("t.elsewhere"),
		queue.NewTask("t.block", func(ctx context.Context, _ any) (any, error) {
			a.started <- struct{}{}
			select {
			case <-a.block:
				return nil, nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}),
	)}
	cfg := httpapi.Config{Auth: allowAll{}, Logger: quiet}
	if change != nil {
		change(&cfg, &clientCfg)
	}
	if a.client, err = queue.NewClient(clientCfg); err != nil {
		t.Fatal(err)
	}
	if a.exec, err = queue.NewExecutor(a.client, queue.ExecutorConfig{Concurrency: 2}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.exec.Shutdown(t.Context(), time.Second) }) // hurried: that context has ended
	cfg.Client, cfg.Executor = a.client, a.exec
	if a.handler, err = httpapi.New(cfg); err != nil {
		t.Fatal(err)
	}
	return a
}

// reply is an answer, decoded.
type reply struct {
	status int
	header http.Header
	body   map[string]any
	text   string
}

func (a *api) do(method, path, body string, header ...string) reply {
	a.t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	a.handler.ServeHTTP(w, r)
	checkAgainstDocument(a.t, r, body, w)
	answer := reply{status: w.Code, header: w.Header(), text: w.Body.String()}
	if got := w.Header().Get("Content-Type"); got != "application/json" {
		a.t.Errorf("%s %s: Content-Type %q", method, path, got)
	}
	if err := json.Unmarshal(w.Body.Bytes(), &answer.body); err != nil {
		a.t.Errorf("%s %s: %v in %s", method, path, err, w.Body)
	}
	return answer
}

// enqueue stores a task through the API and returns its ID.
func (a *api) enqueue(body string) string {
	a.t.Helper()
	answer := a.do("POST", "/tasks/enqueue/", body)
	if answer.status != http.StatusCreated {
		a.t.Fatalf("enqueue %s: %d %s", body, answer.status, answer.text)
	}
	return answer.body["result"].(map[string]any)["id"].(string)
}

func (a *api) attempts(id string) any {
	return a.do("GET", "/tasks/result/"+id+"/", "").body["result"].(map[string]any)["attempts"]
}

func TestEnqueueThenExecuteThenResult(t *testing.T) {
	a := newAPI(t, nil)
	answer := a.do("POST", "/tasks/enqueue/", `{"task":"t.echo","args":{"hello":"<wörld>","n":12345678901234567890123},"queue_name":"emails","priority":7,"run_after":"2020-01-02T03:04:05.5+01:00","backend_name":"default"}`)
	if answer.status != http.StatusCreated {
		t.Fatalf("%d %s", answer.status, answer.text)
	}
	stored := answer.body["result"].(map[string]any)
	id := stored["id"].(string)
	for field, want := range map[string]any{
		"status": "READY", "task_path": "t.echo", "queue_name": "emails", "backend_name": "default",
		"priority": 7.0, "attempts": 0.0, "run_after": "2020-01-02T02:04:05.5Z",
	} {
		if stored[field] != want {
			t.Errorf("%s is %v, want %v", field, stored[field], want)
		}
	}
	if at, err := time.Parse(time.RFC3339, stored["enqueued_at"].(string)); err != nil || at.Location() != time.UTC {
		t.Errorf("enqueued_at %v: %v", stored["enqueued_at"], err)
	}
	if _, leaked := stored["args"]; leaked {
		t.Error("the result carries the arguments")
	}
	executed := a.do("POST", "/tasks/execute/"+id+"/?fail_on_error=true", "")
	if executed.status != http.StatusOK || executed.body["executed"] != true {
		t.Fatalf("%d %s", executed.status, executed.text)
	}
	result := a.do("GET", "/tasks/result/"+id, "")
	if result.status != http.StatusOK || !strings.Contains(result.text, `"return_value":{"hello":"<wörld>","n":12345678901234567890123}`) ||
		!strings.Contains(result.text, `"status":"SUCCESSFUL"`) || !strings.Contains(result.text, `"worker_ids":[`) {
		t.Errorf("%d %s", result.status, result.text)
	}
}

func TestEnqueueRefusesBadBodiesAndStoresNothing(t *testing.T) {
	a := newAPI(t, func(c *httpapi.Config, q *queue.Config) { c.MaxBody, q.Queues = 2000, []string{"default"} })
	for body, want := range map[string]string{
		`{`:                                    "400 Invalid JSON",
		`[]`:                                   "400 Invalid JSON",
		`"t.echo"`:                             "400 Invalid JSON",
		`null`:                                 "400 Invalid JSON",
		"\u00a0":                               "400 Invalid JSON",
		`{"task":"t.echo"} {}`:                 "400 Invalid JSON",
		`{"task":"t.echo"}x`:                   "400 Invalid JSON",
		"{\"task\":\"\xff\"}":                  "400 the body must be UTF-8",
		``:                                     "400 task must be the name of a registered task",
		`{}`:                                   "400 task must be the name of a registered task",
		`{"task":null}`:                        "400 task must be the name of a registered task",
		`{"task":7}`:                           "400 task must be a string",
		`{"task":"t.ecko"}`:                    `400 task "t.ecko" is not registered; did you mean t.echo?`,
		`{"Task":"t.echo"}`:                    `400 unknown field "Task"; accepted: args, backend_name, expires_at, expires_in, group_id, id, keep_failed, keep_successful, on_conflict, priority, queue_name, run_after, task, unique_for, unique_key`,
		`{"task":"t.echo","task":"t.fail"}`:    `400 field "task" is given twice`,
		`{"task":"t.echo","x":1}`:              `400 unknown field "x"`,
		`{"task":"t.echo","priority":"7"}`:     "400 priority must be a whole number",
		`{"task":"t.echo","priority":true}`:    "400 priority must be a whole number",
		`{"task":"t.echo","priority":1.5}`:     "400 priority must be a whole number",
		`{"task":"t.echo","priority":101}`:     "400 priority must be a whole number from -100 to 100, not 101",
		`{"task":"t.echo","queue_name":"x"}`:   `400 queue_name "x" is not allowed; allowed: default`,
		`{"task":"t.echo","queue_name":""}`:    "400 queue_name",
		`{"task":"t.echo","backend_name":"x"}`: "400 Invalid backend name",
		`{"task":"t.echo","run_after":"2030-01-01T00:00:00"}`:             "400 run_after must be a time with an offset",
		`{"task":"t.echo","run_after":"tomorrow"}`:                        "400 run_after",
		`{"task":"t.echo","run_after":1}`:                                 "400 run_after must be a string",
		`{"task":"t.echo","run_after":"300000-01-01T00:00:00Z"}`:          "400 run_after must be a time with an offset, as RFC 3339 writes it (2026-01-31T15:04:05Z), in the years 1970 to 9999",
		`{"task":"t.echo","run_after":"0001-01-01T00:00:00Z"}`:            "400 run_after must be a time",
		`{"task":"t.echo","run_after":"1960-01-01T00:00:00Z"}`:            "400 run_after must be between the years 1970 and 9999",
		`{"task":"t.echo","run_after":"2030-01-01T00:00:00,5Z"}`:          "400 run_after must be a time with an offset",
		`{"task":"t.echo","run_after":"2030-01-01T00:00:00+24:00"}`:       "400 run_after must be a time with an offset",
		`{"task":"t.echo","run_after":"2030-01-01T00:00:00-00:60"}`:       "400 run_after must be a time with an offset",
		`{"task":"t.echo","run_after":"2030-01-01T1:00:00Z"}`:             "400 run_after must be a time with an offset",
		`{"task":"t.echo","run_after":"2030-01-01 01:00:00Z"}`:            "400 run_after must be a time with an offset",
		`{"task":"t.echo","run_after":"2030-02-30T01:00:00Z"}`:            "400 run_after must be a time with an offset",
		`{"task":"t.echo","id":"7"}`:                                      "400 id must be a UUID",
		`{"task":"t.echo","id":"{6ba7b810-9dad-11d1-80b4-00c04fd430c8}"}`: "400 id must be a UUID",
		`{"task":"t.echo","id":"00000000-0000-0000-0000-000000000000"}`:   "400 id must be a UUID",
		`{"task":"t.echo","args":{"a":"\u0000"}}`:                         "400 args.a contains U+0000",
		`{"task":"t.echo","args":1e999}`:                                  "400 args is a number beyond",
		`{"task":"t.typed","args":{"N":"x"}}`:                             "400 args of t.typed: N: cannot use a JSON string as int",
		`{"task":"t.echo","args":"` + strings.Repeat("x", 2000) + `"}`:    "413 the body is larger than 2000 bytes",
	} {
		answer := a.do("POST", "/tasks/enqueue/", body)
		if got := fmt.Sprintf("%d %v", answer.status, answer.body["error"]); !strings.HasPrefix(got, want) {
			t.Errorf("%.70s:\n got %s\nwant %s", body, got, want)
		}
	}
	if p, err := a.store.Promote(t.Context(), 1); err != nil || p.Claimable || p.Next != 0 {
		t.Errorf("something was stored: %+v, %v", p, err)
	}
}

func TestRunAfterIsRFC3339InEitherCase(t *testing.T) {
	a := newAPI(t, nil)
	for given, want := range map[string]string{
		"2035-01-02t03:04:05z":           "2035-01-02T03:04:05Z",
		"2035-01-02t03:04:05.25+23:59":   "2035-01-01T03:05:05.25Z",
		"2035-01-02T03:04:05.123456789Z": "2035-01-02T03:04:05.123456Z",
		"2035-01-02T03:04:05-00:00":      "2035-01-02T03:04:05Z",
	} {
		// Not through a.do: the validator of openapi.json knows capitals only.
		w := httptest.NewRecorder()
		a.handler.ServeHTTP(w, httptest.NewRequest("POST", "/tasks/enqueue/", strings.NewReader(`{"task":"t.echo","run_after":"`+given+`"}`)))
		if w.Code != http.StatusCreated || !strings.Contains(w.Body.String(), `"run_after":"`+want+`"`) {
			t.Errorf("%s: %d %s", given, w.Code, w.Body)
		}
	}
}

// A compressed body is refused by name: read as it is, it would be "Invalid JSON".
func TestCompressedBodiesAreRefused(t *testing.T) {
	a := newAPI(t, nil)
	id := a.enqueue(`{"task":"t.echo"}`)
	send := func(path, body, encoding string) (int, string) {
		r := httptest.NewRequest("POST", path, strings.NewReader(body))
		r.Header.Set("Content-Encoding", encoding)
		w := httptest.NewRecorder()
		a.handler.ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}
	for _, encoding := range []string{"gzip", "GZIP", "deflate", "br", "identity, gzip"} {
		for _, path := range []string{"/tasks/enqueue/", "/tasks/run/", "/tasks/purge/", "/tasks/cancel/" + id + "/", "/tasks/execute/" + id + "/"} {
			if code, text := send(path, "{}", encoding); code != http.StatusUnsupportedMediaType || !strings.Contains(text, "without compression") {
				t.Errorf("%s as %s: %d %s", path, encoding, code, text)
			}
		}
	}
	if code, text := send("/tasks/enqueue/", `{"task":"t.echo"}`, "identity"); code != http.StatusCreated {
		t.Errorf("identity: %d %s", code, text)
	}
	if code, text := send("/tasks/execute/"+id+"/", "", "gzip"); code != http.StatusOK {
		t.Errorf("no body: %d %s", code, text)
	}
}

func TestEnqueueWithAnIDIsRepeatable(t *testing.T) {
	a := newAPI(t, nil)
	body := `{"task":"t.echo","args":{"a":1,"b":2},"id":"01890a5d-ac96-774b-bcce-b302099a8057"}`
	if answer := a.do("POST", "/tasks/enqueue/", body); answer.status != http.StatusCreated {
		t.Fatalf("%d %s", answer.status, answer.text)
	}
	if answer := a.do("POST", "/tasks/enqueue", strings.Replace(body, `"a":1,"b":2`, `"b":2, "a":1`, 1)); answer.status != http.StatusOK {
		t.Errorf("the same again: %d %s", answer.status, answer.text)
	}
	if answer := a.do("POST", "/tasks/enqueue/", strings.Replace(body, `"a":1`, `"a":2`, 1)); answer.status != http.StatusConflict {
		t.Errorf("other arguments: %d %s", answer.status, answer.text)
	}
}

func TestRoutes(t *testing.T) {
	a := newAPI(t, func(c *httpapi.Config, _ *queue.Config) { c.ExecutePath = "/hooks/run/{task_id}/now" })
	const unknown = "/01890a5d-ac96-774b-bcce-b302099a8057"
	for _, c := range []struct {
		method, path string
		status       int
		allow        string
	}{
		{"GET", "/tasks/enqueue/", 405, "POST"},
		{"PUT", "/tasks/enqueue", 405, "POST"},
		{"GET", "/tasks/execute" + unknown, 405, "POST"},
		{"POST", "/tasks/result" + unknown + "/", 405, "GET"},
		{"GET", "/tasks/result" + unknown, 404, ""},
		{"GET", "/tasks/result" + unknown + "/", 404, ""},
		{"GET", "/tasks/result/nonsense/", 404, ""},
		{"GET", "/tasks/result/", 404, ""},
		{"GET", "/tasks/result" + unknown + "/x/", 404, ""},
		{"POST", "/tasks/execute" + unknown + "/", 404, ""},
		{"POST", "/tasks/execute/nonsense/", 404, ""},
		{"POST", "/tasks/execute/", 404, ""},
		{"POST", "/hooks/run" + unknown + "/now", 404, ""},
		{"POST", "/hooks/run" + unknown + "/now/", 404, ""},
		{"GET", "/hooks/run" + unknown + "/now", 405, "POST"},
		{"POST", "/tasks//enqueue/", 404, ""},
		{"GET", "/", 404, ""},
		{"POST", "/tasks", 405, "GET"},
		{"POST", "/tasks/", 405, "GET"},
		{"GET", "/tasks//", 404, ""},
	} {
		answer := a.do(c.method, c.path, "")
		if answer.status != c.status || answer.header.Get("Allow") != c.allow || answer.body["error"] == nil {
			t.Errorf("%s %s: %d %s, Allow %q", c.method, c.path, answer.status, answer.text, answer.header.Get("Allow"))
		}
	}
	id := a.enqueue(`{"task":"t.echo"}`)
	if answer := a.do("POST", "/hooks/run/"+id+"/now?fail_on_error=true", ""); answer.status != http.StatusOK || answer.body["executed"] != true {
		t.Errorf("the handler path of its own: %d %s", answer.status, answer.text)
	}
}

func TestNewFailsClosed(t *testing.T) {
	a := newAPI(t, nil)
	for name, cfg := range map[string]httpapi.Config{
		"no auth":     {Client: a.client, Executor: a.exec},
		"no client":   {Executor: a.exec, Auth: allowAll{}},
		"no executor": {Client: a.client, Auth: allowAll{}},
		"path":        {Client: a.client, Executor: a.exec, Auth: allowAll{}, ExecutePath: "/run/"},
	} {
		if _, err := httpapi.New(cfg); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// A misspelt field would run with its zero value: the answer says so beside the
// result, and a strict client refuses it.
func TestEnqueueWarnsAboutFieldsThatTheTaskIgnores(t *testing.T) {
	const body, want = `{"task":"t.typed","args":{"N":1,"nn":2}}`, "unknown field args.nn; did you mean N?"
	answer := newAPI(t, nil).do("POST", "/tasks/enqueue/", body)
	if warnings, _ := answer.body["warnings"].([]any); answer.status != http.StatusCreated || len(warnings) != 1 || warnings[0] != want {
		t.Errorf("%d %s", answer.status, answer.text)
	}
	if answer := newAPI(t, nil).do("POST", "/tasks/enqueue/", `{"task":"t.typed","args":{"n":1}}`); answer.body["warnings"] != nil {
		t.Errorf("warnings without a reason: %s", answer.text)
	}
	strict := newAPI(t, func(_ *httpapi.Config, q *queue.Config) { q.StrictArgs = true })
	if answer := strict.do("POST", "/tasks/enqueue/", body); answer.status != http.StatusBadRequest || answer.body["error"] != "args of t.typed: "+want {
		t.Errorf("strict: %d %s", answer.status, answer.text)
	}
}
