package server

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestAuditPrintsWhoDidWhat(t *testing.T) {
	c := newCLI(t)
	c.ok("migrate")
	if out := c.ok("audit", "--json"); out != "" {
		t.Errorf("an empty log: %q", out)
	}
	for range 60 {
		c.ok("queues", "pause", "emails", "--reason", "<down>")
		c.ok("queues", "resume", "emails")
	}
	actions := func(args ...string) (list []string) {
		for line := range strings.Lines(c.ok(append([]string{"audit", "--json"}, args...)...)) {
			var e struct{ Actor, Action, Target, At string }
			if err := json.Unmarshal([]byte(line), &e); err != nil || e.Actor == "" || e.At == "" || !strings.Contains(e.Target, "emails") {
				t.Fatalf("%q: %v", line, err)
			}
			list = append(list, e.Action)
		}
		return list
	}
	if all := actions(); len(all) != 120 || all[0] != "resume queue" || all[1] != "pause queue" {
		t.Errorf("%d entries: %q", len(all), all)
	}
	if n := len(actions("--since", "7d")); n != 120 {
		t.Errorf("since 7d: %d entries", n)
	}
	if n := len(actions("--until", "7d")); n != 0 {
		t.Errorf("until 7d: %d entries", n)
	}
	status, out, said := c.call("", "audit")
	if status != 0 || strings.Count(out, "\n") != 51 || !strings.Contains(said, "more with --cursor ") {
		t.Errorf("the table: %d, %d lines, %q", status, strings.Count(out, "\n"), said)
	}
	_, cursor, _ := strings.Cut(strings.TrimSpace(said), "--cursor ")
	if n := len(actions("--cursor", cursor)); n != 70 {
		t.Errorf("after the first 50: %d entries", n)
	}
	for flag, want := range map[string]string{"--limit=0": "--limit must be at least 1", "--since=soon": "--since must be a time", "--cursor=x": "--cursor must be what an earlier call named"} {
		if status, _, said := c.call("", "audit", flag); status != 2 || !strings.Contains(said, want) {
			t.Errorf("%s: %d, %q", flag, status, said)
		}
	}
}
