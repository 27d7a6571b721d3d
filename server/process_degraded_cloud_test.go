package server

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/grpc/codes"

	"github.com/claimcheck-go/claimcheck/cloudtasks/cloudtaskstest"
	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue"
)

// cloudFault is a way for Cloud Tasks to fail. begin returns how it ends.
type cloudFault struct {
	name  string
	begin func(*degraded) (end func())
	queue string // of the task
	says  string // what the log and the row say is to be fixed
}

var cloudFaults = []cloudFault{
	{"down", refusing(codes.Unavailable), "default", "Cloud Tasks cannot be reached; the sweeper sends the task later"},
	{"out of quota", refusing(codes.ResourceExhausted), "default", "a quota is used up; the sweeper sends the task later"},
	{"without permission", refusing(codes.PermissionDenied), "default", "this process's account needs roles/cloudtasks.enqueuer on the queue"},
	{"without the queue", missingQueue, "late", "create the queue with `gcloud tasks queues create late --location=europe-west1 --project=proc`"},
	{"slow", hanging, "default", "no answer in time; the task may exist all the same, and the sweeper sends it again"},
}

func refusing(code codes.Code) func(*degraded) func() {
	return func(d *degraded) func() {
		faults := refuseCreates
		faults.Code = code
		d.cloud.SetFaults(faults)
		return func() { d.cloud.SetFaults(cloudtaskstest.Faults{}) }
	}
}

// missingQueue leaves the queue missing until it is created as the log says.
func missingQueue(d *degraded) func() {
	return func() { d.cloud.createQueue("late") }
}

// hanging does not answer at all. What was asked meanwhile is refused at last.
func hanging(d *degraded) func() {
	answer := make(chan struct{})
	release := sync.OnceFunc(func() { close(answer) })
	d.t.Cleanup(release) // or the service could not even be closed
	d.cloud.SetFaults(cloudtaskstest.Faults{Decide: func(fault cloudtaskstest.Fault, _ string) bool {
		<-answer
		return fault == cloudtaskstest.RefuseCreate
	}})
	return func() {
		release()
		d.cloud.SetFaults(cloudtaskstest.Faults{})
	}
}

func (d *degraded) cloudFault(t *testing.T, fault cloudFault) {
	d.t, d.procServer.t, d.cloud.t = t, t, t
	stored, fresh := d.waiting(), uuid.New()
	later := d.enqueue(`{"task":"demo.echo","run_after":"` + time.Now().Add(time.Hour).Format(time.RFC3339) + `"}`).ID
	logged := len(d.log.String())
	end := fault.begin(d)

	// Within TASKS_DISPATCH_TIMEOUT, twice at most: a service that hangs does so
	// until end, and a request of these tests ends after procPatience.
	reply := d.store(fresh, `,"queue_name":"`+fault.queue+`"`)
	d.want("enqueue", reply, 201)
	if row := d.task(fresh); row.Status != queue.StatusReady || !strings.Contains(row.DispatchError, fault.says) || reply.body.Result.DispatchError != row.DispatchError {
		t.Errorf("the row says %q", row.DispatchError)
	}
	d.want("execute", procExecute(d.procServer, stored, d.cloud.bearer(procAccount)), 200)
	d.want("status", d.do(http.MethodGet, "/tasks/status/", ""), 200)
	d.probe(200)
	swept := d.do(http.MethodPost, "/tasks/sweep/", "")
	d.want("sweep", swept, 500)
	if !strings.Contains(swept.text, `"dispatched":0,`) || !strings.Contains(swept.text, `"errors":1`) {
		t.Errorf("swept %s", swept.text)
	}
	log := d.log.String()[logged:]
	if n := strings.Count(log, `level=ERROR msg="dispatch failed; the rows are stored and the sweeper will dispatch them"`); n != 2 || !strings.Contains(log, fault.says) {
		t.Errorf("%d lines about two refusals:\n%s", n, log)
	}

	// A delivery before its time must come again if it cannot be armed.
	early, armed := 503, 1
	if fault.queue != "default" { // in which it is
		early, armed = 200, 0
	}
	d.want("execute of what is not due", procExecute(d.procServer, later, d.cloud.bearer(procAccount)), early)

	end()
	swept = d.do(http.MethodPost, "/tasks/sweep/", "")
	d.want("sweep", swept, 200)
	if want := fmt.Sprintf(`{"dispatched":1,"reclaimed":0,"armed":%d,"failed":0,"errors":0,"enqueued":0}`, armed); strings.TrimSpace(swept.text) != want {
		t.Errorf("swept %s, want %s", swept.text, want)
	}
	d.want("execute of what is not due", procExecute(d.procServer, later, d.cloud.bearer(procAccount)), 200)
	if row := d.wantEnd(fresh, queue.StatusSuccessful, 1); row.DispatchError != "" {
		t.Errorf("dispatch_error %q stays", row.DispatchError)
	}
	d.wantEnd(d.enqueue(`{"task":"demo.echo","queue_name":"`+fault.queue+`"}`).ID, queue.StatusSuccessful, 1)
}

