package deploy_test

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/claimcheck-go/claimcheck/deploy/internal/gcloudfake"
)

var recordGrammar = flag.Bool("gcloud.record", false, "write what the installed gcloud accepts to internal/gcloudfake/grammar.json")

// invocation is a gcloud command that this repository contains.
type invocation struct {
	where string
	args  []string
	// In prose a command may lack what it requires: `gcloud tasks queues create`.
	partial bool
}

// scriptCommands are the calls of the scripts, with every option.
func scriptCommands(t *testing.T, gcloudPath string) []invocation {
	t.Helper()
	url := filepath.Join(t.TempDir(), "url")
	if err := os.WriteFile(url, []byte("postgres://u:p@db.example/tasks"), 0o600); err != nil {
		t.Fatal(err)
	}
	manifest := filepath.Join(t.TempDir(), "service.yaml")
	if err := os.WriteFile(manifest, []byte(rendered(t, "service.yaml")), 0o600); err != nil {
		t.Fatal(err)
	}
	const iam = "IAMCREDENTIALS_URL=http://127.0.0.1:1" // nothing listens there
	old := map[string]string{askManifest: "another", askLatest: "claimcheck-2", askTraffic: "claimcheck-1,100,"}
	latest := map[string]string{askLatest: "claimcheck-2", askTraffic: "claimcheck-1,100,\nclaimcheck-2,,candidate"}
	var found []invocation
	for _, c := range []struct {
		described map[string]string
		fails     bool
		script    string
		runs      [][]string
	}{
		{nil, false, "deploy/setup.sh", [][]string{setupArgs(), setupArgs("--purge-days", "90"), setupArgs("--shards", "default=2")}},
		{nil, false, "deploy/setup.sh", [][]string{setupArgs("--database-url-file", url, "--no-doctor")}},
		{nil, false, "deploy/setup.sh", [][]string{setupArgs("--platform", "app-engine")}},
		{nil, false, "deploy/alerts.sh", [][]string{{"--project", "my-project", "--channel", "projects/my-project/notificationChannels/1"}, {"--project", "my-project"}}},
		{nil, false, "deploy/release.sh", [][]string{{"migrate"}, {"candidate"}}},
		{old, false, "deploy/release.sh", [][]string{{"candidate"}, {"traffic"}}},
		{latest, false, "deploy/release.sh", [][]string{{"traffic"}}},
		{nil, true, "deploy/release.sh", [][]string{{"smoke"}}},
	} {
		p := newProject(t)
		if c.described != nil {
			p = released(t, c.described)
		}
		p.path = gcloudPath
		for _, args := range c.runs {
			if got := p.run(append(slices.Clone(releaseEnv), iam), c.script, args...); (got.status != 0) != c.fails {
				t.Fatalf("%s %q: %d %s", c.script, args, got.status, got.stderr)
			}
		}
		if p.setsRetries(t) && !slices.ContainsFunc(p.calls(), func(call string) bool { return strings.HasPrefix(call, "tasks queues update") }) {
			t.Fatal("a queue's retry settings were not corrected")
		}
		for _, args := range p.state().Calls {
			if args[0] == "run" && args[2] == "replace" { // gcloud reads the file when it parses
				args[3] = manifest
			}
			found = append(found, invocation{where: c.script, args: args})
		}
	}
	return found
}

// setsRetries runs setup.sh once more where a queue has other retry settings, if the
// project has a queue.
func (p *fakeProject) setsRetries(t *testing.T) bool {
	t.Helper()
	s := p.state()
	if !slices.Contains(s.Resources["tasks queues"], "claimcheck") || len(s.Resources["run services"]) == 0 || s.Secrets["claimcheck-database-url"] == "postgres://u:p@db.example/tasks" {
		return false
	}
	s.Described["tasks queues claimcheck "+gcloudfake.RetryFormat] = "100,0.100s,3600s,16,"
	delete(s.Secrets, "claimcheck-database-url") // sets another password
	p.store(s)
	if got := p.run(nil, "deploy/setup.sh", projectArgs...); got.status != 0 {
		t.Fatal(got.stderr)
	}
	return true
}

// everyCommand are the distinct gcloud commands of the repository.
func everyCommand(t *testing.T, real *gcloudfake.Real, gcloudPath string) []invocation {
	t.Helper()
	var distinct []invocation
	seen := map[string]bool{}
	for _, c := range slices.Concat(scriptCommands(t, gcloudPath), blockCommands(t), spanCommands(t), codeCommands(t, real)) {
		if key := strings.Join(c.args, "\x00"); !seen[key] {
			seen[key] = true
			distinct = append(distinct, c)
		}
	}
	return distinct
}

