package server

import (
	"strings"
	"testing"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

func TestSchedulesFromTheCommandLine(t *testing.T) {
	c := newCLI(t)
	c.ok("migrate")
	for _, step := range []struct{ args, want string }{
		{"schedules --json", `{"schedules":[]}`},
		{"schedules add nightly --task demo.echo --spec @daily --zone Europe/Berlin --args 1", "nightly added; next at 2"},
		{"schedules add nightly --task demo.echo --spec @hourly --overlap skip --json", `{"schedule":{"name":"nightly","task_path":"demo.echo","spec":"@hourly","zone":"UTC","args":null,`},
		{"schedules", "nightly"},
		{"schedules pause nightly", "nightly paused\n"},
		{"schedules list nightly", "next: paused"},
		{"schedules run nightly --json", `{"result":{"id":"`},
		{"schedules resume nightly", "nightly resumed; next at 2"},
		{"schedules list nightly --json", `"next_times":["2`},
		{"schedules add nightly --task demo.echo --spec @daily --keep-successful 24h --keep-failed 720h --expires-in 10m --unique-key k --unique-for kept --json",
			`"keep_successful":"24h0m0s","keep_failed":"720h0m0s","expires_in":"10m0s","unique_key":"k","unique_for":"kept"}`},
		{"schedules list nightly", "\n  queue_name default\n  priority 0\n  backend_name default\n"},
		{"schedules list nightly", "  expires_in 10m0s\n  unique_key k\n"},
		{"schedules run nightly", "-"},
		{"schedules run nightly --json", `"existed":true`},
		{"schedules list nightly", "skipped: key  0"},
		{"schedules remove nightly", "nightly removed\n"},
	} {
		if out := c.ok(strings.Fields(step.args)...); !strings.Contains(out, step.want) {
			t.Errorf("%s: %s", step.args, out)
		}
	}
}

func TestRefusedOptionsOfSchedules(t *testing.T) {
	c := newCLI(t)
	c.ok("migrate")
	for args, want := range map[string]string{
		"add s --task demo.echo --spec @daily --keep-failed 1h":              "--keep-failed belongs together with --keep-successful",
		"add s --task demo.echo --spec @daily --expires-in 1ms":              "expires_in of a schedule must be at least 1s",
		"add s --task demo.echo --spec @daily --unique-for 1h":               "--unique-for needs --unique-key",
		"add s --task demo.echo --spec @daily --unique-key k --unique-for x": "--unique-for must be",
		"pause s --expires-in 1h":                                            "--expires-in belongs to schedules add",
	} {
		if status, stdout, stderr := c.call("", append([]string{"schedules"}, strings.Fields(args)...)...); status != 2 || stdout != "" || !strings.Contains(stderr, want) {
			t.Errorf("%s: %d %s", args, status, stderr)
		}
	}
}

// A task that was enqueued ahead of its time has not run yet.
func TestALastTimeThatIsStillToCome(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for after, want := range map[time.Duration]bool{time.Minute: true, -time.Minute: false} {
		s := &queue.Schedule{Zone: "UTC", LastAt: now.Add(after)}
		if got := lastOf(s, now); strings.HasSuffix(got, " (enqueued ahead)") != want {
			t.Errorf("%s after now: %q", after, got)
		}
	}
}
