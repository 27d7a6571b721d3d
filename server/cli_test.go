package server

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/config"
	"github.com/claimcheck-go/claimcheck/server/internal/stores"
)

// cli is the program called in process, with an environment and a database of
// its own.
type cli struct {
	t             *testing.T
	name, version string
	env           map[string]string
	tasks         []queue.Definition // nil: testTasks
}

func newCLI(t *testing.T) *cli {
	return &cli{t: t, env: map[string]string{"DATABASE_URL": "sqlite:" + filepath.Join(t.TempDir(), "t.db"), "LOG_LEVEL": "error"}}
}

// call runs the program and returns its exit status and what it printed.
func (c *cli) call(stdin string, args ...string) (status int, stdout, stderr string) {
	c.t.Helper()
	var out, errs bytes.Buffer
	tasks := c.tasks
	if tasks == nil {
		tasks = testTasks
	}
	status = realMain(context.Background(), args, config.Environment(c.env), &program{own: Config{Name: cmp.Or(c.name, "server"), Version: c.version, Tasks: tasks},
		stdin: strings.NewReader(stdin), stdout: &out, stderr: &errs,
	})
	return status, out.String(), errs.String()
}

// ok runs what must succeed and returns its output.
func (c *cli) ok(args ...string) string {
	c.t.Helper()
	status, stdout, stderr := c.call("", args...)
	if status != 0 {
		c.t.Fatalf("%v: status %d\n%s%s", args, status, stdout, stderr)
	}
	return stdout
}

func TestDatabaseThatCannotBeOpenedIsOneLineWithoutThePassword(t *testing.T) {
	for databaseURL, want := range map[string]string{
		"postgres://u:s3cret@127.0.0.1:1/orders":  "127.0.0.1:1/orders",
		"sqlite:" + t.TempDir() + "/missing/x.db": "/missing",
	} {
		for _, command := range [][]string{{"serve", "--listen=127.0.0.1:0"}, {"migrate"}, {"result", uuid.NewString()}, {"enqueue", "demo.echo"}} {
			c := newCLI(t)
			c.env["DATABASE_URL"] = databaseURL
			status, stdout, stderr := c.call("", command...)
			if status != 1 || !strings.Contains(stderr, want) || strings.Contains(stderr, "s3cret") || strings.Count(stderr, "\n") != 1 || stdout != "" {
				t.Errorf("%v: status %d\n%s%s", command, status, stdout, stderr)
			}
		}
	}
}

func TestBadVariableIsNamed(t *testing.T) {
	c := newCLI(t)
	c.env["TASKS_LEASE"] = "soon"
	if status, _, stderr := c.call("", "tasks"); status != 2 || !strings.Contains(stderr, "TASKS_LEASE") || !strings.Contains(stderr, "must be a duration") {
		t.Errorf("%d %s", status, stderr)
	}
}

func TestEmptyVariableCountsAsNotSet(t *testing.T) {
	c := newCLI(t)
	for _, name := range []string{"TASKS_LEASE", "DB_MAX_CONNS", "TASKS_MODE", "OIDC_AUDIENCE", "LOG_FORMAT"} {
		c.env[name] = ""
	}
	c.ok("enqueue", "demo.echo", "--wait")
}

func TestCommandsAskOnlyForWhatTheyUse(t *testing.T) {
	c := newCLI(t)
	id := strings.TrimSpace(c.ok("enqueue", "webhook.deliver", `{"url":"http://127.0.0.1:1/"}`))
	c.env["WEBHOOK_SECRET"], c.env["TASKS_LEASE"], c.env["TASKS_MODE"] = "not base64!", "10ms", "cloudtasks"
	for _, command := range [][]string{{"result", id}, {"tasks"}, {"status"}, {"purge"}, {"requeue", "--older-than=1m"}, {"migrate"}} {
		c.ok(command...)
	}
	if status, _, stderr := c.call("", "run", id); status != 2 || !strings.Contains(stderr, "WEBHOOK_SECRET") || !strings.Contains(stderr, "TASKS_LEASE") || !strings.Contains(stderr, "CLOUD_TASKS_PROJECT") {
		t.Errorf("run: %d %s", status, stderr)
	}
}