// lacksOnly are gcloud's errors about a command that is right as far as it goes.
var lacksOnly = regexp.MustCompile(`(?i)must be specified|command name argument expected|at most one of|exactly one of|at least one of|expected one argument`)

// TestEveryGcloudCommandIsAccepted checks every command that a script, a page or a
// message of the server contains, with the record of what gcloud accepts, and with
// gcloud's own argument parser when a flag asks for it: make gcloud-test does.
func TestEveryGcloudCommandIsAccepted(t *testing.T) {
	var real *gcloudfake.Real
	if *gcloudRuns || *recordGrammar {
		real = installedGcloud(t)
	}
	path := ""
	if *recordGrammar {
		path = os.Getenv("PATH")
	}
	commands := everyCommand(t, real, path)
	count := map[string]int{}
	for _, c := range commands {
		place, _, _ := strings.Cut(c.where, ":")
		count[place]++
	}
	// Nothing is found where a pattern no longer matches.
	for _, place := range []string{"deploy/setup.sh", "deploy/release.sh", "deploy/alerts.sh", "docs/deploy-cloud-run.md", "docs/deploy-app-engine.md", "docs/operations.md",
		"docs/security.md", "docs/long-tasks.md", "docs/doctor.md", "docs/scaling.md", "docs/telemetry.md", "docs/teardown.md", "docs/http.md", "docs/worker-pools.md", "cloudbuild.yaml", "server/internal/doctor", "cloudtasks", "cloudrunjobs"} {
		if count[place] == 0 {
			t.Errorf("no command was found in %s", place)
		}
	}
	if real != nil {
		checkWithGcloud(t, real, commands)
	}
	grammar, err := gcloudfake.Recorded()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range commands {
		if *recordGrammar {
			break // the next run reads what this one has written
		}
		if _, err := grammar.Parse(c.args); err != nil && (!c.partial || !errors.Is(err, gcloudfake.ErrIncomplete)) {
			t.Errorf("%s: gcloud %s: %v", c.where, strings.Join(c.args, " "), err)
		}
	}
}

// Without --region gcloud asks, or fails; without --project it may change another project.
func TestCloudRunCommandsNameTheirProjectAndRegion(t *testing.T) {
	checked := 0
	for _, c := range slices.Concat(blockCommands(t), spanCommands(t)) {
		if !strings.HasPrefix(c.where, "docs/deploy-cloud-run.md") || c.args[0] != "run" || len(c.args) < 4 || strings.HasPrefix(c.args[3], "-") {
			continue // a command without the name of a resource is not meant to be pasted
		}
		checked++
		for _, flag := range []string{"--project=", "--region="} {
			if !slices.ContainsFunc(c.args, func(arg string) bool { return strings.HasPrefix(arg, flag) }) {
				t.Errorf("%s: gcloud %s lacks %s", c.where, strings.Join(c.args, " "), flag)
			}
		}
	}
	if checked < 5 {
		t.Errorf("only %d commands were found", checked)
	}
}

// checkWithGcloud checks commands with gcloud's parser, and the record with it.
func checkWithGcloud(t *testing.T, real *gcloudfake.Real, commands []invocation) {
	t.Helper()
	lines := [][]string{{"storage", "buckets", "get-iam-policy", "gs://b", "--filter=x"}, {"monitoring", "policies", "create"}}
	for _, c := range commands {
		lines = append(lines, c.args)
	}
	answers, err := real.Parse(t.Context(), t.TempDir(), lines)
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range lines[:2] {
		if answers[i].Error == "" {
			t.Errorf("gcloud %s accepts %q: does this test still work?", real.Version, line)
		}
	}
	for i, answer := range answers[2:] {
		if c := commands[i]; answer.Error != "" && (!c.partial || !lacksOnly.MatchString(answer.Error) && !strings.Contains(answer.Error, unknown)) {
			t.Errorf("%s: gcloud %s\n%s", c.where, strings.Join(c.args, " "), answer.Error)
		}
	}
	t.Logf("gcloud %s has parsed %d commands", real.Version, len(commands))
	fresh := real.Grammar(answers[2:])
	const file = "internal/gcloudfake/grammar.json"
	if *recordGrammar {
		if err := os.WriteFile(file, fresh.Format(), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	recorded, err := gcloudfake.Recorded()
	if err != nil {
		t.Fatal(err)
	}
	if recorded.Version != real.Version {
		t.Logf("the record is of gcloud %s: make gcloud-record updates it", recorded.Version)
	} else if string(recorded.Format()) != string(fresh.Format()) {
		t.Errorf("%s differs from what gcloud %s accepts: run make gcloud-record", file, real.Version)
	}
}
