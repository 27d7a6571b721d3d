package server

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/internal/holdport"
	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue"
)

func TestServerRefusesAnUnmigratedDatabase(t *testing.T) {
	t.Parallel()
	database := "DATABASE_URL=" + testdb.Postgres(t)
	for name, env := range map[string][]string{
		"pull": {database, "TASKS_MODE=pull", procToken},
		"cloudtasks": {database, "TASKS_MODE=cloudtasks", "CLOUD_TASKS_PROJECT=proc", "CLOUD_TASKS_LOCATION=europe-west1",
			"TASK_HANDLER_URL=https://proc.example/tasks/execute/{task_id}/", "OIDC_SERVICE_ACCOUNT_EMAIL=" + procAccount,
			"CLOUD_TASKS_EMULATOR_HOST=127.0.0.1:1"},
	} {
		t.Run(name, func(t *testing.T) {
			procRun(t, t.TempDir(), env, "", "--listen", "127.0.0.1:0").wantRefusal(t, 1, "run: server migrate")
			procRun(t, t.TempDir(), env, "", "enqueue", "demo.echo").wantRefusal(t, 1, "run: server migrate")
		})
	}
}

func TestMigrateThenServe(t *testing.T) {
	t.Parallel()
	dir, env := t.TempDir(), []string{"DATABASE_URL=" + testdb.Postgres(t), "TASKS_MODE=pull", procToken}
	for _, step := range []struct {
		action, starts, contains string
		not                      string
	}{
		{"status", "0", "pending", "applied"},
		{"up", "applied 0", "", "up to date"},
		{"up", "up to date\n", "", "applied"},
		{"status", "0", "applied 20", "pending"},
		{"sql", "", "CREATE TABLE", "up to date"},
	} {
		result := procRun(t, dir, env, "", "migrate", step.action)
		named := strings.HasPrefix(result.stderr, "server: database postgres://") // by what only reads
		if result.status != 0 || named != (step.action == "status") || !named && result.stderr != "" || !strings.HasPrefix(result.stdout, step.starts) ||
			!strings.Contains(result.stdout, step.contains) || strings.Contains(result.stdout, step.not) {
			t.Errorf("migrate %s: %+v", step.action, result)
		}
	}

	s := procServe(t, dir, env)
	id := s.enqueue(`{"task":"demo.echo","args":"pulled"}`).ID
	if row := s.task(id); row.Status != queue.StatusReady {
		t.Errorf("in pull mode no worker runs it, and yet it is %s", row.Status)
	}
	if result := procRun(t, dir, env, "", "run", id.String()); result.status != 0 {
		t.Errorf("run: %+v", result)
	}
	if row := s.wantEnd(id, queue.StatusSuccessful, 1); string(row.ReturnValue) != `"pulled"` {
		t.Errorf("return_value %s", row.ReturnValue)
	}
}

func TestMigrationsAtTheSameTimeAreOne(t *testing.T) {
	t.Parallel()
	env := []string{"DATABASE_URL=" + testdb.Postgres(t)}
	var results [4]procResult
	var processes sync.WaitGroup
	for i := range results {
		processes.Go(func() { results[i] = procRun(t, t.TempDir(), env, "", "migrate") })
	}
	processes.Wait()
	applied := ""
	for _, result := range results {
		applied += result.stdout
		if result.status != 0 || strings.Contains(result.stdout, "applied ") == strings.Contains(result.stdout, "up to date") {
			t.Errorf("%+v", result)
		}
	}
	for _, migration := range []string{"00001_tasks.sql", "00002_finished.sql"} {
		if n := strings.Count(applied, "applied "+migration); n != 1 {
			t.Errorf("%s was applied %d times", migration, n)
		}
	}
}

func TestMigrateFlagBringsTheSchemaUpToDateFirst(t *testing.T) {
	t.Parallel()
	env := []string{"DATABASE_URL=" + testdb.Postgres(t), "TASKS_MODE=pull", procToken}
	s := procServe(t, t.TempDir(), env, "--migrate")
	s.enqueue(`{"task":"demo.echo"}`)
}