func TestFlagWinsOverVariable(t *testing.T) {
	c := newCLI(t)
	c.env["TASKS_QUEUES"] = "a"
	if status, _, stderr := c.call("", "enqueue", "demo.echo", "--queue=b"); status != 2 || !strings.Contains(stderr, "allowed: a") {
		t.Errorf("%d %s", status, stderr)
	}
	c.ok("enqueue", "demo.echo", "--queue=b", "--tasks-queues=b")
}

func TestPlatformNeedsItsSettingsAndSaysSoAtOnce(t *testing.T) {
	c := &cli{t: t, env: map[string]string{"TASKS_MODE": "cloudtasks"}}
	t.Chdir(t.TempDir())
	status, _, stderr := c.call("", "serve")
	for _, setting := range []string{"CLOUD_TASKS_PROJECT", "CLOUD_TASKS_LOCATION", "TASK_HANDLER_URL", "OIDC_SERVICE_ACCOUNT_EMAIL"} {
		if !strings.Contains(stderr, setting) {
			t.Errorf("%s is not named: %s", setting, stderr)
		}
	}
	if status != 2 || strings.Count(stderr, "\n") != 1 {
		t.Errorf("%d %s", status, stderr)
	}

	// On App Engine a request to the metadata server is refused at once here.
	c = &cli{t: t, env: map[string]string{"GAE_APPLICATION": "s~acme", "GAE_ENV": "standard", "GAE_SERVICE": "default", "GAE_VERSION": "1", "GAE_INSTANCE": "x", "GCE_METADATA_HOST": "127.0.0.1:1"}}
	if status, _, stderr := c.call("", "serve"); status != 2 || !strings.Contains(stderr, "DATABASE_URL is required here") || !strings.Contains(stderr, "CLOUD_TASKS_LOCATION") {
		t.Errorf("%d %s", status, stderr)
	}
	c.env["CLOUD_TASKS_EMULATOR_HOST"] = "127.0.0.1:1"
	if status, _, stderr := c.call("", "serve"); status != 2 || !strings.Contains(stderr, "CLOUD_TASKS_EMULATOR_HOST is refused") {
		t.Errorf("%d %s", status, stderr)
	}
}

func TestEnqueueRunResult(t *testing.T) {
	c := newCLI(t)
	id := strings.TrimSpace(c.ok("enqueue", "demo.echo", `{"a":1}`, "--priority", "5", "--queue", "emails"))
	if out := c.ok("result", id); !strings.Contains(out, "READY") || !strings.Contains(out, "emails") {
		t.Error(out)
	}
	var answer struct {
		Executed bool
		Result   struct {
			Status string `json:"status"`
		}
	}
	if err := json.Unmarshal([]byte(c.ok("run", "--json", id)), &answer); err != nil || !answer.Executed || answer.Result.Status != "SUCCESSFUL" {
		t.Errorf("%+v, %v", answer, err)
	}
	if out := c.ok("result", id, "--json"); !strings.HasPrefix(out, `{"result":{"id":"`+id) || !strings.Contains(out, `"return_value":{"a":1}`) {
		t.Error(out)
	}
	if status, _, stderr := c.call("", "run", id); status != 1 || !strings.Contains(stderr, "not run: the task is SUCCESSFUL") {
		t.Errorf("%d %s", status, stderr)
	}
	if status, stdout, _ := c.call("", "run", id, "--json"); status != 1 || stdout != `{"executed":false,"reason":"Task is not in READY status"}`+"\n" {
		t.Errorf("%d %s", status, stdout)
	}
	if status, _, stderr := c.call("", "result", uuid.NewString()); status != 1 || !strings.Contains(stderr, "not found") {
		t.Errorf("%d %s", status, stderr)
	}
}

