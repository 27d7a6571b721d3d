package server

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue"
)

// binaryVariable, in the environment of a process, names its binary.
const binaryVariable = "PROC_BINARY="

func procOtherBinary(env []string) string {
	for _, variable := range env {
		if binary, ok := strings.CutPrefix(variable, binaryVariable); ok {
			return binary
		}
	}
	return ""
}

// failSite is where one failpoint is tried: a database, Cloud Tasks, a receiver
// of webhooks, and processes of which one dies.
type failSite struct {
	*procCloud
	hook     *procHook
	dir      string
	database string
	settings []string
}

func newFailSite(t *testing.T, binary string) *failSite {
	t.Helper()
	f := &failSite{procCloud: procNewCloud(t), hook: procNewHook(t), dir: t.TempDir(), database: testdb.Postgres(t)}
	f.settings = f.env(f.hook.env(binaryVariable+binary, "DATABASE_URL="+f.database, "TASKS_LEASE=1s")...)
	if result := procRun(t, f.dir, f.settings, "", "migrate"); result.status != 0 {
		t.Fatalf("migrate: %+v", result)
	}
	testdb.Exec(t, f.database, "CREATE TABLE ledger (task_id uuid)")
	return f
}

// doomed is the environment of the process that dies at a failpoint.
func (f *failSite) doomed(point string) []string {
	f.t.Helper()
	armed := filepath.Join(f.dir, "armed")
	if err := os.WriteFile(armed, nil, 0o600); err != nil {
		f.t.Fatal(err)
	}
	return append([]string{"FAILPOINT=" + point, "FAILPOINT_FILE=" + armed}, f.settings...)
}

// wantKilled waits until the failpoint has struck.
func (f *failSite) wantKilled(s *procServer) {
	f.t.Helper()
	if status := s.waitForEnd(); !status.Signaled() || status.Signal() != syscall.SIGKILL {
		f.t.Fatalf("the failpoint has not struck: the process ended with %v", status)
	}
}

// restart starts a server that lives.
func (f *failSite) restart() *procServer {
	f.t.Helper()
	return f.serve(f.dir, f.settings)
}

// enqueue stores a task by a process of its own, which acknowledges it.
func (f *failSite) enqueue(task, args string) uuid.UUID {
	f.t.Helper()
	id := uuid.New()
	if result := procRun(f.t, f.dir, f.settings, "", "enqueue", task, args, "--id", id.String()); result.status != 0 {
		f.t.Fatalf("enqueue %s: %+v", task, result)
	}
	return id
}

// webhook is the arguments of a call of this site's receiver.
func (f *failSite) webhook() string { return fmt.Sprintf(`{"url":%q,"body":null}`, f.hook.url) }

// body enqueues a webhook under an ID.
func (f *failSite) body(id uuid.UUID) string {
	return fmt.Sprintf(`{"task":"webhook.deliver","args":%s,"id":%q}`, f.webhook(), id)
}

// unanswered enqueues at a server that dies before it answers, and that no
// delivery reaches.
func (f *failSite) unanswered(point string) (id uuid.UUID) {
	f.t.Helper()
	s := procServe(f.t, f.dir, f.doomed(point))
	id = uuid.New()
	request, err := http.NewRequestWithContext(f.t.Context(), http.MethodPost, s.url+"/tasks/enqueue/", strings.NewReader(f.body(id)))
	if err != nil {
		f.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+s.token)
	if response, err := procClient.Do(request); err == nil {
		_ = response.Body.Close()
		f.t.Fatalf("the enqueue was answered %d", response.StatusCode)
	}
	f.wantKilled(s)
	return id
}

// wantStored checks the row as it is while no server runs.
func (f *failSite) wantStored(id uuid.UUID, status queue.Status, attempts int) {
	f.t.Helper()
	row := procStored(f.t, f.dir, f.settings, id)
	if row.Status != status || row.Attempts != attempts || len(row.WorkerIDs) != attempts {
		f.t.Errorf("the dead process has left %+v; want %s after %d attempts", row, status, attempts)
	}
}

// wantNotStored checks that there is no row, and no Cloud Task of one.
func (f *failSite) wantNotStored(id uuid.UUID) {
	f.t.Helper()
	if result := procRun(f.t, f.dir, f.settings, "", "result", id.String()); result.status != 1 || !strings.Contains(result.stderr, "not found") {
		f.t.Errorf("result: %+v", result)
	}
	f.wantCreated(0)
}

// wantCreated checks how many Cloud Tasks there have been.
func (f *failSite) wantCreated(n int) {
	f.t.Helper()
	if created := f.Stats().Created; created != n {
		f.t.Errorf("%d Cloud Tasks were created, want %d", created, n)
	}
}

// wantSuccess waits until the task has succeeded and its message is gone, and
// checks attempts and effects.
func (f *failSite) wantSuccess(s *procServer, id uuid.UUID, attempts, effects int) *queue.Row {
	f.t.Helper()
	row := s.wantEnd(id, queue.StatusSuccessful, attempts)
	if len(row.WorkerIDs) != attempts {
		f.t.Errorf("%d attempts by workers %v", attempts, row.WorkerIDs)
	}
	procWait(f.t, "the message to be deleted", func() bool { return len(f.Tasks()) == 0 })
	if n := f.hook.count(id) + f.ledger(id); n != effects {
		f.t.Errorf("the task took effect %d times, want %d", n, effects)
	}
	return row
}

// ledger is how often the task ledger has written.
func (f *failSite) ledger(id uuid.UUID) (n int) {
	f.t.Helper()
	conn, err := pgx.Connect(f.t.Context(), f.database)
	if err != nil {
		f.t.Fatal(err)
	}
	defer func() { _ = conn.Close(f.t.Context()) }()
	if err := conn.QueryRow(f.t.Context(), "SELECT count(*) FROM ledger WHERE task_id = $1", id.String()).Scan(&n); err != nil {
		f.t.Fatal(err)
	}
	return n
}

// sweep sweeps once, by a process of its own.
func (f *failSite) sweep(want queue.SweepResult) {
	f.t.Helper()
	result := procRun(f.t, f.dir, f.settings, "", "sweep", "--json")
	var swept queue.SweepResult
	if err := json.Unmarshal([]byte(result.stdout), &swept); err != nil || result.status != 0 || swept != want {
		f.t.Errorf("swept %+v, want %+v", result, want)
	}
}

// age lets the time pass after which the sweeper cares for READY rows.
func (f *failSite) age() {
	f.t.Helper()
	testdb.Exec(f.t, f.database, "UPDATE claimcheck_tasks SET dispatch_due_at = now() WHERE status = 'READY'")
}
