package deploy_test

import (
	"slices"
	"strings"
	"testing"
)

func TestAlertsAreMadeOnce(t *testing.T) {
	p := newProject(t)
	args := []string{"--project", "my-project", "--channel", "projects/my-project/notificationChannels/1", "--channel", "projects/my-project/notificationChannels/2"}
	dry := p.run(nil, "deploy/alerts.sh", append(slices.Clone(args), "--dry-run")...)
	if dry.status != 0 || len(p.calls()) > 0 {
		t.Fatalf("%d %s: it called %q", dry.status, dry.stderr, p.calls())
	}
	got := p.run(nil, "deploy/alerts.sh", args...)
	if got.status != 0 || !strings.HasSuffix(got.stdout, "done: 6 changes\n") || strings.Count(got.stdout, "gcloud ") != strings.Count(dry.stdout, "gcloud ") {
		t.Fatalf("%d %s%s", got.status, got.stdout, got.stderr)
	}
	wantCall(t, p.changes(), "alpha monitoring policies create", "alerts/stranded.json",
		"--notification-channels=projects/my-project/notificationChannels/1,projects/my-project/notificationChannels/2")
	for _, text := range p.state().Files[:5] {
		// Before the first metric, Cloud Monitoring refuses a policy without this.
		if !strings.Contains(text, `"disableMetricValidation": true`) {
			t.Errorf("%s", text)
		}
	}
	before := len(p.changes())
	if again := p.run(nil, "deploy/alerts.sh", args...); again.status != 0 || !strings.HasSuffix(again.stdout, "nothing was changed\n") || len(p.changes()) != before {
		t.Errorf("%s%s", again.stdout, again.stderr)
	}
	for _, c := range []struct {
		want string
		args []string
	}{
		{"--project must be", nil},
		{"--channel must be", []string{"--project", "my-project", "--channel", "me@example.com"}},
		{"--channel needs a value", []string{"--project", "my-project", "--channel"}},
		{"unknown option --what", []string{"--what"}},
	} {
		if got := p.run(nil, "deploy/alerts.sh", c.args...); got.status != 1 || !strings.Contains(got.stderr, c.want) {
			t.Errorf("%q: %d %s", c.args, got.status, got.stderr)
		}
	}
}
