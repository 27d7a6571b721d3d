package server

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/config"
)

// runProgram runs one command of a program, and returns what it printed.
func runProgram(t *testing.T, cfg Config, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	cfg.Logger = nil
	cfg.Settings.LogLevel = "error"
	p := &program{own: cfg, stdin: strings.NewReader(""), stdout: &out, stderr: &errs}
	status = realMain(t.Context(), args, nil, p)
	return status, out.String(), errs.String()
}

// Setup is called by the commands that need the tasks, and by no other.
func TestWhenSetupIsCalled(t *testing.T) {
	calls := 0
	cfg := appConfig(t, queue.Declare[string, string]("greet"))
	cfg.Setup = func(context.Context, *App) ([]queue.Definition, error) {
		calls++
		return []queue.Definition{queue.NewTask("greet", func(_ context.Context, name string) (string, error) { return "Hello, " + name, nil })}, nil
	}
	id := "0198c0de-0000-7000-8000-000000000001"
	for _, c := range []struct {
		args   []string
		calls  int
		status int
		output string
	}{
		{[]string{"migrate"}, 0, 0, "applied"},
		{[]string{"enqueue", "greet", `"world"`, "--id", id, "--wait"}, 1, 0, "Hello, world"},
		{[]string{"tasks"}, 1, 0, "greet"},
		{[]string{"doctor"}, 1, 0, "1 task is registered"},
		{[]string{"work"}, 1, 0, ""},
		{[]string{"run", id}, 1, 1, ""},
		{[]string{"retry", id}, 1, 1, ""},
		{[]string{"sweep"}, 1, 0, "dispatched"},
		{[]string{"status"}, 0, 0, "pending"},
		{[]string{"result", id}, 0, 0, "Hello, world"},
		{[]string{"list"}, 0, 0, id},
		{[]string{"cancel", id}, 1, 1, ""},
		{[]string{"purge", "--yes"}, 0, 0, "1"},
		{[]string{"requeue", "--older-than=1h"}, 1, 0, ""},
		{[]string{"version"}, 0, 0, "shop"},
		{[]string{"help"}, 0, 0, "shop"},
		{[]string{"completion", "bash"}, 0, 0, "shop"},
	} {
		calls = 0
		status, stdout, stderr := runProgram(t, cfg, c.args...)
		if calls != c.calls || status != c.status || !strings.Contains(stdout, c.output) {
			t.Errorf("%v: %d calls, want %d; status %d, want %d\n%s%s", c.args, calls, c.calls, status, c.status, stdout, stderr)
		}
	}
}

