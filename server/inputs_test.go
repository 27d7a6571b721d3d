package server

import (
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/claimcheck-go/claimcheck/server/internal/config"
)

// settingValues are a value of each setting that is not its default.
var settingValues = map[string]string{
	"DATABASE_URL": "postgres://u:p@h/d", "DB_MAX_CONNS": "7", "DB_POOLER": "true",
	"CLOUD_SQL_INSTANCE": "p:r:i", "CLOUD_SQL_IAM_AUTH": "true", "CLOUD_SQL_PRIVATE_IP": "true",
	"ALLOYDB_INSTANCE": "projects/p/locations/r/clusters/c/instances/i", "ALLOYDB_IAM_AUTH": "true", "ALLOYDB_ADDRESS": "psc",
	"TASKS_MODE": "pull", "TASKS_LEASE": "90s", "TASKS_SWEEP_INTERVAL": "20s", "TASKS_TIMEOUT": "7m",
	"TASKS_STRICT_ARGS": "true", "TASKS_DISPATCH_TIMEOUT": "2s", "TASKS_BATCH_CREATE": "true", "TASKS_MAX_BODY": "2MiB", "TASKS_QUEUES": "a,b",
	"TASKS_KEEP_SUCCESSFUL": "1h", "TASKS_KEEP_FAILED": "2h", "TASKS_MAX_BACKLOG": "a=1,2", "TASKS_ENCRYPTION_KEYS": "hash:x,a:y", "TASKS_ENCRYPTION_KEYS_FILE": "f", "TASKS_ENCRYPTION": "marked", "TASKS_QUEUE_ALIASES": "a=b",
	"CLOUD_TASKS_PROJECT": "p", "CLOUD_TASKS_LOCATION": "l", "TASK_HANDLER_URL": "https://h/{task_id}/", "TASK_HANDLER_PATH": "/x/{task_id}/",
	"CLOUD_RUN_TAG": "green", "APP_ENGINE_TARGET": "true", "JOBS_NAME": "j", "REQUEST_TIMEOUT": "100s", "CLOUD_TASKS_EMULATOR_HOST": "h:1",
	"OIDC_SERVICE_ACCOUNT_EMAIL": "a@b.c", "OIDC_AUDIENCE": "https://h", "OIDC_ALLOWED_EMAILS": "d@e.f", "OIDC_TRUST_PLATFORM": "true",
	"OIDC_ISSUER": "https://i", "OIDC_CERTS_URL": "https://c", "TASK_API_TOKEN": "secret", "TASK_HMAC_SECRET": "secret",
	"ADMIN_TOKEN": "secret", "ADMIN_READONLY_TOKEN": "secret", "IAP_AUDIENCE": "/x", "ADMIN_REDACT": "t",
	"TASKS_NOTICE_URL": "https://h/x", "TASKS_NOTICE_FORMAT": "slack", "TASKS_NOTICE_INTERVAL": "1m", "TASKS_NOTICE_FAILURES": "3", "TASKS_NOTICE_QUEUE": "ops", "TASKS_NOTICE_ADMIN_URL": "https://h/admin",
	"ADMIN_BRAND": "Shop", "ADMIN_BRAND_URL": "/", "ADMIN_PROXY_PREFIX": "/ops", "ADMIN_FORWARDED_PREFIX": "true",
	"WEBHOOK_SECRET": "whsec_eA==", "WEBHOOK_ALLOW_HOSTS": "h", "METRICS": "on", "TRACE_DATABASE": "true",
	"LOG_LEVEL": "warn", "LOG_FORMAT": "json",
}

// settingsOf parses a command line as main does.
func settingsOf(t *testing.T, env config.Environment, args ...string) config.Settings {
	t.Helper()
	var g grammar
	sources := config.NewSources(append([]string{"serve"}, args...), env)
	parser, err := kong.New(&g, sources.Options()...)
	if err != nil {
		t.Fatal(err)
	}
	command, err := sources.Parse(parser)
	if err == nil {
		err = sources.CheckBlank(command)
	}
	if err != nil {
		t.Fatalf("%q: %v", args, err)
	}
	return g.Settings
}