func TestAPoolWithoutAFreeConnectionIs503AndRecovers(t *testing.T) {
	t.Parallel()
	url := testdb.StartPostgres(t).URL("postgres")
	s := procServe(t, t.TempDir(), []string{"DATABASE_URL=" + url, "TASKS_MODE=pull", "DB_MAX_CONNS=2", procToken}, "--migrate")
	id := s.enqueue(`{"task":"demo.echo"}`).ID
	procLock(t, url)

	// One request waits for the lock with the only connection that it may have, the
	// others for that connection: the other one is kept for heartbeats.
	var held, starved procReply
	var requests sync.WaitGroup
	requests.Go(func() { held = procExecute(s, id, nil) })
	procWait(t, "the connection to be taken", func() bool { return procBlocked(t, url) == 1 })
	requests.Go(func() { starved = s.do(http.MethodPost, "/tasks/enqueue/", `{"task":"demo.echo"}`) })
	for path, status := range map[string]int{"/health/ready": 503, "/health/live": 200} {
		if reply := s.do(http.MethodGet, path, ""); reply.status != status {
			t.Errorf("%s: %d", path, reply.status)
		}
	}
	requests.Wait()
	for why, reply := range map[error]procReply{queue.ErrNoAnswer: held, queue.ErrPoolExhausted: starved} {
		if reply.status != 503 || reply.header.Get("Retry-After") == "" || reply.body.Error != why.Error() {
			t.Errorf("%s: %d %s", why, reply.status, reply.text)
		}
	}
	testdb.Exec(t, url, terminateLockers)
	if reply := procExecute(s, id, nil); reply.status != 200 || !*reply.body.Executed {
		t.Errorf("execute afterwards: %d %s", reply.status, reply.text)
	}
	s.wantEnd(id, queue.StatusSuccessful, 1)
	log := s.log.String()
	if strings.Count(log, `msg="no free database connection"`) != 1 || strings.Count(log, "database calls succeed again") != 1 || !strings.Contains(log, "all 2 are in use (DB_MAX_CONNS)") {
		t.Errorf("log:\n%s", log)
	}
}

// procBlocked is how many statements wait for a lock.
func procBlocked(t *testing.T, url string) (n int) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestTokensAreVerifiedOnceKeysCanBeFetched(t *testing.T) {
	t.Parallel()
	c := procNewCloud(t)
	var mu sync.Mutex
	var answer http.HandlerFunc
	set := func(h http.HandlerFunc) {
		mu.Lock()
		defer mu.Unlock()
		answer = h
	}
	certs := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		h := answer
		mu.Unlock()
		h(w, r)
	}))
	defer certs.Close()
	broken := map[string]http.HandlerFunc{
		"down":        func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) },
		"a web page":  func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>sign in</html>")) },
		"no keys":     func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"keys":[]}`)) },
		"elsewhere":   func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/other", http.StatusFound) },
		"cut off":     func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"enormous":    func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 1<<20)) },
		"not allowed": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) },
	}
	set(broken["down"])
	s := c.serve(t.TempDir(), append(c.env(), "OIDC_CERTS_URL="+certs.URL))
	id := s.enqueue(`{"task":"demo.echo","run_after":"` + time.Now().Add(time.Hour).Format(time.RFC3339) + `"}`).ID
	for name, answer := range broken {
		set(answer)
		failed := strings.Count(s.log.String(), "fetching the verification keys failed")
		procWait(t, "a fetch", func() bool {
			reply := procExecute(s, id, c.bearer(procAccount))
			if reply.status != 503 || reply.header.Get("Retry-After") == "" || strings.Contains(reply.text, certs.URL) {
				t.Fatalf("%s: %d %s", name, reply.status, reply.text)
			}
			return strings.Count(s.log.String(), "fetching the verification keys failed") > failed
		})
	}
	if row := s.task(id); row.Attempts != 0 {
		t.Errorf("%+v", row)
	}
	set(c.Certs().ServeHTTP)
	procWait(t, "the keys", func() bool { return procExecute(s, id, c.bearer(procAccount)).status == 200 })
}