func TestRunSaysWhyNotAndRetriesWhenAllowed(t *testing.T) {
	c := newCLI(t)
	id := strings.TrimSpace(c.ok("enqueue", "demo.fail", `{"message":"no luck"}`))
	if status, stdout, stderr := c.call("", "run", id); status != 1 || !strings.Contains(stdout, "FAILED") || !strings.Contains(stderr, "no luck") {
		t.Errorf("%d %s%s", status, stdout, stderr)
	}
	if status, _, stderr := c.call("", "run", id); status != 1 || !strings.Contains(stderr, "--allow-retry") {
		t.Errorf("%d %s", status, stderr)
	}
	if status, stdout, _ := c.call("", "run", "--allow-retry", id); status != 1 || !strings.Contains(stdout, "2 of 2") {
		t.Errorf("%d %s", status, stdout)
	}
	later := strings.TrimSpace(c.ok("enqueue", "demo.echo", "--run-after=2h"))
	if status, _, stderr := c.call("", "run", later); status != 1 || !strings.Contains(stderr, "not run: the task is due at") {
		t.Errorf("%d %s", status, stderr)
	}
}

func TestEnqueueWaitRunsTheTaskHere(t *testing.T) {
	c := newCLI(t)
	if out := c.ok("enqueue", "demo.flaky", `{"failures":1}`, "--wait"); !strings.Contains(out, "SUCCESSFUL") || !strings.Contains(out, `{"attempts":2}`) {
		t.Error(out)
	}
	if status, stdout, _ := c.call("", "enqueue", "demo.panic", "--wait", "--json"); status != 1 || !strings.Contains(stdout, `"status":"FAILED"`) || !strings.HasPrefix(stdout, `{"result":`) {
		t.Errorf("%d %s", status, stdout)
	}
}

func TestEnqueueWithAnIDIsRepeatableFromTheCommandLine(t *testing.T) {
	c := newCLI(t)
	id := uuid.NewString()
	for range 2 {
		if out := c.ok("enqueue", "demo.echo", `{"a":1}`, "--id", id); out != id+"\n" {
			t.Error(out)
		}
	}
	if status, _, stderr := c.call("", "enqueue", "demo.echo", `{"a":2}`, "--id", id); status != 2 || !strings.Contains(stderr, "another task already") {
		t.Errorf("%d %s", status, stderr)
	}
}

func TestBulkEnqueueKeepsWholeChunksAndNamesTheBadLine(t *testing.T) {
	c := newCLI(t)
	var lines strings.Builder
	for i := range 1500 {
		fmt.Fprintf(&lines, "{\"task\":\"demo.echo\",\"args\":%d}\n", i)
	}
	status, stdout, stderr := c.call(lines.String()+"\n  \n"+`{"task":"demo.echo","args":1500}`, "enqueue", "-")
	if ids := strings.Fields(stdout); status != 0 || len(ids) != 1501 {
		t.Fatalf("%d, %d IDs, %s", status, len(ids), stderr)
	}
	for bad, want := range map[string]string{
		`{"task":"demo.ecko"}`: `line 1501: task "demo.ecko" is not registered`,
		`{"task":"demo.echo","id":"01890a5d-ac96-774b-bcce-b302099a8057","args":1}` + "\n" + `{"task":"demo.echo","id":"01890a5d-ac96-774b-bcce-b302099a8057","args":2}`: "line 1502: id 01890a5d-ac96-774b-bcce-b302099a8057",
		`{"task":"demo.echo","x":1}`: `line 1501: unknown field "x"`,
		`{"task":`:                   "line 1501: Invalid JSON",
		`{"task":"demo.echo","args":"` + strings.Repeat("x", 2<<20) + `"}`: "line 1501: it is longer than 1048576 bytes",
	} {
		c := newCLI(t)
		status, stdout, stderr := c.call(lines.String()+bad+"\n"+`{"task":"demo.echo"}`, "enqueue", "-")
		if n := len(strings.Fields(stdout)); status != 2 || n != 1000 || !strings.Contains(stderr, want) || !strings.Contains(stderr, "1000 tasks") {
			t.Errorf("%.40s: status %d, %d IDs, %s", bad, status, n, stderr)
		}
	}
}

