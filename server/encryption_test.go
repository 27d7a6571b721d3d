package server

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/sqlitestore"
	"github.com/claimcheck-go/claimcheck/server/internal/config"
)

// newKey is a line of keys new.
func (c *cli) newKey(id string) string {
	c.t.Helper()
	lines := strings.Fields(c.ok("keys", "new", id))
	return lines[len(lines)-1]
}

// idOf is the ID of the key of a line of keys new.
func idOf(line string) string {
	id, _, _ := strings.Cut(line, ":")
	return id
}

// stored is a row of the database of c as it is stored.
func (c *cli) stored(id string) *queue.Row {
	c.t.Helper()
	store, err := sqlitestore.Open(c.t.Context(), sqlitestore.Config{URL: c.env["DATABASE_URL"]})
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() {
		if err := store.Close(); err != nil {
			c.t.Error(err)
		}
	}()
	row, err := store.Get(c.t.Context(), uuid.MustParse(strings.TrimSpace(id)))
	if err != nil {
		c.t.Fatal(err)
	}
	return row
}

func TestKeysAreMadeUsedAndRotated(t *testing.T) {
	c := newCLI(t)
	first := c.ok("keys", "new", "k1") // the key for hashes, too
	if !strings.HasPrefix(first, "hash:") || strings.Count(first, "\n") != 2 {
		t.Fatalf("keys new printed %q", first)
	}
	k1 := idOf(strings.Fields(first)[1])
	file := filepath.Join(t.TempDir(), "keys.txt")
	if err := os.WriteFile(file, []byte(first), 0o600); err != nil {
		t.Fatal(err)
	}
	c.env["TASKS_ENCRYPTION_KEYS_FILE"] = file
	waiting := strings.TrimSpace(c.ok("enqueue", "demo.echo", `"number 4711"`))
	ended := strings.TrimSpace(c.ok("enqueue", "demo.echo", `"number 4711"`, "--wait", "--json"))
	if !strings.Contains(ended, `"return_value":"number 4711"`) || !strings.Contains(ended, `"key_id":"`+k1+`"`) {
		t.Errorf("enqueue --wait: %s", ended)
	}
	if row := c.stored(waiting); bytes.Contains(row.Args, []byte("4711")) || row.KeyID != k1 {
		t.Errorf("stored: %s with key %q", row.Args, row.KeyID)
	}
	if out := c.ok("result", waiting, "--args"); !strings.Contains(out, "number 4711") || !strings.Contains(out, k1) {
		t.Errorf("result: %s", out)
	}

	// Another key at the front; the old one still decrypts.
	second := c.newKey("k2")
	k2 := idOf(second)
	delete(c.env, "TASKS_ENCRYPTION_KEYS_FILE")
	c.env["TASKS_ENCRYPTION_KEYS"] = second + "," + strings.Join(strings.Fields(first), ",")
	c.ok("schedules", "add", "s", "--task", "demo.echo", "--spec", "@daily", "--args", `"4711"`)
	if out := c.ok("keys", "--json"); out != `{"keys":[{"key_id":"`+k2+`","live_count":0,"ended_count":0,"schedule_count":1,"group_count":0,"known":true,"current":true},`+
		`{"key_id":"`+k1+`","live_count":1,"ended_count":1,"schedule_count":0,"group_count":0,"known":true,"current":false}]}`+"\n" {
		t.Errorf("keys: %s", out)
	}
	if out := c.ok("schedules", "list", "s"); !strings.Contains(out, "4711") {
		t.Errorf("schedules list: %s", out)
	}
	if out := c.ok("doctor"); !strings.Contains(out, "new tasks are encrypted with key "+k2+"; "+k1+" decrypt too") {
		t.Errorf("doctor: %s", out)
	}

	// Without the old key its tasks wait.
	c.env["TASKS_ENCRYPTION_KEYS"] = second + "," + strings.Fields(first)[0]
	if status, _, stderr := c.call("", "run", waiting); status != 1 || !strings.Contains(stderr, "is encrypted with a key that this program does not have") {
		t.Errorf("run: %d %s", status, stderr)
	}
	if out := c.ok("result", waiting, "--args"); strings.Contains(out, "4711") || !strings.Contains(out, "encrypted with key "+k1+", which this program does not have") {
		t.Errorf("result: %s", out)
	}
	if row := c.stored(waiting); row.Attempts != 0 || row.Status != queue.StatusReady {
		t.Errorf("%+v", row)
	}
	if out := c.ok("keys"); !strings.Contains(out, "lacks it") {
		t.Errorf("keys: %s", out)
	}
	if out := c.ok("doctor"); !strings.Contains(out, "keys that this program does not have: "+k1+"; they encrypt 1 unfinished task, 0 schedules") {
		t.Errorf("doctor: %s", out)
	}
	c.env["TASKS_ENCRYPTION_KEYS"] += "," + strings.Fields(first)[1]
	if out := c.ok("run", waiting, "--json"); !strings.Contains(out, `"return_value":"number 4711"`) {
		t.Errorf("run: %s", out)
	}
}

