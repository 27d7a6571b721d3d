package server

import (
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/claimcheck-go/claimcheck/internal/mutate"
	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue"
)

// procNetwork leads the host names of Cloud Run to the front end, and every
// other one to where it is.
type procNetwork struct{ cloud *procCloud }

func (n procNetwork) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasSuffix(r.URL.Hostname(), ".run.app") {
		front, err := url.Parse(n.cloud.front.URL)
		if err != nil {
			return nil, err
		}
		r = r.Clone(r.Context())
		r.Host, r.URL.Host = r.URL.Host, front.Host
	}
	return http.DefaultTransport.RoundTrip(r)
}

// versionSite is one database and one queue under two releases of the server,
// of which the old one lacks the task demo.echo. Both see a schema that is a
// release ahead of them.
type versionSite struct {
	*procCloud
	dir      string
	database string
	settings []string
	old      []string // what to add to the settings for the old release
}

func newVersionSite(t *testing.T) *versionSite {
	t.Helper()
	return newVersionSiteWith(t, mutate.Edit{File: "cmd/server/tasks.go", Old: `queue.NewTask("demo.echo", echo),`, New: ""})
}

// newVersionSiteWith is newVersionSite with an old release that differs in other ways.
func newVersionSiteWith(t *testing.T, old ...mutate.Edit) *versionSite {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "server")
	mutate.Build(t, "./cmd/server", binary, old)
	v := &versionSite{procCloud: procNewCloud(t), dir: t.TempDir(), database: testdb.Postgres(t), old: []string{binaryVariable + binary}}
	v.settings = v.env("DATABASE_URL=" + v.database)
	if result := procRun(t, v.dir, v.settings, "", "migrate"); result.status != 0 {
		t.Fatalf("migrate: %+v", result)
	}
	testdb.Exec(t, v.database, "ALTER TABLE claimcheck_tasks ADD COLUMN of_the_next_release text NOT NULL DEFAULT ''")
	testdb.Exec(t, v.database, "INSERT INTO claimcheck_schema (version_id, is_applied) VALUES (900, true)")
	return v
}

// release starts a release, which gets no traffic yet.
func (v *versionSite) release(extra ...string) (*procServer, *url.URL) {
	v.t.Helper()
	s := procServe(v.t, v.dir, slices.Concat(v.settings, extra), "--migrate")
	address, err := url.Parse(s.url)
	if err != nil {
		v.t.Fatal(err)
	}
	return s, address
}

// wantRefused waits until several deliveries of a task were answered with the
// status, all of them, and checks that the row has not changed.
func (v *versionSite) wantRefused(s *procServer, id fmt.Stringer, status int) {
	v.t.Helper()
	procWait(v.t, "deliveries", func() bool { return len(v.delivered(id)) >= 3 })
	for _, delivery := range v.delivered(id) {
		if delivery.status != status {
			v.t.Errorf("answered %d, want %d", delivery.status, status)
		}
	}
	if row := s.task(id); row.Status != queue.StatusReady || row.Attempts != 0 || len(row.WorkerIDs) != 0 || len(row.Errors) != 0 {
		v.t.Errorf("an attempt was used up: %+v", row)
	}
}

// A name that only the new release knows waits at the old one, and runs once the
// new one has the traffic; so it is again after a rollback, and the way forward.
// What both know runs all the time.
func TestTwoReleasesShareADatabase(t *testing.T) {
	t.Parallel()
	v := newVersionSite(t)
	before, oldAddress := v.release(v.old...)
	after, newAddress := v.release()

	for _, step := range []string{"release", "rollback"} {
		v.proxy.Store(oldAddress)
		id := after.enqueue(`{"task":"demo.echo","args":"` + step + `"}`).ID
		known := after.enqueue(`{"task":"demo.flaky","args":{"failures":1}}`).ID
		before.wantEnd(known, queue.StatusSuccessful, 2)
		v.wantRefused(before, id, http.StatusInternalServerError)
		if log := before.log.String(); !strings.Contains(log, "task name is not registered in this version") || !strings.Contains(log, id.String()) {
			t.Error("the old release's log does not name the task")
		}
		reply := before.do(http.MethodPost, "/tasks/enqueue/", `{"task":"demo.echo"}`)
		if reply.status != http.StatusBadRequest {
			t.Errorf("%s: the old release takes what it does not know: %d %s", step, reply.status, reply.text)
		}
		v.proxy.Store(newAddress)
		if row := after.wantEnd(id, queue.StatusSuccessful, 1); string(row.ReturnValue) != `"`+step+`"` {
			t.Errorf("return value %s", row.ReturnValue)
		}
		known = before.enqueue(`{"task":"demo.flaky","args":{"failures":0}}`).ID
		after.wantEnd(known, queue.StatusSuccessful, 1)
	}
}