// `echo … | gcloud secrets versions add` ends a secret with a line break, and
// files of other systems with a carriage return too.
func TestEverySettingIsTrimmedHoweverItIsSet(t *testing.T) {
	for _, name := range variablesOf(commandLine(t)) {
		value, known := settingValues[name]
		if !known {
			t.Errorf("settingValues has no %s", name)
			continue
		}
		flag := "--" + strings.ReplaceAll(strings.ToLower(name), "_", "-")
		want := settingsOf(t, nil, flag+"="+value)
		if reflect.DeepEqual(want, settingsOf(t, nil)) {
			t.Errorf("%s=%s sets nothing", name, value)
		}
		for _, padded := range []string{value + "\n", value + "\r\n", " \t" + value + " "} {
			for how, got := range map[string]config.Settings{
				"--flag=value": settingsOf(t, nil, flag+"="+padded),
				"variable":     settingsOf(t, config.Environment{name: padded}),
			} {
				if !reflect.DeepEqual(got, want) {
					t.Errorf("%s=%q as %s gives %+v, want %+v", name, padded, how, got, want)
				}
			}
			// A flag in two arguments, beside a variable that is empty.
			if value != "true" && !reflect.DeepEqual(settingsOf(t, config.Environment{name: ""}, flag, padded), want) {
				t.Errorf("%s %q is not trimmed", flag, padded)
			}
		}
	}
}

// A second SQLite file beside the first was what a line break made.
func TestALineBreakMakesNoSecondDatabase(t *testing.T) {
	dir := t.TempDir()
	for _, databaseURL := range []string{"sqlite:tasks.db", "sqlite:tasks.db\n"} {
		if r := procRun(t, dir, []string{"DATABASE_URL=" + databaseURL, "CLAIMCHECK_QUEUE= emails\n"}, "", "enqueue", "demo.echo"); r.status != 0 {
			t.Errorf("%q: %+v", databaseURL, r)
		}
	}
	r := procRun(t, dir, nil, "", "status", "--json", "--database-url", "sqlite:tasks.db\n", "--queue=emails\r\n")
	if files, _ := filepath.Glob(dir + "/*.db*"); r.status != 0 || !strings.Contains(r.stdout, `"pending_count":2,`) || len(files) != 2 { // with its lock
		t.Errorf("%q\n%+v", files, r)
	}
}

// What is blank is neither a value nor taken for unset.
func TestBlankSettingsAreRefusedByName(t *testing.T) {
	for _, c := range []struct {
		env  []string
		args string
		want string
	}{
		{[]string{"DATABASE_URL=\n"}, "status", "DATABASE_URL is blank"},
		{[]string{"TASK_API_TOKEN= \t"}, "serve", "TASK_API_TOKEN is blank"},
		{[]string{"TASK_API_TOKEN=\n", "ADMIN_TOKEN=\r\n"}, "serve", "ADMIN_TOKEN is blank"},
		{[]string{"CLAIMCHECK_TASK=\n"}, "purge", "CLAIMCHECK_TASK is blank"},
	} {
		procRun(t, t.TempDir(), c.env, "", c.args).wantRefusal(t, 2, c.want)
	}
	procRun(t, t.TempDir(), nil, "", "purge", "--task=\t").wantRefusal(t, 2, "--task is blank")
	if r := procRun(t, t.TempDir(), []string{"CLAIMCHECK_TASK=\n", "DATABASE_URL="}, "", "tasks"); r.status != 0 {
		t.Errorf("another command's flag: %+v", r)
	}
	if r := procRun(t, t.TempDir(), []string{"TASK_API_TOKEN=\n"}, "", "doctor"); !strings.HasPrefix(lineOf(r.stdout, "TASK_API_TOKEN"), "fail") {
		t.Errorf("doctor: %+v", r)
	}
}

