package server

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
)

// Every command warns about variables that look like settings, in one line each.
func TestMisspeltVariablesAreWarnedAbout(t *testing.T) {
	dir := t.TempDir()
	if r := procRun(t, dir, nil, "", "migrate"); r.status != 0 {
		t.Fatalf("%+v", r)
	}
	env := []string{"DATABASE_ULR=postgres://u:s3cret@h/d", "TASKS_API_TOKEN=s3cret", "LOG_LEVEL=error", "PORT=1", "EMPTY=", "TASKS_LEAS="}
	for _, command := range []string{"status", "tasks", "purge --dry-run", "enqueue demo.echo", "migrate status", "work", "sweep", "doctor", "status --nope"} {
		r := procRun(t, dir, env, "", strings.Fields(command)...)
		for _, want := range []string{
			"DATABASE_ULR is set, but there is no such setting: did you mean DATABASE_URL?\n",
			"TASKS_API_TOKEN is set, but there is no such setting: did you mean TASK_API_TOKEN?\n",
		} {
			if strings.Count(r.stderr, want) != 1 {
				t.Errorf("%s: %q is not there once in\n%s", command, want, r.stderr)
			}
		}
		if warnings := strings.Count(r.stderr, "no such setting"); warnings != 2 || strings.Contains(r.stdout+r.stderr, "s3cret") {
			t.Errorf("%s: %d warnings\n%s%s", command, warnings, r.stdout, r.stderr)
		}
		if line := lineOf(r.stdout, "variables"); command == "doctor" && (!strings.HasPrefix(line, "warn") || !strings.Contains(line, "DATABASE_ULR")) {
			t.Errorf("doctor: %q", line)
		}
	}
	server := procServe(t, dir, []string{"TASK_API_TOKN=s3cret"})
	if log := server.log.String(); !strings.Contains(log, "did you mean TASK_API_TOKEN?") || !strings.Contains(log, `access="open to every program on this machine`) {
		t.Errorf("serve:\n%s", log)
	}
	closed := procServe(t, dir, []string{"TASK_API_TOKEN=0123456789abcdef0123456789abcdef"})
	if log := closed.log.String(); strings.Contains(log, "access=") || strings.Contains(log, "no such setting") {
		t.Errorf("serve with a token:\n%s", log)
	}
}