// A key that only a schedule or an open group has is needed: keys counts them, and doctor
// neither calls the key unused nor misses that a program lacks it.
func TestKeysOfSchedulesAndGroupsAreNeeded(t *testing.T) {
	for what, make := range map[string][]string{
		`"schedule_count":1,"group_count":0`: {"schedules", "add", "s", "--task", "demo.echo", "--spec", "@daily"},
		`"schedule_count":0,"group_count":1`: {"groups", "create", "g", "--on-success", "demo.echo", "--success-args", `"4711"`},
	} {
		c := newCLI(t)
		hash, k1, k2 := strings.Fields(c.ok("keys", "new", "x"))[0], c.newKey("k1"), c.newKey("k2")
		c.env["TASKS_ENCRYPTION_KEYS"] = hash + "," + k1
		c.ok(make...)
		c.env["TASKS_ENCRYPTION_KEYS"] = hash + "," + k2 + "," + k1
		if out := c.ok("keys", "--json"); !strings.Contains(out, `"key_id":"`+idOf(k1)+`","live_count":0,"ended_count":0,`+what) {
			t.Errorf("keys: %s", out)
		}
		if out := c.ok("doctor"); strings.Contains(out, "can be removed") {
			t.Errorf("doctor: %s", out)
		}
		c.env["TASKS_ENCRYPTION_KEYS"] = hash + "," + k2
		if out := c.ok("doctor"); !strings.Contains(out, "keys that this program does not have: "+idOf(k1)) {
			t.Errorf("doctor without the key: %s", out)
		}
	}
}

// Two key files of one day have keys of one name. A program with the wrong file leaves
// tasks to one with the right one, and keys and doctor say what is wrong.
func TestAnotherSecretUnderTheSameIDLeavesTasksWaiting(t *testing.T) {
	c := newCLI(t)
	hash, right, wrong := strings.Fields(c.ok("keys", "new", "x"))[0], c.newKey("2026-11-29"), c.newKey("2026-11-29")
	c.env["TASKS_ENCRYPTION_KEYS"] = hash + "," + right
	id := strings.TrimSpace(c.ok("enqueue", "demo.echo", `"4711"`))
	c.env["TASKS_ENCRYPTION_KEYS"] = hash + "," + wrong
	c.ok("work")
	if row := c.stored(id); row.Attempts != 0 || row.Status != queue.StatusReady {
		t.Errorf("%+v", row)
	}
	if out := c.ok("keys"); !strings.Contains(out, "lacks it: its "+idOf(wrong)+" has another secret") {
		t.Errorf("keys: %s", out)
	}
	if out := c.ok("doctor"); !strings.Contains(out, "does not have: "+idOf(right)+" (its "+idOf(wrong)+" has another secret)") {
		t.Errorf("doctor: %s", out)
	}
	c.env["TASKS_ENCRYPTION_KEYS"] += "," + right
	c.ok("work")
	if row := c.stored(id); row.Status != queue.StatusSuccessful {
		t.Errorf("%+v", row)
	}
}

// A program that lacks the keys of the latest tasks says so when it starts.
func TestAStartWithoutTheKeysInUseIsWarnedAbout(t *testing.T) {
	c := newCLI(t)
	hash, k1, k2 := strings.Fields(c.ok("keys", "new", "x"))[0], c.newKey("k1"), c.newKey("k2")
	c.env["TASKS_ENCRYPTION_KEYS"] = hash + "," + k1
	c.ok("enqueue", "demo.echo")
	for _, test := range []struct{ keys, want string }{
		{hash + "," + k1, ""},
		{hash + "," + k2 + "," + k1, ""},
		{hash + "," + k2, "keys that this program does not have: it runs none of those"},
		{"", "this program has no keys: it runs none of those, and stores its own in plain text"},
	} {
		var log bytes.Buffer
		app, err := Open(t.Context(), Config{Name: "server", Tasks: testTasks, IgnoreEnv: true, Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn})),
			Settings: Settings{DatabaseURL: c.env["DATABASE_URL"], TasksMode: config.ModeLocal, TasksEncryptionKeys: test.keys}})
		if err != nil {
			t.Fatal(err)
		}
		app.warnKeys(t.Context())
		if err := app.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := log.String(); !strings.Contains(got, test.want) || (test.want == "") != (got == "") || test.want != "" && !strings.Contains(got, "keys="+idOf(k1)) {
			t.Errorf("%q: %s", test.want, got)
		}
	}
}

