package server

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/config"
)

// The attack_*_test.go files try to get past the server's front door, with the
// real handler as serve wires it. This file makes that handler, lists what can
// be attacked, and sees whether anything was done.

// fortress is the handler of a server, and the rows behind it.
type fortress struct {
	t         *testing.T
	handler   http.Handler
	store     queue.Store
	log       *bytes.Buffer
	rows      map[string]*queue.Row // that a stranger would love to touch
	schedules []*queue.Schedule
}

// newFortress wires a server by its flags, as serve does.
func newFortress(t *testing.T, flags ...string) *fortress {
	t.Helper()
	f := &fortress{t: t, log: &bytes.Buffer{}}
	var g grammar
	sources := config.NewSources(append([]string{"serve", "--database-url=sqlite::memory:", "--log-level=debug"}, flags...), nil)
	parser, err := kong.New(&g, sources.Options()...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sources.Parse(parser); err != nil {
		t.Fatal(err)
	}
	p := &program{own: Config{Tasks: testTasks}, known: testRegistry, config: &config.Config{Settings: &g.Settings}, stdin: strings.NewReader(""), stdout: io.Discard, stderr: f.log}
	four := 4
	app, err := p.assemble(t.Context(), assembly{listen: "127.0.0.1:8080", concurrency: &four, migrate: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(app.close)
	f.handler = app.Handler()
	f.store = app.db
	f.fill()
	return f
}

// fill stores one row that waits for a run and is stranded, one that a purge
// would delete, and one that a sweep would take back.
func (f *fortress) fill() {
	f.t.Helper()
	f.rows = make(map[string]*queue.Row)
	for _, name := range []string{"waiting", "finished", "lapsed"} {
		row := &queue.NewRow{Row: &queue.Row{
			ID: uuid.New(), Task: "demo.echo", Queue: "default", Backend: "default", Args: json.RawMessage(`"hidden arguments"`), MaxAttempts: 10,
		}}
		err := f.store.Insert(f.t.Context(), row)
		if lease := map[string]time.Duration{"finished": time.Hour, "lapsed": -time.Hour}[name]; err == nil && lease != 0 {
			_, err = f.store.Claim(f.t.Context(), row.ID, queue.ClaimRequest{Tasks: []string{"demo.echo"}, Worker: "w", Lease: lease, ClaimID: uuid.New()})
		}
		if err != nil {
			f.t.Fatal(err)
		}
		f.rows[name] = row.Row
	}
	finished := f.row("finished")
	if _, err := f.store.Finish(f.t.Context(), finished.Claim(), queue.Finish{Status: queue.StatusSuccessful, ReturnValue: json.RawMessage(`"hidden result"`)}); err != nil {
		f.t.Fatal(err)
	}
	for name := range f.rows {
		f.rows[name] = f.row(name)
	}
	f.scheduleDue()
}

// scheduleDue stores a schedule that a tick would enqueue.
func (f *fortress) scheduleDue() {
	f.t.Helper()
	err := f.store.(queue.Scheduler).ChangeSchedule(f.t.Context(), "nightly", func(state queue.ScheduleState) (*queue.ScheduleChange, error) {
		at := state.Now.Add(-time.Hour)
		return &queue.ScheduleChange{Schedule: &queue.Schedule{
			Name: "nightly", Task: "demo.echo", Spec: "@every 24h", Zone: "UTC", Args: json.RawMessage(`"hidden arguments"`), Queue: "default", Backend: "default",
			CatchUp: queue.CatchUpOne, Overlap: queue.OverlapAllow, AnchoredAt: at.Add(-24 * time.Hour), NextAt: at, CreatedAt: at, ChangedAt: at,
		}}, nil
	})
	if err == nil {
		f.schedules, err = f.store.(queue.Scheduler).Schedules(f.t.Context())
	}
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *fortress) row(name string) *queue.Row {
	f.t.Helper()
	row, err := f.store.Get(f.t.Context(), f.rows[name].ID)
	if err != nil {
		f.t.Fatalf("%s: %v", name, err)
	}
	return row
}

// untouched checks that nothing was done at all.
func (f *fortress) untouched() {
	f.t.Helper()
	for name, before := range f.rows {
		if diff := cmp.Diff(before, f.row(name)); diff != "" {
			f.t.Errorf("the %s row was changed:\n%s", name, diff)
		}
	}
	schedules, err := f.store.(queue.Scheduler).Schedules(f.t.Context())
	if diff := cmp.Diff(f.schedules, schedules); err != nil || diff != "" {
		f.t.Errorf("the schedules were changed: %v\n%s", err, diff)
	}
	limits, err := f.store.(queue.Limiter).Limits(f.t.Context())
	if err != nil || len(limits) > 0 {
		f.t.Errorf("the limits were changed: %v, %v", limits, err)
	}
	stats, err := f.store.(queue.Operator).Stats(f.t.Context(), queue.Filter{})
	if err != nil {
		f.t.Fatal(err)
	}
	if n := stats.Pending + stats.Running + stats.Successful + stats.Failed + stats.Cancelled + stats.Delayed; n != len(f.rows) {
		f.t.Errorf("there are %d rows: %+v", n, stats)
	}
}

// endpoint is one request that would do something.
type endpoint struct{ method, path, body string }

func (t endpoint) String() string { return t.method + " " + t.path }

// endpoints is every route that the server describes, without its slash too, and
// some that it does not have. The credentials open the description.
func (f *fortress) endpoints(credentials http.Header) []endpoint {
	f.t.Helper()
	r := httptest.NewRequest(http.MethodGet, "http://localhost/tasks/openapi.json", nil)
	maps.Copy(r.Header, credentials)
	w := httptest.NewRecorder()
	f.handler.ServeHTTP(w, overLoopback(r))
	id := f.rows["waiting"].ID.String()
	endpoints := []endpoint{{"POST", "/tasks/unknown/", "{}"}, {"GET", "/", ""}, {"DELETE", "/tasks/purge/", ""}, {"POST", "/hook/" + id, ""}}
	for _, e := range described(f.t, w.Body.Bytes(), id) {
		endpoints = append(endpoints, e)
		if short := strings.TrimSuffix(e.path, "/"); short != e.path {
			endpoints = append(endpoints, endpoint{e.method, short, e.body})
		}
	}
	return append(endpoints, endpoint{"POST", "/tasks/execute/" + id + "/?allow_retry=true&fail_on_error=true", ""})
}

// described is every route in the server's own document, for one task.
func described(t *testing.T, document []byte, id string) (endpoints []endpoint) {
	t.Helper()
	var api struct {
		Paths map[string]map[string]any `json:"paths"`
	}
	if err := json.Unmarshal(document, &api); err != nil || len(api.Paths) < 10 {
		t.Fatalf("%d paths: %v", len(api.Paths), err)
	}
	for _, path := range slices.Sorted(maps.Keys(api.Paths)) {
		for method := range api.Paths[path] {
			e := endpoint{method: strings.ToUpper(method), path: strings.NewReplacer("{task_id}", id, "{group_id}", id, "{name}", "nightly").Replace(path)}
			switch {
			case strings.Contains(path, "enqueue"):
				e.body = `{"task":"demo.echo"}`
			case e.method == http.MethodPut && strings.Contains(path, "limit"):
				e.body = `{"running":1}`
			case e.method == http.MethodPut:
				e.body = `{"task":"demo.echo","spec":"@daily"}`
			}
			endpoints = append(endpoints, e)
		}
	}
	return endpoints
}

// attack is what a stranger sends along.
type attack struct {
	name   string
	status int
	header http.Header
	host   string                                      // localhost unless it is said
	sign   func(endpoint) http.Header                  // for what covers the request itself
	change func(endpoint, *http.Request) *http.Request // for the rest
}

// overLoopback makes r one of a connection within this machine.
func overLoopback(r *http.Request) *http.Request {
	r.RemoteAddr = "127.0.0.1:40000"
	address := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8080}
	return r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, address))
}

