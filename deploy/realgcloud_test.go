package deploy_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/claimcheck-go/claimcheck/deploy/internal/fakeapi"
	"github.com/claimcheck-go/claimcheck/deploy/internal/gcloudfake"
)

var gcloudRuns = flag.Bool("gcloud.runs", false, "check commands with the parser of the real gcloud and run the scripts with it, which takes minutes (make gcloud-test)")

// cloud is the real gcloud before an imitation of Google's APIs.
type cloud struct {
	t   *testing.T
	api *fakeapi.API
	env []string
}

// newCloud returns nil where the runs were not asked for: make gcloud-test does.
func newCloud(t *testing.T) *cloud {
	t.Helper()
	if !*gcloudRuns {
		t.Log("not run without -gcloud.runs: make gcloud-test")
		return nil
	}
	installedGcloud(t)
	c := &cloud{t: t, api: fakeapi.New()}
	t.Cleanup(c.api.Close)
	dir := t.TempDir()
	token := filepath.Join(dir, "token")
	if err := os.WriteFile(token, []byte("access"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.env = append(c.api.Env(dir, token), "SETUP_PAUSE=0")
	t.Cleanup(func() {
		if _, refused := c.api.Requests(); len(refused) > 0 {
			t.Errorf("the imitation had no answer to %q", refused)
		}
	})
	return c
}

// installedGcloud is the real gcloud of this machine.
func installedGcloud(t *testing.T) *gcloudfake.Real {
	t.Helper()
	real, err := gcloudfake.FindReal()
	if err != nil || real == nil {
		t.Fatalf("this needs gcloud: %v", err)
	}
	return real
}

// run runs a script, which must succeed, and returns its output and the requests that
// changed something.
func (c *cloud) run(env []string, script string, args ...string) (stdout string, changes []string) {
	c.t.Helper()
	before, _ := c.api.Requests()
	got := run(c.t, append(slices.Clone(c.env), env...), script, args...)
	after, _ := c.api.Requests()
	if got.status != 0 {
		c.t.Fatalf("%s %q: %d\n%s%s\n%s", script, args, got.status, got.stdout, got.stderr, fmt.Sprint(after[len(before):]))
	}
	for _, request := range after[len(before):] {
		if request.Changes() {
			changes = append(changes, request.String())
		}
	}
	return got.stdout, changes
}

// at returns what is at a path of an object, or nil.
func at(object any, path ...any) any {
	for _, step := range path {
		switch key := step.(type) {
		case string:
			object = object.(fakeapi.Object)[key]
		case int:
			object = object.([]any)[key]
		}
		if object == nil {
			return nil
		}
	}
	return object
}

func TestRealGcloudSetsUpTwiceAndTheSecondRunChangesNothing(t *testing.T) {
	for _, platform := range []string{"cloud-run", "app-engine"} {
		t.Run(platform, func(t *testing.T) {
			c := newCloud(t)
			if c == nil {
				return
			}
			args := setupArgs("--platform", platform, "--queues", "default,emails")
			stdout, changes := c.run(nil, "deploy/setup.sh", args...)
			if n := strings.Count(stdout, "\ngcloud ") + 1; !strings.Contains(stdout, fmt.Sprintf("done: %d changes\n", n)) || len(changes) < n {
				t.Errorf("%s\n%q", stdout, changes)
			}
			again, changes := c.run(nil, "deploy/setup.sh", args...)
			if !strings.HasSuffix(again, "everything exists already; nothing was changed\n") || len(changes) > 0 {
				t.Errorf("the second run: %s\n%q", again, changes)
			}
			const queues = "cloudtasks/projects/my-project/locations/europe-west1/queues/"
			if at(c.api.Get(queues+"claimcheck"), "retryConfig", "maxAttempts") != -1.0 || c.api.Get(queues+"emails") == nil || c.api.Get(queues+"default") != nil {
				t.Errorf("%v", c.api.Get(queues+"claimcheck"))
			}
		})
	}
}

func TestRealGcloudSetUpKeepsThePasswordInTheSecret(t *testing.T) {
	c := newCloud(t)
	if c == nil {
		return
	}
	stdout, _ := c.run(nil, "deploy/setup.sh", projectArgs...)
	secret, _ := at(c.api.Get("data of secretmanager/projects/my-project/secrets/claimcheck-database-url"), "data").(string)
	password, _ := at(c.api.Get("sql/projects/my-project/instances/claimcheck-db/users/claimcheck"), "password").(string)
	if len(password) != 48 || !strings.HasPrefix(secret, "postgres://claimcheck:"+password+"@/claimcheck?host=/cloudsql/") || strings.Contains(stdout, password) {
		t.Errorf("the user's password is %q, the secret %q", password, secret)
	}
}

func TestRealGcloudReleasesKeepTagsAndSettings(t *testing.T) {
	c := newCloud(t)
	if c == nil {
		return
	}
	const service = "run/namespaces/my-project/services/claimcheck"
	gcloud := func(args ...string) {
		c.run(nil, "gcloud", append(args, "--project=my-project", "--region=europe-west1", "--quiet")...)
	}
	release := func(image string, steps ...string) string {
		env := append(slices.Clone(releaseEnv), "IMAGE=europe-west1-docker.pkg.dev/my-project/claimcheck/server:"+image)
		var output string
		for _, step := range steps {
			stdout, _ := c.run(env, "deploy/release.sh", step)
			output += stdout
		}
		return output
	}
	// Without the sql-component API, gcloud asks whether to enable it.
	c.run(nil, "gcloud", "services", "enable", "run.googleapis.com", "sqladmin.googleapis.com", "sql-component.googleapis.com", "--project=my-project", "--quiet")
	gcloud("run", "deploy", "claimcheck", "--image=us-docker.pkg.dev/cloudrun/container/hello", "--no-allow-unauthenticated")
	release("one", "migrate", "candidate", "traffic")
	image := func() any { return at(c.api.Get(service), "spec", "template", "spec", "containers", 0, "image") }
	if got := fmt.Sprint(image()); !strings.HasSuffix(got, ":one") {
		t.Fatalf("the first release has image %s", got)
	}
	// What an operator sets between releases.
	gcloud("run", "services", "update", "claimcheck", "--update-env-vars=TASKS_TIMEOUT=5m,EXTRA=kept", "--memory=1Gi", "--min-instances=2")
	blue := fmt.Sprint(at(c.api.Get(service), "status", "latestCreatedRevisionName"))
	gcloud("run", "services", "update-traffic", "claimcheck", "--set-tags=blue="+blue)

	release("two", "candidate")
	status := func() string { return fmt.Sprint(at(c.api.Get(service), "status", "traffic")) }
	if got := status(); !strings.Contains(got, "tag:blue") || !strings.Contains(got, "tag:candidate") {
		t.Errorf("the tags after the second release: %s", got)
	}
	live := func() map[string]int {
		percent := map[string]int{}
		targets, _ := at(c.api.Get(service), "status", "traffic").([]any)
		for _, target := range targets {
			if n, ok := at(target, "percent").(float64); ok {
				percent[fmt.Sprint(at(target, "revisionName"))] += int(n)
			}
		}
		return percent
	}
	if got := live(); got[blue] != 100 {
		t.Errorf("the candidate has traffic: %v, %s", got, status())
	}
	release("two", "traffic")
	latest := fmt.Sprint(at(c.api.Get(service), "status", "latestCreatedRevisionName"))
	if got := live(); got[latest] != 100 || latest == blue || !strings.Contains(status(), "tag:blue") {
		t.Errorf("after the release: %v, %s", got, status())
	}
	check := func(when string, want map[string]string, memory string) {
		t.Helper()
		got := map[string]string{}
		variables, _ := at(c.api.Get(service), "spec", "template", "spec", "containers", 0, "env").([]any)
		for _, variable := range variables {
			got[fmt.Sprint(at(variable, "name"))] = fmt.Sprint(at(variable, "value"))
		}
		for name, value := range want {
			if got[name] != value {
				t.Errorf("%s: %s is %q, want %q", when, name, got[name], value)
			}
		}
		if got := at(c.api.Get(service), "spec", "template", "spec", "containers", 0, "resources", "limits", "memory"); got != memory {
			t.Errorf("%s: the memory is %v", when, got)
		}
	}
	check("the second release", map[string]string{"TASKS_TIMEOUT": "5m", "EXTRA": "kept", "TASKS_QUEUE_ALIASES": "default=claimcheck"}, "1Gi")
	if got := fmt.Sprint(image()); !strings.HasSuffix(got, ":two") {
		t.Errorf("the second release has image %s", got)
	}
	if got := at(c.api.Get(service), "spec", "template", "metadata", "annotations", "autoscaling.knative.dev/minScale"); got != "2" {
		t.Errorf("minScale is %v", got)
	}

	// The manifest is applied again when asked for: tags and traffic stay.
	env := append(slices.Clone(releaseEnv), "QUEUES=default", "IMAGE=x/y:three")
	if stdout, _ := c.run(env, "deploy/release.sh", "candidate"); !strings.Contains(stdout, "MANIFEST=apply") {
		t.Errorf("a changed manifest is not reported: %s", stdout)
	}
	c.run(append(env, "MANIFEST=apply"), "deploy/release.sh", "candidate")
	check("MANIFEST=apply", map[string]string{"TASKS_TIMEOUT": "9m", "EXTRA": "", "TASKS_QUEUES": "default"}, "512Mi")
	if got := live(); got[latest] != 100 || !strings.Contains(status(), "tag:blue") {
		t.Errorf("MANIFEST=apply: %v, %s", got, status())
	}
}

func TestRealGcloudMakesAlertsBeforeTheFirstMetric(t *testing.T) {
	c := newCloud(t)
	if c == nil {
		return
	}
	stdout, changes := c.run(nil, "deploy/alerts.sh", "--project", "my-project", "--channel", "projects/my-project/notificationChannels/7")
	if !strings.Contains(stdout, "done: 6 changes") || len(changes) != 6 {
		t.Errorf("%s\n%q", stdout, changes)
	}
	policy := c.api.Get("monitoring/projects/my-project/alertPolicies/1000")
	if at(policy, "conditions", 0, "conditionPrometheusQueryLanguage", "disableMetricValidation") != true ||
		at(policy, "notificationChannels", 0) != "projects/my-project/notificationChannels/7" {
		t.Errorf("%v", policy)
	}
	if again, changes := c.run(nil, "deploy/alerts.sh", "--project", "my-project"); len(changes) > 0 || !strings.Contains(again, "nothing was changed") {
		t.Errorf("the second run: %s\n%q", again, changes)
	}
}