// A command that only reads names its database, and makes none of a typing error.
func TestCommandsThatReadNameTheDatabaseAndCreateNone(t *testing.T) {
	dir := t.TempDir()
	id := uuid.NewString()
	reading := []string{"status", "result " + id, "purge --dry-run", "requeue --older-than 1m --dry-run", "migrate status"}
	for _, command := range append(slices.Clone(reading), "run "+id, "purge --yes", "requeue --older-than 1m") {
		for _, env := range [][]string{{"DATABASE_URL=sqlite:typo.db"}, nil} {
			r := procRun(t, dir, env, "", strings.Fields(command)...)
			r.wantRefusal(t, 1, "does not exist", "DATABASE_URL", "server migrate")
		}
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 0 {
		t.Fatalf("%v, %v", files, err)
	}

	// A file without tables, which may be another program's, gets none.
	if err := os.WriteFile(filepath.Join(dir, "other.db"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	other := []string{"DATABASE_URL=sqlite:other.db"}
	procRun(t, dir, other, "", "status").wantRefusal(t, 1, "run: server migrate")
	if r := procRun(t, dir, other, "", "migrate", "status"); r.status != 0 || strings.Contains(r.stdout, "applied") {
		t.Errorf("migrate status: %+v", r)
	}

	if r := procRun(t, dir, nil, "", "enqueue", "demo.echo", "--id", id); r.status != 0 {
		t.Fatalf("%+v", r)
	}
	for _, command := range reading {
		if r := procRun(t, dir, nil, "", strings.Fields(command)...); r.status != 0 || r.stderr != "server: database sqlite:claimcheck.db\n" {
			t.Errorf("%s: %+v", command, r)
		}
	}
	for _, command := range []string{"status --json", "result --json " + id, "purge --dry-run --json"} {
		if r := procRun(t, dir, nil, "", strings.Fields(command)...); r.status != 0 || r.stderr != "" {
			t.Errorf("%s: %+v", command, r)
		}
	}
	procRun(t, dir, nil, "", "result", uuid.NewString()).wantRefusal(t, 1, "not found", "sqlite:claimcheck.db")
	if r := procRun(t, dir, nil, "", "purge", "--task-path=demo.fail", "--json"); r.stdout != `{"deleted":0,"dry_run":false}`+"\n" {
		t.Errorf("--task-path: %+v", r)
	}
}

// What a command that ends stores in memory is lost.
func TestADatabaseInMemoryIsForProgramsThatStay(t *testing.T) {
	id := uuid.NewString()
	for _, databaseURL := range []string{"sqlite::memory:", "sqlite://:memory:"} {
		for _, command := range []string{"enqueue demo.echo", "enqueue demo.echo --wait", "enqueue -", "status", "result " + id, "run " + id, "purge",
			"requeue --older-than 1m", "sweep", "migrate", "migrate status", "work"} {
			r := procRun(t, t.TempDir(), []string{"DATABASE_URL=" + databaseURL}, "", strings.Fields(command)...)
			r.wantRefusal(t, 2, "DATABASE_URL is "+databaseURL, "lost when this command ends", "sqlite:claimcheck.db")
		}
	}
	env := []string{"DATABASE_URL=sqlite::memory:"}
	server := procServe(t, t.TempDir(), env)
	server.wantEnd(server.enqueue(`{"task":"demo.echo"}`).ID, "SUCCESSFUL", 1)
	if r := procRun(t, t.TempDir(), env, "", "work", "--continuous", "--max-tasks=-1"); r.status != 2 || !strings.Contains(r.stderr, "--max-tasks") {
		t.Errorf("%+v", r)
	}
	for _, command := range []string{"migrate sql", "tasks"} {
		if r := procRun(t, t.TempDir(), env, "", strings.Fields(command)...); r.status != 0 {
			t.Errorf("%s: %+v", command, r)
		}
	}
}

// PostgreSQL says NULL for the current schema if the search_path names none.
func TestASearchPathWithoutASchemaIsNamedByEveryCommand(t *testing.T) {
	server := testdb.StartPostgres(t)
	testdb.Exec(t, server.URL("postgres"), `CREATE SCHEMA closed; CREATE ROLE app LOGIN`)
	url := strings.Replace(server.URL("postgres"), "postgres@", "app@", 1)
	id := uuid.NewString()
	for _, path := range []string{"nowhere", "closed"} { // one that does not exist, and one of another user
		env := []string{"DATABASE_URL=" + url + "?search_path=" + path, "TASKS_MODE=pull", "TASK_API_TOKEN=0123456789abcdef0123456789abcdef"}
		for _, command := range []string{"migrate", "migrate status", "status", "result " + id, "run " + id, "purge", "requeue --older-than=1m", "sweep",
			"enqueue demo.echo", "work", "serve --listen=127.0.0.1:0", "serve --migrate --listen=127.0.0.1:0"} {
			r := procRun(t, t.TempDir(), env, "", strings.Fields(command)...)
			r.wantRefusal(t, 1, "search_path ("+path+")", "CREATE SCHEMA", "GRANT USAGE", `"app"`)
		}
		r := procRun(t, t.TempDir(), env, "", "doctor")
		if line := lineOf(r.stdout, "database"); r.status != 1 || !strings.HasPrefix(line, "fail") || !strings.Contains(line, "search_path") {
			t.Errorf("doctor: %q\n%s", line, r.stdout)
		}
	}
}

// A worker pool has no URL, so that work needs its database and nothing else.
func TestWorkOnAWorkerPoolNeedsItsDatabaseAlone(t *testing.T) {
	url := testdb.Postgres(t)
	if r := procRun(t, t.TempDir(), []string{"DATABASE_URL=" + url}, "", "migrate"); r.status != 0 {
		t.Fatalf("%+v", r)
	}
	for _, platform := range []string{"CLOUD_RUN_WORKER_POOL=pool", "CLOUD_RUN_JOB=job"} {
		env := []string{platform, "GCE_METADATA_HOST=127.0.0.1:1", "DATABASE_URL=" + url}
		if r := procRun(t, t.TempDir(), []string{"DATABASE_URL=" + url, "TASKS_MODE=pull"}, "", "enqueue", "demo.echo"); r.status != 0 {
			t.Fatalf("%+v", r)
		}
		if r := procRun(t, t.TempDir(), env, "", "work", "--empty-exit-code=3"); r.status != 0 {
			t.Errorf("%s: %+v", platform, r)
		}
		procRun(t, t.TempDir(), env[:2], "", "work").wantRefusal(t, 2, "DATABASE_URL is required")
		procRun(t, t.TempDir(), append(env, "TASKS_MODE=cloudtasks"), "", "work").wantRefusal(t, 2, "TASK_HANDLER_URL", "OIDC_SERVICE_ACCOUNT_EMAIL")
		procRun(t, t.TempDir(), append(env, "TASK_HANDLER_URL=https://h/{task_id}"), "", "work").wantRefusal(t, 2, "OIDC_SERVICE_ACCOUNT_EMAIL")
	}
	procRun(t, t.TempDir(), []string{"CLOUD_RUN_JOB=job", "GCE_METADATA_HOST=127.0.0.1:1", "DATABASE_URL=" + url}, "", "enqueue", "demo.echo").
		wantRefusal(t, 2, "TASK_HANDLER_URL")
}

// The default timeout is checked against the deadline of a delivery, as a task's
// own is.
func TestATimeoutThatNoDeliveryLastsForIsRefused(t *testing.T) {
	cloud := []string{"TASKS_MODE=cloudtasks", "CLOUD_TASKS_PROJECT=p", "CLOUD_TASKS_LOCATION=l", "TASK_HANDLER_URL=https://h/{task_id}",
		"OIDC_SERVICE_ACCOUNT_EMAIL=a@b.c", "CLOUD_TASKS_EMULATOR_HOST=127.0.0.1:1", "OIDC_ISSUER=http://127.0.0.1:1", "OIDC_CERTS_URL=http://127.0.0.1:1"}
	dir := t.TempDir()
	for _, c := range []struct {
		env  string
		want string
	}{
		{"TASKS_TIMEOUT=30m", "TASKS_TIMEOUT must be at most 29m30s here, not 30m0s (Cloud Tasks waits 30m"},
		{"TASKS_TIMEOUT=9m REQUEST_TIMEOUT=300s", "TASKS_TIMEOUT must be at most 4m50s here, not 9m0s (REQUEST_TIMEOUT is 5m0s"},
	} {
		procRun(t, dir, append(strings.Fields(c.env), cloud...), "", "serve", "--listen=127.0.0.1:0").wantRefusal(t, 2, c.want)
	}
	for _, env := range []string{"TASKS_TIMEOUT=29m30s", "TASKS_TIMEOUT=9m REQUEST_TIMEOUT=600s", "REQUEST_TIMEOUT=60s"} {
		procServe(t, dir, append(strings.Fields(env), cloud...), "--migrate")
	}
	for _, env := range [][]string{append([]string{"TASKS_TIMEOUT=5h"}, cloud...), {"TASKS_TIMEOUT=5h"}} { // no delivery ends them
		if r := procRun(t, dir, env, "", "work"); r.status != 0 {
			t.Errorf("work with %q: %+v", env, r)
		}
	}
}

// The line of the start and the foot of the pages name the version that the version
// command prints.
func TestStartLineAndPagesNameTheVersion(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	printed := procRun(t, dir, nil, "", "version")
	_, build, _ := strings.Cut(strings.SplitN(printed.stdout, "\n", 2)[0], " ")
	s := procServe(t, dir, nil)
	if log := s.log.String(); build == "" || !strings.Contains(log, "version="+build+" ") {
		t.Errorf("version %q\n%s", build, log)
	}
	if page := s.do("GET", "/admin/", "", "Accept", "text/html"); !strings.Contains(page.text, "Version: "+build+".") {
		t.Errorf("version %q\n%s", build, page.text)
	}
}