// The text of a refusal names what was set: the variable or the flag.
func TestARefusalNamesWhereTheValueCameFrom(t *testing.T) {
	for _, c := range []struct {
		variable, args string
		want, never    string
	}{
		{"TASKS_MODE=Local", "tasks", `TASKS_MODE must be one of "auto","local","cloudtasks","pull" but got "Local"`, "--tasks-mode"},
		{"", "tasks --tasks-mode=Local", "--tasks-mode must be one of", "TASKS_MODE"},
		{"TASKS_LEASE=soon", "tasks", `TASKS_LEASE: must be a duration such as 90s or 5m, or a number of seconds, not "soon"`, "--tasks-lease"},
		{"TASKS_LEASE=10ms", "serve", "TASKS_LEASE must be at least 1s, not 10ms", "--tasks-lease"},
		{"", "serve --tasks-lease=10ms", "TASKS_LEASE must be at least 1s, not 10ms (set by --tasks-lease)", "\x00"},
		{"CLAIMCHECK_CONCURRENCY=0", "serve", "CLAIMCHECK_CONCURRENCY must be at least 1, not 0", "--concurrency"},
		{"CLAIMCHECK_CONCURRENCY=x", "work", "CLAIMCHECK_CONCURRENCY: must be a whole number of at least 1", "--concurrency"},
		{"CLAIMCHECK_CONCURRENCY=5", "work --concurrency=0", "--concurrency must be at least 1, not 0", "CLAIMCHECK"},
		{"", "serve --concurrency 0", "--concurrency must be at least 1, not 0: leave it out for the default", "CLAIMCHECK"},
		{"CLAIMCHECK_OLDER_THAN=15", "requeue", "CLAIMCHECK_OLDER_THAN: must be a duration", "--older-than"},
		{"DATABASE_URL=nosuch://x", "migrate", "DATABASE_URL must begin with", "--database-url"},
		{"DATABASE_URL=sqlite:x.db", "migrate --database-url nosuch://x", "not \"nosuch:\" (set by --database-url)", "\x00"},
	} {
		var env []string
		if c.variable != "" {
			env = []string{c.variable}
		}
		r := procRun(t, t.TempDir(), env, "", strings.Fields(c.args)...)
		r.wantRefusal(t, 2, c.want)
		if strings.Contains(r.stderr, c.never) || strings.Contains(r.stderr, "envar") {
			t.Errorf("%s %s: %s names %s", c.variable, c.args, r.stderr, c.never)
		}
	}
	if r := procRun(t, t.TempDir(), []string{"TASKS_LEASE=soon"}, "", "tasks", "--tasks-lease=60"); r.status != 0 {
		t.Errorf("a flag does not win over a variable that cannot be read: %+v", r)
	}
}

// A number without a unit is seconds.
func TestANumberIsSecondsEverywhere(t *testing.T) {
	for _, name := range []string{"TASKS_LEASE", "TASKS_SWEEP_INTERVAL", "TASKS_TIMEOUT", "TASKS_DISPATCH_TIMEOUT", "REQUEST_TIMEOUT"} {
		flag := "--" + strings.ReplaceAll(strings.ToLower(name), "_", "-") + "="
		for number, duration := range map[string]string{"60": "60s", "1.5": "1500ms", "0": "0s"} {
			if !reflect.DeepEqual(settingsOf(t, nil, flag+number), settingsOf(t, nil, flag+duration)) {
				t.Errorf("%s%s is not %s", flag, number, duration)
			}
		}
	}
	c := newCLI(t)
	for _, args := range []string{"work --interval 0.5 --shutdown-timeout 3", "enqueue demo.echo --run-after 7200"} {
		c.ok(strings.Fields(args)...)
	}
	if out := c.ok("status", "--json"); !strings.Contains(out, `"delayed_count":1,`) {
		t.Error(out)
	}
	if status, _, stderr := c.call("", "requeue", "--older-than=15"); status != 2 || !strings.Contains(stderr, "the unit is required") {
		t.Errorf("requeue: %d %s", status, stderr)
	}
}
