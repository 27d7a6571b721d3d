package server

import (
	"strings"
	"testing"
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
		{"schedules remove nightly", "nightly removed\n"},
	} {
		if out := c.ok(strings.Fields(step.args)...); !strings.Contains(out, step.want) {
			t.Errorf("%s: %s", step.args, out)
		}
	}
}
