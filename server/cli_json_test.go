package server

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/api"
)

// With --json, stdout has the error that the endpoint would have answered.
func TestErrorsAreJSONTooWhereTheEndpointAnswersThem(t *testing.T) {
	c := newCLI(t)
	id := uuid.NewString()
	c.ok("enqueue", "demo.echo", "1", "--id", id)
	for _, step := range []struct {
		args   []string
		status int
		stdout string
		stderr string
	}{
		{[]string{"result", uuid.NewString()}, 1, `{"error":"Task not found"}`, "not found: it was never in this database"},
		{[]string{"run", uuid.NewString()}, 1, `{"error":"Task not found"}`, ""},
		{[]string{"enqueue", "demo.echo", "2", "--id", id}, 2, `{"error":"this id belongs to another task already","result":{`, "server: "},
		{[]string{"enqueue", "demo.ecko"}, 2, `{"error":"task \"demo.ecko\" is not registered`, "is not registered"},
		{[]string{"enqueue", "demo.echo", "--backend", "x"}, 2, `{"error":"Invalid backend name"}`, `--backend "x" is not known`},
		{[]string{"status", "--backend", "x"}, 2, `{"error":"Invalid backend name"}`, `--backend "x" is not known`},
	} {
		status, stdout, stderr := c.call("", append(step.args, "--json")...)
		if status != step.status || !strings.HasPrefix(stdout, step.stdout) || strings.Count(stdout, "\n") != 1 || !strings.Contains(stderr, step.stderr) {
			t.Errorf("%v: status %d\n%s%s", step.args, status, stdout, stderr)
		}
		if _, stdout, _ := c.call("", step.args...); stdout != "" {
			t.Errorf("%v prints %q", step.args, stdout)
		}
	}
}

// Every command that takes an ID names it, and the database that has no such task.
func TestAbsentTasksAreNamedOnce(t *testing.T) {
	c := newCLI(t)
	c.ok("migrate")
	for _, command := range []string{"result", "run", "cancel", "retry"} {
		id := uuid.NewString()
		status, stdout, stderr := c.call("", command, id)
		if status != 1 || stdout != "" || !strings.HasSuffix(stderr, "task "+id+" not found: it was never in this database ("+c.env["DATABASE_URL"]+"), or was deleted or purged\n") || strings.Count(stderr, "not found") != 1 {
			t.Errorf("%s: %d %s%s", command, status, stdout, stderr)
		}
	}
}

func TestEveryCommandThatPrintsHasJSON(t *testing.T) {
	c := newCLI(t)
	for _, step := range []struct{ args, want string }{
		{"migrate --json", `{"applied":[{"name":"00001_`},
		{"migrate up --json", `{"applied":[]}`},
		{"migrate status --json", `{"migrations":[{"name":"00001_`},
		{"migrate sql --json", `{"sql":"`},
		{"requeue --older-than 1m --json", `{"ready":0,"failed":0,"dry_run":false}`},
		{"requeue --older-than 1m --dry-run --json", `{"ready":0,"failed":0,"dry_run":true}`},
	} {
		if out := c.ok(strings.Fields(step.args)...); !strings.HasPrefix(out, step.want) || strings.Count(out, "\n") != 1 {
			t.Errorf("%s: %s", step.args, out)
		}
	}
	if out := c.ok("migrate", "status", "--json"); !strings.Contains(out, `"applied":true,"applied_at":"2`) || strings.Contains(out, `"applied":false`) {
		t.Error(out)
	}
	prints := []string{"enqueue", "run", "result", "status", "purge", "requeue", "sweep", "cancel", "delete", "audit", "figures", "list", "retry", "tasks", "schedules", "queues", "groups", "limits", "keys", "migrate", "doctor", "version"}
	for _, command := range commandLine(t).Children {
		has := slices.ContainsFunc(command.Flags, func(flag *kong.Flag) bool { return flag.Name == "json" })
		if want := slices.Contains(prints, command.Name); has != want {
			t.Errorf("%s has --json: %v, want %v", command.Name, has, want)
		}
	}
}

// What a flag refuses by its kind and what by its bounds are the same.
func TestFlagsNameTheirBounds(t *testing.T) {
	bounds := map[string]string{
		"purge --days": fmt.Sprintf("from 0 to %d", api.MaxDays), "purge --batch-size": fmt.Sprintf("from 1 to %d", api.MaxBatch),
		"requeue --batch-size": fmt.Sprintf("from 1 to %d", api.MaxBatch), "sweep --limit": fmt.Sprintf("from 1 to %d", api.MaxBatch),
		"list --limit": fmt.Sprintf("from 1 to %d", api.MaxListLimit), "list --priority": fmt.Sprintf("from %d to %d", queue.MinPriority, queue.MaxPriority),
	}
	for _, command := range commandLine(t).Children {
		for _, flag := range command.Flags {
			name := command.Name + " --" + flag.Name
			if want, bounded := bounds[name]; bounded && flag.Tag.Get("accepts") != want {
				t.Errorf("%s accepts %q, want %q", name, flag.Tag.Get("accepts"), want)
			}
			delete(bounds, name)
		}
	}
	if len(bounds) > 0 {
		t.Errorf("there are no flags %v", bounds)
	}
}
