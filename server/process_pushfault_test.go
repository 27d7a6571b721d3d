package server

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/cloudtasks/cloudtaskstest"
	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue"
)

func TestPushRefusesStrangersAndTheirDeliveriesChangeNothing(t *testing.T) {
	t.Parallel()
	c := procNewCloud(t)
	s := c.serve(t.TempDir(), c.env())
	c.SetFaults(cloudtaskstest.Faults{Rates: map[cloudtaskstest.Fault]float64{cloudtaskstest.RefuseCreate: 1}})
	id := s.enqueue(`{"task":"demo.echo"}`).ID // due, and no message will come for it
	hour := int64(time.Hour / time.Second)
	now := time.Now().Unix()
	for _, stranger := range []struct {
		name   string
		status int
		header []string
	}{
		{"no credentials", 401, []string{"Authorization", ""}},
		{"Cloud Tasks' headers only", 401, []string{"Authorization", "", "X-CloudTasks-QueueName", "default", "X-AppEngine-QueueName", "default"}},
		{"no token", 401, []string{"Authorization", "Bearer not.a.token"}},
		{"broken signature", 401, []string{"Authorization", c.bearer(procAccount)[1] + "AAAA"}},
		{"other audience", 401, c.signed(map[string]any{"aud": "https://other.example"})},
		{"other issuer", 401, c.signed(map[string]any{"iss": "https://accounts.google.com"})},
		{"expired", 401, c.signed(map[string]any{"iat": now - 2*hour, "exp": now - hour})},
		{"from the future", 401, c.signed(map[string]any{"iat": now + hour, "exp": now + 2*hour})},
		{"unverified e-mail", 401, c.signed(map[string]any{"email_verified": false})},
		{"other account", 403, c.bearer("stranger@proc.iam.gserviceaccount.com")},
	} {
		reply := procExecute(s, id, stranger.header)
		if reply.status != stranger.status || reply.body.Error == "" || reply.body.Executed != nil {
			t.Errorf("%s: %d %s, want %d", stranger.name, reply.status, reply.text, stranger.status)
		}
		if _, token, _ := strings.Cut(stranger.header[1], " "); token != "" && strings.Contains(reply.text+s.log.String(), token) {
			t.Errorf("%s: the token is in the answer or the log", stranger.name)
		}
	}
	if row := s.task(id); row.Status != queue.StatusReady || row.Attempts != 0 || len(row.WorkerIDs) != 0 {
		t.Errorf("%+v", row)
	}
	if reply := procExecute(s, id, c.bearer(procAccount)); reply.status != http.StatusOK || reply.body.Executed == nil || !*reply.body.Executed {
		t.Errorf("the real thing: %d %s", reply.status, reply.text)
	}
}

func TestPushDuplicateOfARunningTaskIsKeptByCloudTasks(t *testing.T) {
	t.Parallel()
	c, hook := procNewCloud(t), procNewHook(t)
	hook.hold()
	s := c.serve(t.TempDir(), hook.env(c.env()...))
	id := s.enqueue(hook.task()).ID
	hook.waitFor(t, id)
	reply := procExecute(s, id, c.bearer(procAccount))
	wait, err := strconv.Atoi(reply.header.Get("Retry-After"))
	if reply.status != http.StatusConflict || *reply.body.Executed || reply.body.Reason == "" || err != nil || wait < 1 || wait > 60 {
		t.Errorf("while it runs: %d %s, Retry-After %q", reply.status, reply.text, reply.header.Get("Retry-After"))
	}
	hook.open()
	s.wantEnd(id, queue.StatusSuccessful, 1)
	reply = procExecute(s, id, c.bearer(procAccount))
	if reply.status != http.StatusOK || *reply.body.Executed || reply.body.Reason != "Task is not in READY status" {
		t.Errorf("afterwards: %d %s", reply.status, reply.text)
	}
	if row := s.task(id); row.Attempts != 1 || hook.count(id) != 1 {
		t.Errorf("%d attempts, ran %d times", row.Attempts, hook.count(id))
	}
}