func TestTasksListsWhatIsRegisteredWithoutADatabase(t *testing.T) {
	c := &cli{t: t, env: map[string]string{"DATABASE_URL": "postgres://nobody@127.0.0.1:1/x"}}
	out := c.ok("tasks")
	for _, name := range []string{"demo.echo", "demo.fail", "demo.flaky", "demo.panic", "demo.sleep", "webhook.deliver"} {
		if !strings.Contains(out, name) {
			t.Errorf("%s is missing:\n%s", name, out)
		}
	}
	var list struct {
		Tasks []map[string]any `json:"tasks"`
	}
	if err := json.Unmarshal([]byte(c.ok("tasks", "--json")), &list); err != nil || len(list.Tasks) != 6 || list.Tasks[5]["timeout_ms"] != 30000.0 || list.Tasks[5]["max_attempts"] != 8.0 {
		t.Errorf("%+v, %v", list, err)
	}
	for task, want := range map[int]any{
		0: true, // demo.echo takes any JSON
		4: map[string]any{"type": "object", "properties": map[string]any{"duration_ms": map[string]any{"type": "integer"}}},
	} {
		if got := list.Tasks[task]["args_schema"]; !reflect.DeepEqual(got, want) {
			t.Errorf("args_schema of %s: %v, want %v", list.Tasks[task]["name"], got, want)
		}
	}
}

func TestMigrateUpStatusSQL(t *testing.T) {
	c := newCLI(t)
	if status, stdout, stderr := c.call("", "migrate", "status"); status != 1 || stdout != "" || !strings.Contains(stderr, "server migrate") {
		t.Errorf("%d %s%s", status, stdout, stderr)
	}
	if out := c.ok("migrate"); !strings.Contains(out, "applied") {
		t.Error(out)
	}
	if out := c.ok("migrate", "up"); out != "up to date\n" {
		t.Error(out)
	}
	if out := c.ok("migrate", "status"); strings.Contains(out, "pending") {
		t.Error(out)
	}
	if out := c.ok("migrate", "sql"); !strings.Contains(out, "CREATE TABLE claimcheck_tasks") || strings.Contains(out, "goose") {
		t.Error(out)
	}
	if out := c.ok("migrate", "sql", "--database-url=mysql://localhost/x"); !strings.Contains(out, "ENGINE") && !strings.Contains(out, "utf8mb4") {
		t.Error(out)
	}
	if out := c.ok("migrate", "sql", "--database-url=postgres://localhost/x"); !strings.Contains(out, "timestamptz") {
		t.Error(out)
	}
}

func TestDescribeDatabaseHidesThePassword(t *testing.T) {
	for in, want := range map[string]string{
		"postgres://u:s3cret@h:5432/d?sslmode=require&password=s3cret": "postgres://u@h:5432/d",
		"postgres://u:s3cret@/d?host=/cloudsql/x":                      "postgres://u@/cloudsql/x/d",
		"postgres:///cc?host=127.0.0.1&user=postgres&password=s3cret":  "postgres://127.0.0.1/cc",
		"postgres://u:s3%zz@h/d":                                       "a URL that cannot be read",
		"sqlite:claimcheck.db":                                         "sqlite:claimcheck.db",
		"sqlite::memory:":                                              "sqlite::memory:",
	} {
		if got := stores.Describe(in); got != want {
			t.Errorf("%s is shown as %s, want %s", in, got, want)
		}
	}
}