// storm attacks every endpoint in every way. hidden must not be in any answer.
func (f *fortress) storm(endpoints []endpoint, attacks []attack, hidden ...string) {
	f.t.Helper()
	for _, a := range attacks {
		for _, endpoint := range endpoints {
			r := httptest.NewRequest(endpoint.method, "http://localhost"+endpoint.path, strings.NewReader(endpoint.body))
			if a.host != "" {
				r.Host = a.host
			}
			maps.Copy(r.Header, a.header)
			if a.sign != nil {
				maps.Copy(r.Header, a.sign(endpoint))
			}
			if a.change != nil {
				r = a.change(endpoint, r)
			}
			w := httptest.NewRecorder()
			f.handler.ServeHTTP(w, overLoopback(r))
			f.refused(fmt.Sprintf("%s, %s", endpoint, a.name), a.status, w, r, hidden)
		}
	}
	f.untouched()
	f.t.Logf("%d endpoints attacked in %d ways", len(endpoints), len(attacks))
}

// refused checks one answer: its status, and that it says what is wrong and no
// more.
func (f *fortress) refused(what string, status int, w *httptest.ResponseRecorder, r *http.Request, hidden []string) {
	f.t.Helper()
	var answer map[string]string
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || len(answer) != 1 || answer["error"] == "" || w.Header().Get("Content-Type") != "application/json" {
		f.t.Errorf("%s: %d %s", what, w.Code, w.Body)
	}
	if w.Code != status || status == http.StatusUnauthorized && w.Header().Get("WWW-Authenticate") == "" {
		f.t.Errorf("%s: %d %s, want %d", what, w.Code, w.Body, status)
	}
	said := w.Body.String() + f.log.String()
	for _, secret := range hidden {
		if strings.Contains(w.Body.String(), secret) {
			f.t.Errorf("%s: the answer reveals %q: %s", what, secret, w.Body)
		}
	}
	for _, header := range r.Header.Values("Authorization") {
		for part := range strings.SplitSeq(header, ".") {
			if _, token, _ := strings.Cut(part, " "); len(token) > 8 {
				part = token
			}
			// What the platform puts in the place of a signature is no secret.
			if len(part) > 8 && part != "SIGNATURE_REMOVED_BY_GOOGLE" && strings.Contains(said, part) {
				f.t.Errorf("%s: the token is in the answer or the log: %s", what, w.Body)
			}
		}
	}
}