func TestPushEnqueueIsAcknowledgedThoughCloudTasksRefuses(t *testing.T) {
	t.Parallel()
	c := procNewCloud(t)
	s := c.serve(t.TempDir(), c.env("TASKS_DISPATCH_TIMEOUT=1s"))
	refuse := cloudtaskstest.Faults{Rates: map[cloudtaskstest.Fault]float64{cloudtaskstest.RefuseCreate: 1}}
	c.SetFaults(refuse)
	id := uuid.New()
	body := `{"task":"demo.echo","id":"` + id.String() + `"}`
	if row := s.enqueue(body); row.DispatchError == "" {
		t.Error("the answer does not say that the dispatch failed")
	}
	if row := s.task(id); row.DispatchError == "" || row.Status != queue.StatusReady {
		t.Errorf("%+v", row)
	}
	if !strings.Contains(s.log.String(), `msg="dispatch failed; the rows are stored`) {
		t.Error("the log does not say that the dispatch failed")
	}

	// Repeating the enqueue when Cloud Tasks is back creates the Cloud Task.
	c.SetFaults(cloudtaskstest.Faults{})
	if reply := s.do(http.MethodPost, "/tasks/enqueue/", body); reply.status != http.StatusOK {
		t.Errorf("repeated: %d %s", reply.status, reply.text)
	}
	if row := s.wantEnd(id, queue.StatusSuccessful, 1); row.DispatchError != "" {
		t.Errorf("dispatch_error %q stays on a row that was claimed", row.DispatchError)
	}

	c.Close() // nothing answers at all
	if row := s.enqueue(`{"task":"demo.echo"}`); row.DispatchError == "" {
		t.Errorf("%+v", row)
	}
}

func TestPushRunThatIsInterruptedIsDeliveredToTheNextServer(t *testing.T) {
	t.Parallel()
	c, hook, dir := procNewCloud(t), procNewHook(t), t.TempDir()
	env := hook.env(c.env()...)
	hook.hold()
	s := c.serve(dir, env)
	id := s.enqueue(hook.task()).ID
	hook.waitFor(t, id)

	s.signal(syscall.SIGTERM)
	procWait(t, "the server to drain", func() bool { return strings.Contains(s.log.String(), "stopping") })
	late := s.enqueue(`{"task":"demo.echo"}`).ID // stored, but not begun any more
	if status := s.waitForEnd(); status.ExitStatus() != 0 {
		t.Errorf("exit status %d", status.ExitStatus())
	}
	for _, id := range []uuid.UUID{id, late} {
		procWait(t, "a delivery to be answered", func() bool { return len(c.delivered(id)) > 0 })
		if first := c.delivered(id)[0]; first.status != http.StatusInternalServerError {
			t.Errorf("the first delivery was answered %d, not 500", first.status)
		}
		if row := procStored(t, dir, env, id); row.Status != queue.StatusReady || row.Attempts != 0 {
			t.Errorf("after SIGTERM: %+v", row)
		}
	}

	hook.open()
	s = c.serve(dir, env)
	s.wantEnd(id, queue.StatusSuccessful, 1)
	s.wantEnd(late, queue.StatusSuccessful, 1)
	if hook.count(id) != 2 {
		t.Errorf("it ran %d times, not twice", hook.count(id))
	}
}

func TestPushRunOfAKilledServerIsDeliveredUntilItsLeaseIsOver(t *testing.T) {
	t.Parallel()
	c, hook, dir := procNewCloud(t), procNewHook(t), t.TempDir()
	databaseURL := testdb.Postgres(t)
	env := hook.env(c.env("DATABASE_URL="+databaseURL, "TASKS_LEASE=10m")...) // longer than a busy machine takes to start a server
	hook.hold()
	s := c.serve(dir, env)
	id := s.enqueue(hook.task()).ID
	hook.waitFor(t, id)
	s.end(syscall.SIGKILL)
	hook.open()
	s = c.serve(dir, env)
	answered := func(status int) bool {
		return slices.ContainsFunc(c.delivered(id), func(d procDelivery) bool { return d.status == status })
	}
	procWait(t, "an answer under the dead server's lease", func() bool { return answered(http.StatusConflict) })
	testdb.Exec(t, databaseURL, "UPDATE claimcheck_tasks SET lease_expires_at = now() WHERE status = 'RUNNING'")
	s.wantEnd(id, queue.StatusSuccessful, 2)
	procWait(t, "the last answer", func() bool { return answered(http.StatusOK) })
}

func TestPushKeepsAcceptingWhenTheKeysEndpointIsDown(t *testing.T) {
	t.Parallel()
	c := procNewCloud(t)
	c.down.Store(true)
	s := c.serve(t.TempDir(), c.env())
	unknown := uuid.New()
	reply := procExecute(s, unknown, c.bearer(procAccount))
	if reply.status != http.StatusServiceUnavailable || reply.header.Get("Retry-After") == "" || strings.Contains(reply.text, c.certs.URL) {
		t.Errorf("with no keys yet: %d %s", reply.status, reply.text)
	}
	if reply := procExecute(s, unknown, nil); reply.status != http.StatusNotFound {
		t.Errorf("a shared secret needs no keys, and yet: %d %s", reply.status, reply.text)
	}

	c.down.Store(false)
	procWait(t, "the keys to be fetched", func() bool {
		return procExecute(s, unknown, c.bearer(procAccount)).status == http.StatusNotFound
	})
	c.down.Store(true)
	s.wantEnd(s.enqueue(`{"task":"demo.echo"}`).ID, queue.StatusSuccessful, 1)
}