func TestSettingsOfEncryption(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := newCLI(t)
	keys := strings.Join(strings.Fields(c.ok("keys", "new")), ",")
	for want, env := range map[string]map[string]string{
		"TASKS_ENCRYPTION_KEYS is not understood: key 1 has no ID":                                 {"TASKS_ENCRYPTION_KEYS": "s3cret-s3cret"},
		`TASKS_ENCRYPTION_KEYS is not understood: the key "hash" is missing`:                       {"TASKS_ENCRYPTION_KEYS": c.newKey("a")},
		"TASKS_ENCRYPTION_KEYS_FILE and TASKS_ENCRYPTION_KEYS are both set":                        {"TASKS_ENCRYPTION_KEYS": keys, "TASKS_ENCRYPTION_KEYS_FILE": "x"},
		"TASKS_ENCRYPTION_KEYS_FILE cannot be read: open /nowhere/keys: no such file or directory": {"TASKS_ENCRYPTION_KEYS_FILE": "/nowhere/keys"},
		"TASKS_ENCRYPTION_KEYS_FILE has no keys":                                                   {"TASKS_ENCRYPTION_KEYS_FILE": empty},
		`TASKS_ENCRYPTION must be one of "all","marked"`:                                           {"TASKS_ENCRYPTION_KEYS": keys, "TASKS_ENCRYPTION": "some"},
	} {
		c := newCLI(t)
		for name, value := range env {
			c.env[name] = value
		}
		status, _, stderr := c.call("", "enqueue", "demo.echo")
		if status != 2 || !strings.Contains(stderr, want) || strings.Contains(stderr, "s3cret") {
			t.Errorf("%v: %d %s", env, status, stderr)
		}
	}
	c.env["TASKS_ENCRYPTION_KEYS"], c.env["TASKS_ENCRYPTION"] = keys, "marked"
	if row := c.stored(c.ok("enqueue", "demo.echo", `"plain"`)); row.KeyID != "" || string(row.Args) != `"plain"` {
		t.Errorf("not marked: %+v", row)
	}
	for _, args := range [][]string{{"keys", "new", "hash"}, {"keys", "new", "a b"}, {"keys", "list", "x"}, {"keys", "new", "--json"}} {
		if status, _, stderr := c.call("", args...); status != 2 {
			t.Errorf("%v: %d %s", args, status, stderr)
		}
	}
}

// A task that must be encrypted is not stored without keys.
func TestATaskThatMustBeEncryptedNeedsKeys(t *testing.T) {
	task := queue.NewTask("t", func(context.Context, string) (string, error) { return "", nil }, queue.Encrypt(true))
	cfg := Config{Name: "server", Tasks: []queue.Definition{task}, IgnoreEnv: true, Logger: slog.New(slog.DiscardHandler),
		Settings: Settings{DatabaseURL: "sqlite::memory:", TasksMode: config.ModeLocal}}
	if _, err := Open(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "task t is never stored in plain text") {
		t.Errorf("got %v", err)
	}
	c := newCLI(t)
	cfg.Settings.TasksEncryptionKeys, cfg.Settings.TasksEncryption = c.ok("keys", "new"), "marked"
	var ran []string
	cfg.Middleware = []queue.Middleware{{Run: func(next queue.RunFunc) queue.RunFunc {
		return func(ctx context.Context, row *queue.Row) error {
			ran = append(ran, string(row.Args))
			return next(ctx, row)
		}
	}}}
	app, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	handle, err := task.Enqueue(t.Context(), app.Client(), "4711")
	if err != nil || handle.Row.KeyID == "" {
		t.Errorf("%+v %v", handle, err)
	}
	executor, err := queue.NewExecutor(app.Client(), queue.ExecutorConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if run, err := executor.RunByID(t.Context(), handle.ID, queue.RunOptions{}); err != nil || run.Outcome != queue.OutcomeSucceeded {
		t.Errorf("%+v %v", run, err)
	}
	if err := app.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if strings.Join(ran, " ") != `"4711"` {
		t.Errorf("middleware of the program saw %q", ran)
	}
}
