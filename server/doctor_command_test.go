package server

import (
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/server/internal/doctor"
)

func TestDoctorFindsNothingWhereNothingIsWrong(t *testing.T) {
	for name, databaseURL := range map[string]func(testing.TB) string{
		"PostgreSQL": testdb.Postgres, "MariaDB": testdb.MariaDB, "SQLite": nil,
	} {
		t.Run(name, func(t *testing.T) {
			p := newTarget(t)
			if databaseURL != nil {
				p.keep(databaseURL(t))
			}
			p.facts = safe
			p.employ(procJob)
			results := p.wants()
			for _, r := range results {
				expected := slices.Contains([]string{"integrity", "packet size", "invoker", "delivery"}, r.Check) // for SQLite, for MySQL, for Cloud Run, on request
				if r.Status == doctor.Skipped && name == "PostgreSQL" && !expected {
					t.Errorf("skipped: %+v", r)
				}
			}
			if len(p.fake.Tasks()) != 0 {
				t.Error("it left a Cloud Task behind")
			}
		})
	}
}

// What depends on a fault is skipped and names it, down to the root.
func TestDoctorSkipsWhatItCannotKnow(t *testing.T) {
	p := newTarget(t)
	p.keep(testdb.Postgres(t))
	p.env["DATABASE_URL"] = "postgres://u@127.0.0.1:1/d"
	p.handler.Close()
	p.env["TASKS_QUEUES"] = "nowhere"
	results := p.wants("fail database: 127.0.0.1:1", "fail handler: refused", "fail queues: nowhere")
	for check, need := range map[string]string{
		"version": "database", "schema": "database", "sweeper": "schema", "strangers": "handler", "clock": "handler",
		"queue retries": "queues", "queue rates": "queues", "create task": "queues", "act as": "create task",
	} {
		if statusOf(results, check) != doctor.Skipped || detailOf(results, check) != "it needs "+need {
			t.Errorf("%s: %s %s", check, statusOf(results, check), detailOf(results, check))
		}
	}
}

func TestDoctorInAnEmptyDirectory(t *testing.T) {
	t.Chdir(t.TempDir())
	c := &cli{t: t, env: map[string]string{}}
	out := c.ok("doctor")
	for _, part := range []string{"local (auto", "sqlite:claimcheck.db (default)", "does not exist yet", "local mode", " 0 to look at, 0 failed, "} {
		if !strings.Contains(out, part) {
			t.Errorf("it does not say %q:\n%s", part, out)
		}
	}
	if _, err := os.Stat("claimcheck.db"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it made the database: %v", err)
	}
	c.ok("enqueue", "demo.echo")
	if out := c.ok("doctor"); !strings.Contains(out, "up to date") || !strings.Contains(out, "SQLite 3") {
		t.Error(out)
	}
}

func TestDoctorCallsAsACommand(t *testing.T) {
	t.Chdir(t.TempDir())
	c := &cli{t: t, env: map[string]string{"TASKS_MODE": "cloudtasks", "TASK_API_TOKEN": targetSecret}}
	status, out, stderr := c.call("", "doctor", "--json", "--tasks-queues=default")
	var results []map[string]string
	if err := json.Unmarshal([]byte(out), &results); err != nil || status != 1 || stderr != "" {
		t.Fatalf("%d %v\n%s%s", status, err, out, stderr)
	}
	seen := map[string]map[string]string{}
	for _, r := range results {
		seen[r["check"]] = r
		if len(r) != 4 {
			t.Errorf("%v", r)
		}
	}
	for check, detail := range map[string]string{
		"TASKS_MODE": "cloudtasks (variable TASKS_MODE)", "TASKS_QUEUES": "default (flag --tasks-queues)",
		"TASK_API_TOKEN": "set, 32 characters (variable TASK_API_TOKEN)",
	} {
		if seen[check]["detail"] != detail || seen[check]["status"] != "ok" {
			t.Errorf("%s: %v", check, seen[check])
		}
	}
	for _, missing := range []string{"CLOUD_TASKS_PROJECT", "CLOUD_TASKS_LOCATION", "TASK_HANDLER_URL", "OIDC_SERVICE_ACCOUNT_EMAIL"} {
		if seen[missing]["status"] != "fail" || !strings.Contains(seen[missing]["fix"], missing+"=") {
			t.Errorf("%s: %v", missing, seen[missing])
		}
	}
	if strings.Contains(out, targetSecret) {
		t.Error("it reveals the secret")
	}
	for want, args := range map[string][]string{
		"--max-instances": {"doctor", "--max-instances=-1"}, "--tasks-lease": {"doctor", "--tasks-lease=soon"},
	} {
		if status, _, stderr := c.call("", args...); status != 2 || !strings.Contains(stderr, want) {
			t.Errorf("%v: %d %s", args, status, stderr)
		}
	}
}

func TestDoctorInPullMode(t *testing.T) {
	t.Chdir(t.TempDir())
	c := &cli{t: t, env: map[string]string{"TASKS_MODE": "pull"}}
	status, out, _ := c.call("", "doctor")
	if status != 1 || !strings.Contains(out, "warn     access") || !strings.Contains(out, "fail     schema") || !strings.Contains(out, "pull mode") {
		t.Errorf("%d\n%s", status, out)
	}
	c.ok("migrate")
	c.env["OIDC_ALLOWED_EMAILS"], c.env["OIDC_AUDIENCE"] = "a@b.c", "https://x.example"
	_, out, _ = c.call("", "doctor")
	if !strings.Contains(out, "OIDC tokens of a@b.c") || strings.Contains(out, "warn     access") {
		t.Error(out)
	}
}

// No setting whose name says that it is secret is printed.
func TestDoctorPrintsNoSecret(t *testing.T) {
	c := &cli{t: t, env: map[string]string{"DATABASE_URL": "postgres://u:" + targetSecret + "@127.0.0.1:1/d?sslpassword=" + targetSecret}}
	t.Chdir(t.TempDir())
	for _, name := range []string{"TASK_API_TOKEN", "TASK_HMAC_SECRET", "ADMIN_TOKEN", "WEBHOOK_SECRET"} {
		c.env[name] = targetSecret
	}
	c.env["ADMIN_READONLY_TOKEN"] = targetSecret + "x"
	c.env["TASK_HANDLER_URL"] = "https://u:" + targetSecret + "@h/{task_id}"
	for _, args := range [][]string{{"doctor"}, {"doctor", "--json"}, {"doctor", "--tasks-mode=cloudtasks"}} {
		_, out, stderr := c.call("", args...)
		if strings.Contains(out+stderr, targetSecret) || !strings.Contains(out, "ADMIN_TOKEN") {
			t.Errorf("%v:\n%s%s", args, out, stderr)
		}
	}
}