// What goes wrong in Setup, or after it, is reported as such, and what it opened is
// closed.
func TestSetupErrors(t *testing.T) {
	echo := func() queue.Definition { return queue.NewTask("greet", echo) }
	for _, c := range []struct {
		name   string
		made   []queue.Definition
		err    error
		status int
		want   string
	}{
		{"its own error", nil, errors.New("no MAILER_URL"), 1, "shop: setup of the tasks failed: no MAILER_URL\n"},
		{"a nil definition", []queue.Definition{echo(), nil}, nil, 2, "shop: the tasks of Config.Setup: definition 2 is nil: make it with NewTask or Declare\n"},
		{"one name twice", []queue.Definition{echo(), echo()}, nil, 2, "shop: the tasks of Config.Setup: two tasks are named \"greet\": list each task once, and give the other one another name\n"},
		{"the name of doctor's task", []queue.Definition{queue.NewTask("other2", echoTask, queue.Alias("claimcheck.probe"))}, nil, 2, "shop: the tasks of Config.Setup: claimcheck.probe is reserved for doctor --deliver: choose another name\n"},
		{"the name of a task with a function", []queue.Definition{queue.NewTask("other", echoTask)}, nil, 2, "shop: the tasks of Config.Tasks, Config.Schedules and Config.Setup: two tasks are named \"other\": list each task once, and give the other one another name\n"},
	} {
		closed := 0
		cfg := appConfig(t, queue.Declare[string, string]("greet"), queue.NewTask("other", echoTask))
		cfg.Setup = func(_ context.Context, app *App) ([]queue.Definition, error) {
			app.OnClose(func() error { closed++; return nil })
			return c.made, c.err
		}
		for _, command := range [][]string{{"tasks"}, {"enqueue", "greet"}, {"serve", "--listen=127.0.0.1:0"}} {
			closed = 0
			if status, _, stderr := runProgram(t, cfg, command...); status != c.status || stderr != c.want || closed != 1 {
				t.Errorf("%s, %v: status %d, closed %d times\n%s", c.name, command, status, closed, stderr)
			}
		}
		_, err := Open(t.Context(), cfg)
		if text := strings.TrimSuffix(strings.TrimPrefix(c.want, "shop: "), "\n"); err == nil || err.Error() != "server: Open: "+text || c.err != nil && !errors.Is(err, c.err) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func echoTask(_ context.Context, in string) (string, error) { return in, nil }

// Tasks that cannot be registered are one line, whatever the command.
func TestBadTasksAreOneLine(t *testing.T) {
	for want, tasks := range map[string][]queue.Definition{
		"shop: the tasks of Config.Tasks: definition 1 is nil: make it with NewTask or Declare\n":                                {nil},
		"shop: the tasks of Config.Tasks: definition 2 is nil: make it with NewTask or Declare\n":                                {queue.NewTask("a", echoTask), (*queue.Task[string, string])(nil)},
		"shop: the tasks of Config.Tasks: two tasks are named \"a\": list each task once, and give the other one another name\n": {queue.NewTask("a", echoTask), queue.NewTask("b", echoTask, queue.Alias("a"))},
		"shop: the tasks of Config.Tasks: claimcheck.probe is reserved for doctor --deliver: choose another name\n":              {queue.NewTask("claimcheck.probe", echoTask)},
	} {
		for _, command := range []string{"tasks", "status", "version"} {
			if status, stdout, stderr := runProgram(t, appConfig(t, tasks...), command); status != 2 || stderr != want || stdout != "" {
				t.Errorf("%s: status %d\n%s%s", command, status, stdout, stderr)
			}
		}
	}
	if status, stdout, stderr := runProgram(t, appConfig(t), "migrate"); status != 0 || !strings.Contains(stdout, "applied") {
		t.Errorf("without tasks: status %d\n%s%s", status, stdout, stderr)
	}
}

// The client may be kept in Setup, before it is ready, and is ready in the tasks.
func TestTheClientOfSetup(t *testing.T) {
	t.Parallel()
	inner := queue.NewTask("inner", echoTask)
	cfg := appConfig(t, inner, queue.Declare[string, string]("outer"))
	cfg.Setup = func(ctx context.Context, app *App) ([]queue.Definition, error) {
		client := app.Client()
		if _, err := inner.Enqueue(ctx, client, "x"); !errors.Is(err, queue.ErrNotReady) || !strings.Contains(err.Error(), "keep it and use it once the program is open") {
			t.Errorf("in Setup: %v", err)
		}
		return []queue.Definition{queue.NewTask("outer", func(ctx context.Context, in string) (string, error) {
			handle, err := inner.Enqueue(ctx, client, "inner "+in)
			if err != nil {
				return "", err
			}
			return inner.Wait(ctx, client, handle.ID)
		})}, nil
	}
	app := openApp(t, cfg)
	go func() { _ = app.Run(t.Context()) }()
	handle, err := app.Client().Enqueue(t.Context(), "outer", "world")
	if err != nil {
		t.Fatal(err)
	}
	if row, err := app.Client().Wait(t.Context(), handle.ID); err != nil || string(row.ReturnValue) != `"inner world"` {
		t.Errorf("%+v, %v", row, err)
	}
}

// The pools of Setup reach the settings' database, once it is there: the tasks
// command needs none.
func TestPoolsOfSetup(t *testing.T) {
	t.Parallel()
	file := "sqlite:" + filepath.Join(t.TempDir(), "pool.db")
	for _, databaseURL := range []string{testdb.Postgres(t), testdb.MariaDB(t), file, "sqlite::memory:"} {
		cfg := appConfig(t)
		cfg.Settings.DatabaseURL = databaseURL
		cfg.Setup = func(_ context.Context, app *App) ([]queue.Definition, error) {
			pgx, db := app.PgxPool(), app.DB()
			if (pgx != nil) == (db != nil) || (pgx != nil) != strings.HasPrefix(databaseURL, "postgres") || pgx != app.PgxPool() || db != app.DB() {
				t.Errorf("%s: pools %v and %v", databaseURL, pgx, db)
			}
			return []queue.Definition{queue.NewTask("count", func(ctx context.Context, _ any) (n int, err error) {
				const count = "SELECT count(*) FROM claimcheck_tasks"
				if pgx != nil {
					return n, pgx.QueryRow(ctx, count).Scan(&n)
				}
				return n, db.QueryRowContext(ctx, count).Scan(&n)
			})}, nil
		}
		app := openApp(t, cfg)
		go func() { _ = app.Run(t.Context()) }()
		handle, err := app.Client().Enqueue(t.Context(), "count", nil)
		if err != nil {
			t.Fatal(err)
		}
		if row, err := app.Client().Wait(t.Context(), handle.ID); err != nil || string(row.ReturnValue) != "1" {
			t.Errorf("%s: %+v, %v", databaseURL, row, err)
		}
	}
	dir := t.TempDir()
	for _, databaseURL := range []string{"postgres://u@127.0.0.1:1/x", "mysql://u@127.0.0.1:1/x", "sqlite:" + filepath.Join(dir, "none.db")} {
		cfg := appConfig(t)
		cfg.Settings.DatabaseURL = databaseURL
		cfg.Setup = func(_ context.Context, app *App) ([]queue.Definition, error) {
			if app.PgxPool() == nil && app.DB() == nil {
				t.Errorf("%s: no pool", databaseURL)
			}
			return []queue.Definition{queue.NewTask("greet", echoTask)}, nil
		}
		if status, stdout, stderr := runProgram(t, cfg, "tasks"); status != 0 || !strings.Contains(stdout, "greet") {
			t.Errorf("%s: status %d\n%s%s", databaseURL, status, stdout, stderr)
		}
	}
	if files, _ := filepath.Glob(filepath.Join(dir, "*")); len(files) > 0 {
		t.Errorf("made: %v", files)
	}
}

// doctor counts the connections of Setup's pool.
func TestDoctorCountsTheOwnPool(t *testing.T) {
	t.Parallel()
	cfg := appConfig(t)
	cfg.Settings.DatabaseURL, cfg.Settings.DBMaxConns = testdb.Postgres(t), 7
	for own, want := range map[bool]string{false: "a pool of 7 for each instance", true: "two pools, the queue's and that of the program's Setup, of 14 in all"} {
		cfg.Setup = func(_ context.Context, app *App) ([]queue.Definition, error) {
			if own {
				app.PgxPool()
			}
			return nil, nil
		}
		if _, stdout, stderr := runProgram(t, cfg, "doctor"); !strings.Contains(stdout, want) {
			t.Errorf("want %q\n%s%s", want, stdout, stderr)
		}
	}
}

// Handler is the program's own, also under serve.
// A path of one part would be every such path of the program's own.
func TestHandlerPathThatTakesTheProgramsOwn(t *testing.T) {
	for path, refused := range map[string]bool{"/{task_id}": true, "/{task_id}/": true, "/run-{task_id}": false, "/x/{task_id}": false} {
		for _, own := range []bool{true, false} {
			cfg := appConfig(t, testTasks...)
			cfg.Settings.TaskHandlerPath = path
			if own {
				cfg.Handler = func(*App) http.Handler { return http.NotFoundHandler() }
			}
			app, err := Open(t.Context(), cfg)
			if err == nil {
				err = app.Shutdown(t.Context())
			} else if !strings.Contains(err.Error(), "TASK_HANDLER_PATH must not have the path \""+path+"\", which takes every path of one part from Config.Handler: it takes one such as /tasks/execute/{task_id}/ (set by") {
				t.Error(err)
			}
			if (err != nil) != (refused && own) {
				t.Errorf("%s, own handler %t: %v", path, own, err)
			}
		}
	}
}

// Errors list the tasks of the program, not doctor's.
func TestProbeIsNotSuggested(t *testing.T) {
	cfg := appConfig(t, queue.NewTask("greet", echoTask))
	for _, name := range []string{"nonsense", "claimcheck.prob"} {
		if status, _, stderr := runProgram(t, cfg, "enqueue", name); status != 2 || !strings.Contains(stderr, "registered: greet") || strings.Contains(stderr, "claimcheck.probe") {
			t.Errorf("%s: %d %s", name, status, stderr)
		}
	}
}

func TestHandlerThatIsNil(t *testing.T) {
	cfg := appConfig(t, testTasks...)
	cfg.Handler = func(*App) http.Handler { return nil }
	if status, _, stderr := runProgram(t, cfg, "serve", "--listen=127.0.0.1:0"); status != 2 || !strings.Contains(stderr, "Config.Handler returned nil") {
		t.Errorf("status %d: %s", status, stderr)
	}
}

// A worker says which of its tasks it cannot run.
func TestTasksWithoutAFunctionAreWarnedAbout(t *testing.T) {
	for want, cfg := range map[string]Config{
		"tasks=greet":             appConfig(t, queue.Declare[string, string]("greet")),
		"no tasks are registered": appConfig(t),
	} {
		if status, _, stderr := runProgram(t, cfg, "migrate"); status != 0 {
			t.Fatal(stderr)
		}
		if status, _, stderr := runProgram(t, cfg, "work", "--log-level=warn"); status != 0 || !strings.Contains(stderr, want) {
			t.Errorf("status %d, want %q: %s", status, want, stderr)
		}
	}
}

// Variables of the program's own are not taken for misspelt settings.
func TestOwnVariables(t *testing.T) {
	env := config.Environment{"TASKS_REGION": "eu", "DATABASE_URL": "sqlite:" + filepath.Join(t.TempDir(), "t.db")}
	for _, own := range [][]string{nil, {"TASKS_REGION"}} {
		var out bytes.Buffer
		p := &program{own: Config{Name: "shop", OwnVariables: own}, stdin: strings.NewReader(""), stdout: &out, stderr: &out}
		status := realMain(t.Context(), []string{"tasks"}, env, p)
		if warned := strings.Contains(out.String(), "TASKS_REGION is set"); status != 0 || warned == slices.Contains(own, "TASKS_REGION") {
			t.Errorf("%v: status %d\n%s", own, status, &out)
		}
	}
	// A program that reads no variables of settings has none that is misspelt.
	for _, command := range []string{"tasks", "doctor"} {
		var out bytes.Buffer
		cfg := appConfig(t, testTasks...)
		p := &program{own: cfg, stdin: strings.NewReader(""), stdout: &out, stderr: &out}
		if realMain(t.Context(), []string{command}, env, p); strings.Contains(out.String(), "TASKS_REGION") {
			t.Errorf("%s, with IgnoreEnv: %s", command, &out)
		}
	}
	if _, set := os.LookupEnv("TASKS_REGION"); set {
		t.Error("the environment of the process was changed")
	}
}