func TestMigrationSQLNeedsNoDatabase(t *testing.T) {
	t.Parallel()
	env := []string{"DATABASE_URL=postgres://nobody@" + holdport.ForTest(t).Addr() + "/tasks"}
	sql := procRun(t, t.TempDir(), env, "", "migrate", "sql")
	if sql.status != 0 || sql.stderr != "" {
		t.Fatalf("%+v", sql)
	}
	// People who run it by themselves get a schema that the server accepts.
	database := testdb.Postgres(t)
	testdb.Exec(t, database, sql.stdout)
	s := procServe(t, t.TempDir(), []string{"DATABASE_URL=" + database, "TASKS_MODE=pull", procToken})
	s.enqueue(`{"task":"demo.echo"}`)
}

func TestLocalModeOnPostgresMigratesAndRuns(t *testing.T) {
	t.Parallel()
	s := procServe(t, t.TempDir(), []string{"DATABASE_URL=" + testdb.Postgres(t)})
	for _, args := range []string{`{"hello":"wörld"}`, `[12345678901234567890123,1.0,"\u0001"]`, `null`} {
		row := s.wantEnd(s.enqueue(`{"task":"demo.echo","args":`+args+`}`).ID, queue.StatusSuccessful, 1)
		if string(row.ReturnValue) != args {
			t.Errorf("%s came back as %s", args, row.ReturnValue)
		}
	}
	s.wantEnd(s.enqueue(`{"task":"demo.flaky","args":{"failures":1}}`).ID, queue.StatusSuccessful, 2)
}

func TestDatabaseThatIsDownIsOneLineWithoutThePassword(t *testing.T) {
	t.Parallel()
	address := holdport.ForTest(t).Addr()
	env := []string{"DATABASE_URL=postgres://someone:pa%24%24w0rd@" + address + "/tasks?sslmode=disable"}
	for _, command := range [][]string{{"--listen", "127.0.0.1:0"}, {"migrate"}, {"migrate", "status"}, {"enqueue", "demo.echo"}} {
		result := procRun(t, t.TempDir(), env, "", command...)
		result.wantRefusal(t, 1, address+"/tasks")
		for _, secret := range []string{"pa%24%24w0rd", "pa$$w0rd"} {
			if strings.Contains(result.stderr, secret) {
				t.Errorf("%v: stderr has the password: %s", command, result.stderr)
			}
		}
	}
}

func TestServerOutlivesADatabaseOutage(t *testing.T) {
	t.Parallel()
	postgres, hook := testdb.StartPostgres(t), procNewHook(t)
	s := procServe(t, t.TempDir(), hook.env("DATABASE_URL="+postgres.URL("postgres")))
	hook.hold()
	running := s.enqueue(hook.task()).ID
	hook.waitFor(t, running)

	postgres.Stop(t)
	for _, request := range []string{
		"POST /tasks/enqueue/", "POST /tasks/execute/" + uuid.NewString() + "/", "GET /tasks/result/" + running.String() + "/",
		"POST /tasks/enqueue/",
	} {
		method, path, _ := strings.Cut(request, " ")
		body := ""
		if strings.Contains(path, "enqueue") {
			body = `{"task":"demo.echo"}`
		}
		reply := s.do(method, path, body)
		if reply.status != http.StatusServiceUnavailable || reply.header.Get("Retry-After") == "" || reply.body.Error != "database unavailable" {
			t.Errorf("%s: %d %s", request, reply.status, reply.text)
		}
	}
	for path, status := range map[string]int{"/health/ready": http.StatusServiceUnavailable, "/health/live": http.StatusOK} {
		if reply := s.do(http.MethodGet, path, ""); reply.status != status || reply.text != "" {
			t.Errorf("%s: %d %q", path, reply.status, reply.text)
		}
	}
	hook.open() // the task ends while its result cannot be stored

	postgres.Start(t)
	procWait(t, "the server to be ready again", func() bool {
		return s.do(http.MethodGet, "/health/ready", "").status == http.StatusOK
	})
	s.wantEnd(running, queue.StatusSuccessful, 1)
	s.wantEnd(s.enqueue(`{"task":"demo.echo"}`).ID, queue.StatusSuccessful, 1)
	log := s.log.String()
	if begun, ended := strings.Count(log, `msg="database unavailable"`), strings.Count(log, "database calls succeed again"); begun != 1 || ended != 1 {
		t.Errorf("the log has %d lines at the outage's beginning and %d at its end", begun, ended)
	}
	address, _ := url.Parse(postgres.URL("postgres"))
	if !strings.Contains(log, address.Host) {
		t.Errorf("the log does not say which database is gone: %s", address.Host)
	}
	if n := strings.Count(log, "level=ERROR"); n != 1 {
		t.Errorf("the outage made %d errors in the log", n)
	}
}