// With a traffic tag in the handler's URL, tasks come back to the release that
// has the tag, under a token for the service. When the tag is gone the sweeper
// sends them to the service, whichever release sweeps.
func TestATaggedReleaseGetsItsTasksUntilTheTagIsGone(t *testing.T) {
	t.Parallel()
	const service = "proc-1.europe-west1.run.app/tasks/execute/{task_id}/"
	v := newVersionSite(t)
	v.old = append(v.old, "TASK_HANDLER_URL=http://"+service)
	green := []string{"TASK_HANDLER_URL=http://green---" + service}
	before, oldAddress := v.release(v.old...)
	after, newAddress := v.release(green...)
	v.proxy.Store(oldAddress)
	v.green.Store(newAddress)

	id := after.enqueue(`{"task":"demo.echo"}`).ID
	after.wantEnd(id, queue.StatusSuccessful, 1)
	v.wantAnswers(id, http.StatusOK)

	v.green.Store(nil)
	for name, sweeps := range map[string][][]string{
		"swept by the release that has the traffic": {v.old},
		"swept by the release that had the tag":     {green, green},
	} {
		id := after.enqueue(`{"task":"demo.flaky","args":{"failures":0}}`).ID
		v.wantRefused(after, id, http.StatusNotFound)
		for _, release := range sweeps {
			testdb.Exec(t, v.database, "UPDATE claimcheck_tasks SET dispatch_due_at = now() WHERE status = 'READY'")
			if result := procRun(t, v.dir, slices.Concat(v.settings, release), "", "sweep"); result.status != 0 {
				t.Fatalf("%s: %+v", name, result)
			}
		}
		before.wantEnd(id, queue.StatusSuccessful, 1)
	}
	if row := after.task(id); row.Attempts != 1 {
		t.Errorf("%+v", row)
	}
}

// A release that does not know that queues can be paused and limited claims nothing while
// one is, and says so once. What it runs ends.
func TestAnOldReleaseClaimsNothingWhileAQueueIsPausedOrLimited(t *testing.T) {
	t.Parallel()
	v := newVersionSiteWith(t,
		mutate.Edit{File: "queue/claimrules.go", Old: "	id[6] = 8<<4 | claimVersion\n", New: ""},
		mutate.Edit{File: "queue/pgstore/claim.go", Old: "	attempts = attempts + 1,\n", New: "	attempts = attempts + 1, max_attempts = greatest(max_attempts, attempts + 1),\n"},
		mutate.Edit{File: "queue/pgstore/gate.go", Old: "notGated = `queue_name <> ALL(ARRAY(SELECT CASE WHEN running IS NULL AND starts IS NULL THEN name END FROM claimcheck_gates WHERE ` + isClosed + `))`", New: "notGated = `true`"})
	before, oldAddress := v.release(v.old...)
	after, newAddress := v.release()

	v.proxy.Store(oldAddress)
	slow := after.enqueue(`{"task":"demo.sleep","args":{"duration_ms":1500}}`).ID
	procWait(t, "the task of the old release", func() bool { return before.task(slow).Status == queue.StatusRunning })
	if reply := after.do(http.MethodPost, "/tasks/queues/bulk/pause/", "{}"); reply.status != http.StatusOK {
		t.Fatalf("pause: %d %s", reply.status, reply.text)
	}
	id := after.enqueue(`{"task":"demo.echo","args":"waits"}`).ID
	v.wantRefused(before, id, http.StatusInternalServerError)
	before.wantEnd(slow, queue.StatusSuccessful, 1)
	if n := strings.Count(before.log.String(), "this program claims no more tasks, because it is too old for this database"); n != 1 {
		t.Errorf("the old release says %d times that it is too old", n)
	}
	if result := procRun(t, v.dir, slices.Concat(v.settings, v.old), "", "work"); result.status != 1 || !strings.Contains(result.stderr, "deploy the current version") {
		t.Errorf("work: %+v", result)
	}
	v.proxy.Store(newAddress)
	after.wantEnd(id, queue.StatusSuccessful, 1)

	if reply := after.do(http.MethodPost, "/tasks/queues/bulk/resume/", "{}"); reply.status != http.StatusOK {
		t.Fatalf("resume: %d %s", reply.status, reply.text)
	}
	if reply := after.do(http.MethodPut, "/tasks/queues/bulk/limit/", `{"running":1}`); reply.status != http.StatusOK {
		t.Fatalf("limit: %d %s", reply.status, reply.text)
	}
	v.proxy.Store(oldAddress)
	id = after.enqueue(`{"task":"demo.echo","args":"waits"}`).ID
	v.wantRefused(before, id, http.StatusInternalServerError)
	v.proxy.Store(newAddress)
	after.wantEnd(id, queue.StatusSuccessful, 1)
}