func TestWorkRunsWhatIsDueAndSaysHowItWent(t *testing.T) {
	c := newCLI(t)
	if status, _, _ := c.call("", "work", "--empty-exit-code=3", "--failed-exit-code=4"); status != 3 {
		t.Errorf("nothing to run: status %d, want 3", status)
	}
	for _, args := range [][]string{{"demo.echo", "1"}, {"demo.echo", "2", "--queue=emails"}, {"demo.fail", `{"message":"x"}`}, {"demo.echo", "3", "--run-after=1h"}} {
		c.ok(append([]string{"enqueue"}, args...)...)
	}
	if status, _, stderr := c.call("", "work", "--queue=emails", "--empty-exit-code=3", "--failed-exit-code=4"); status != 0 {
		t.Errorf("one that succeeds: status %d %s", status, stderr)
	}
	if status, _, _ := c.call("", "work", "--concurrency=3", "--interval=0.5", "--empty-exit-code=3", "--failed-exit-code=4"); status != 4 {
		t.Errorf("one that fails: status %d, want 4", status)
	}
	if out := c.ok("status", "--json"); !strings.HasPrefix(out, `{"pending_count":0,"running_count":0,"successful_count":2,"failed_count":1,"cancelled_count":0,"delayed_count":1,"stranded_count":0}`) {
		t.Error(out)
	}
	if out := c.ok("status", "--queue=emails"); !strings.Contains(out, "successful  1") {
		t.Error(out)
	}
}

func TestPurgeAndRequeueFromTheCommandLine(t *testing.T) {
	c := newCLI(t)
	for range 3 {
		c.ok("enqueue", "demo.echo")
	}
	c.ok("work", "--max-tasks=2")
	for _, step := range []struct {
		args string
		want string
	}{
		{"purge --dry-run", "2 tasks would be deleted\n"},
		{"purge --dry-run --json", `{"count":2,"dry_run":true}` + "\n"},
		{"purge --days 1", "0 tasks deleted\n"},
		{"purge --task demo.fail", "0 tasks deleted\n"},
		{"purge --batch-size 1 --json", `{"deleted":2,"dry_run":false}` + "\n"},
		{"purge --yes --status CANCELLED", "0 tasks deleted\n"},
		{"requeue --older-than 1s", "0 tasks are READY again, 0 are FAILED\n"},
		{"sweep", "0 dispatched, 0 reclaimed, 0 armed, 0 failed, 0 errors, 0 enqueued\n"},
		{"sweep --limit 10000 --json", `{"dispatched":0,"reclaimed":0,"armed":0,"failed":0,"errors":0,"enqueued":0}` + "\n"},
		{"requeue --older-than 15m --mark-failed --dry-run", "0 tasks would be READY again, 0 would be FAILED\n"},
	} {
		if out := c.ok(strings.Fields(step.args)...); out != step.want {
			t.Errorf("%s: %q, want %q", step.args, out, step.want)
		}
	}
	c.ok("work")
	if out := c.ok("purge", "--yes"); out != "1 task deleted\n" {
		t.Error(out)
	}
	c.ok("enqueue", "demo.echo")
	if out := c.ok("status"); !strings.Contains(out, "pending               1") {
		t.Error(out)
	}
}

func TestDeliveriesArriveAtThePathOfTheHandlerURL(t *testing.T) {
	for handlerURL, want := range map[string]string{
		"":                                    "/tasks/execute/{task_id}/",
		"https://x.example/hooks/{task_id}":   "/hooks/{task_id}",
		"https://x.example/a/b/{task_id}/run": "/a/b/{task_id}/run",
	} {
		p := &config.Config{Settings: &config.Settings{TaskHandlerURL: handlerURL, TaskHandlerPath: "/tasks/execute/{task_id}/"}}
		if got := p.ExecutePath(); got != want {
			t.Errorf("%s: %s, want %s", handlerURL, got, want)
		}
	}
}
