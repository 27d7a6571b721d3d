package deploy_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/claimcheck-go/claimcheck/deploy/internal/gcloudfake"
)

var projectArgs = []string{"--project", "my-project", "--region", "europe-west1"}

func setupArgs(more ...string) []string { return append(slices.Clone(projectArgs), more...) }

// wantCall checks that one of the calls has all these parts.
func wantCall(t *testing.T, calls []string, parts ...string) {
	t.Helper()
	for _, call := range calls {
		all := true
		for _, part := range parts {
			all = all && strings.Contains(call, part)
		}
		if all {
			return
		}
	}
	t.Errorf("no call with %q", parts)
}

func TestSetupMakesAFreshProjectReadyAndASecondRunChangesNothing(t *testing.T) {
	p := newProject(t)
	if got := p.run(nil, "deploy/setup.sh", setupArgs("--queues", "default,emails")...); got.status != 0 || !strings.Contains(got.stdout, fmt.Sprintf("done: %d changes\n", len(p.changes()))) {
		t.Fatalf("%d %s%s", got.status, got.stdout, got.stderr)
	}
	calls := p.changes()
	if !strings.Contains(p.run(nil, "deploy/setup.sh", setupArgs("--queues", "default,emails", "--dry-run")...).stdout, "TASKS_QUEUES=default,emails TASKS_QUEUE_ALIASES=default=claimcheck\n") {
		t.Error("the server's settings are not printed")
	}
	const run, invoker, build = "serviceAccount:claimcheck-run@my-project.iam.gserviceaccount.com", "claimcheck-invoker@my-project.iam.gserviceaccount.com", "serviceAccount:claimcheck-build@my-project.iam.gserviceaccount.com"
	for _, api := range []string{"run", "cloudtasks", "cloudscheduler", "secretmanager", "sqladmin", "artifactregistry", "cloudbuild", "iam", "iamcredentials", "sql-component"} {
		wantCall(t, calls, "services enable ", " "+api+".googleapis.com")
	}
	for _, queue := range []string{"claimcheck", "emails"} {
		wantCall(t, calls, "tasks queues create "+queue, "--max-attempts=-1 --max-retry-duration=0s --min-backoff=5s --max-backoff=300s --max-doublings=6", "--max-dispatches-per-second=500", "--location=europe-west1")
		wantCall(t, calls, "tasks queues add-iam-policy-binding "+queue, "--member="+run, "--role=roles/cloudtasks.enqueuer")
		wantCall(t, calls, "tasks queues add-iam-policy-binding "+queue, "--member="+run, "--role=roles/cloudtasks.viewer")
	}
	wantCall(t, calls, "iam service-accounts add-iam-policy-binding "+invoker, "--member="+run, "--role=roles/iam.serviceAccountUser")
	wantCall(t, calls, "run services add-iam-policy-binding claimcheck", "--member=serviceAccount:"+invoker, "--role=roles/run.invoker")
	wantCall(t, calls, "projects add-iam-policy-binding my-project", "--member="+run, "--role=roles/cloudsql.client", "--condition=None")
	for _, secret := range []string{"claimcheck-database-url", "claimcheck-admin-token"} {
		wantCall(t, calls, "secrets add-iam-policy-binding "+secret, "--member="+run, "--role=roles/secretmanager.secretAccessor")
	}
	wantCall(t, calls, "iam service-accounts add-iam-policy-binding "+invoker, "--member="+build, "--role=roles/iam.serviceAccountOpenIdTokenCreator")
	const url = "https://claimcheck-123456789.europe-west1.run.app"
	for name, want := range map[string]string{"sweep": "--schedule=* * * * *", "tick": "--schedule=* * * * *", "purge": "--schedule=17 3 * * *"} {
		wantCall(t, calls, "scheduler jobs create http claimcheck-"+name, want, "--uri="+url+"/tasks/"+name+"/", "--http-method=POST",
			"--oidc-service-account-email="+invoker, "--oidc-token-audience="+url+" ")
	}
	for _, call := range calls {
		if strings.Contains(call, "allUsers") || strings.Contains(call, "allAuthenticatedUsers") || strings.Contains(call, "--allow-unauthenticated") {
			t.Error("open to everybody: " + call)
		}
		if strings.HasPrefix(call, "projects add-iam-policy-binding") && regexp.MustCompile(`roles/(owner|editor|.*[aA]dmin|iam\.|secretmanager|cloudtasks)`).MatchString(call) {
			t.Error("too much for a whole project: " + call)
		}
	}

	second := p.run(nil, "deploy/setup.sh", setupArgs("--queues", "default,emails")...)
	if second.status != 0 || !strings.Contains(second.stdout, "nothing was changed") {
		t.Fatalf("%d %s%s", second.status, second.stdout, second.stderr)
	}
	if again := p.changes(); len(again) != len(calls) {
		t.Errorf("the second run did %q", again[len(calls):])
	}
}

func TestSetupPutsTheDatabasesPasswordIntoTheSecretAndNowhereElse(t *testing.T) {
	p := newProject(t)
	got := p.run(nil, "deploy/setup.sh", projectArgs...)
	if got.status != 0 {
		t.Fatal(got.stderr)
	}
	s := p.state()
	url := regexp.MustCompile(`^postgres://claimcheck:([0-9a-f]{48})@/claimcheck\?host=/cloudsql/my-project:europe-west1:claimcheck-db$`).
		FindStringSubmatch(s.Secrets["claimcheck-database-url"])
	if url == nil {
		t.Fatalf("the secret is %q", s.Secrets["claimcheck-database-url"])
	}
	if !slices.Contains(s.Files, "--password: "+url[1]+"\n") {
		t.Errorf("the user got another password: %q", s.Files)
	}
	token := s.Secrets["claimcheck-admin-token"]
	if len(token) != 48 || token == url[1] {
		t.Errorf("the admin's token is %q", token)
	}
	for _, secret := range []string{url[1], token} {
		if strings.Contains(strings.Join(p.calls(), "\n")+got.stdout+got.stderr, secret) {
			t.Error("a secret is in the arguments or in the output")
		}
	}
	// A run that died between the user and the secret left a password that
	// is not stored anywhere: the next one sets another.
	delete(s.Secrets, "claimcheck-database-url")
	p.store(s)
	if again := p.run(nil, "deploy/setup.sh", projectArgs...); again.status != 0 {
		t.Fatal(again.stderr)
	}
	wantCall(t, p.changes(), "sql users set-password claimcheck")
	s = p.state()
	if last := s.Files[len(s.Files)-1]; !strings.Contains(s.Secrets["claimcheck-database-url"], strings.TrimSpace(strings.TrimPrefix(last, "--password: "))) {
		t.Error("the secret has not got the new password")
	}
}

func TestSetupTakesADatabaseThatExists(t *testing.T) {
	p := newProject(t)
	file := filepath.Join(t.TempDir(), "url")
	if err := os.WriteFile(file, []byte("postgres://u:hidden-password@db.example/tasks\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got := p.run(nil, "deploy/setup.sh", setupArgs("--database-url-file", file)...)
	if got.status != 0 {
		t.Fatal(got.stderr)
	}
	if secret := p.state().Secrets["claimcheck-database-url"]; secret != "postgres://u:hidden-password@db.example/tasks" {
		t.Errorf("the secret is %q", secret)
	}
	all := strings.Join(p.calls(), "\n")
	if strings.Contains(all+got.stdout+got.stderr, "hidden-password") {
		t.Error("the password is in the arguments or in the output")
	}
	if strings.Contains(all, "sql instances") || strings.Contains(all, "roles/cloudsql.client") {
		t.Error("it looked for, or made, a Cloud SQL instance")
	}
}

func TestSetupForAppEngineLogsInWithoutAPassword(t *testing.T) {
	p := newProject(t)
	if got := p.run(nil, "deploy/setup.sh", setupArgs("--platform", "app-engine")...); got.status != 0 {
		t.Fatal(got.stderr)
	}
	calls := p.changes()
	wantCall(t, calls, "sql users create claimcheck-run@my-project.iam ", "--type=cloud_iam_service_account")
	wantCall(t, calls, "projects add-iam-policy-binding my-project", "--role=roles/cloudsql.instanceUser")
	for _, call := range calls {
		for _, other := range []string{"scheduler", "run ", "secrets", "artifacts", "app create"} {
			if strings.HasPrefix(call, other) {
				t.Error("not needed on App Engine: " + call)
			}
		}
	}
}

func TestSetupMakesShards(t *testing.T) {
	p := newProject(t)
	args := setupArgs("--queues", "default,emails", "--shards", "emails=3")
	got := p.run(nil, "deploy/setup.sh", args...)
	const aliases = " TASKS_QUEUE_ALIASES=default=claimcheck,emails=emails-0,emails=emails-1,emails=emails-2\n"
	if got.status != 0 || !strings.Contains(got.stdout, aliases) {
		t.Fatalf("%d %s%s", got.status, got.stdout, got.stderr)
	}
	if made, want := p.state().Resources["tasks queues"], []string{"claimcheck", "emails", "emails-0", "emails-1", "emails-2"}; !slices.Equal(made, want) {
		t.Errorf("made %q, want %q", made, want)
	}
	for _, shard := range []string{"emails-0", "emails-2"} {
		wantCall(t, p.changes(), "tasks queues create "+shard, "--max-attempts=-1 --max-retry-duration=0s --min-backoff=5s --max-backoff=300s --max-doublings=6")
		wantCall(t, p.changes(), "tasks queues add-iam-policy-binding "+shard, "--role=roles/cloudtasks.enqueuer")
	}
	before := len(p.changes())
	if again := p.run(nil, "deploy/setup.sh", args...); !strings.Contains(again.stdout, aliases) || len(p.changes()) != before {
		t.Errorf("%s\nthe second run did %q", again.stdout, p.changes()[before:])
	}
}

func TestSetupWithoutDoctorGivesNoRoleToLook(t *testing.T) {
	p := newProject(t)
	if got := p.run(nil, "deploy/setup.sh", setupArgs("--no-doctor")...); got.status != 0 {
		t.Fatal(got.stderr)
	}
	if all := strings.Join(p.changes(), "\n"); strings.Contains(all, "cloudtasks.viewer") || !strings.Contains(all, "cloudtasks.enqueuer") {
		t.Error(all)
	}
}

func TestSetupFixesTheRetrySettingsOfAQueue(t *testing.T) {
	p := newProject(t)
	if got := p.run(nil, "deploy/setup.sh", projectArgs...); got.status != 0 {
		t.Fatal(got.stderr)
	}
	for _, settings := range []string{
		"100,0.100s,3600s,16,", // the service's own defaults
		"-1,5s,300s,6,3600s",   // which gives messages up after an hour
	} {
		s := p.state()
		before := len(p.changes())
		s.Described["tasks queues claimcheck "+gcloudfake.RetryFormat] = settings
		p.store(s)
		if got := p.run(nil, "deploy/setup.sh", projectArgs...); got.status != 0 {
			t.Fatal(got.stderr)
		}
		calls := p.changes()[before:]
		if len(calls) != 1 {
			t.Fatalf("%q", calls)
		}
		wantCall(t, calls, "tasks queues update claimcheck", "--max-attempts=-1 --max-retry-duration=0s --min-backoff=5s --max-backoff=300s --max-doublings=6")
		if strings.Contains(calls[0], "dispatches") {
			t.Errorf("it resets the rates that an operator has set: %s", calls[0])
		}
	}
}

func TestSetupChangesHowLongTasksAreKept(t *testing.T) {
	p := newProject(t)
	for _, c := range []struct {
		args    []string
		changes int
	}{
		{projectArgs, -1}, {setupArgs("--purge-days", "30"), 0}, {setupArgs("--purge-days", "90"), 1}, {projectArgs, 0}, {setupArgs("--purge-days", "90"), 0},
	} {
		before := len(p.changes())
		if got := p.run(nil, "deploy/setup.sh", c.args...); got.status != 0 {
			t.Fatal(got.stderr)
		}
		calls := p.changes()[before:]
		if c.changes >= 0 && len(calls) != c.changes {
			t.Errorf("%q did %q", c.args, calls)
		}
		if c.changes == 1 {
			wantCall(t, calls, "scheduler jobs update http claimcheck-purge", `--message-body={"days":90}`)
		}
	}
}

func TestSetupStopsAtTheFirstRefusalAndContinuesLater(t *testing.T) {
	for _, fail := range []string{"services list", "services enable", "service-accounts list", "service-accounts create", "tasks queues list", "sql users create",
		"get-iam-policy", "add-iam-policy-binding", "secrets versions list", "secrets versions add", "projects describe", "scheduler jobs create", "run deploy"} {
		p := newProject(t)
		p.fail = fail
		got := p.run(nil, "deploy/setup.sh", projectArgs...)
		if got.status != 1 || !strings.Contains(got.stderr, "setup.sh: this command failed: gcloud ") || !strings.Contains(got.stderr, "PERMISSION_DENIED") {
			t.Errorf("%s: %d %s", fail, got.status, got.stderr)
		}
		calls := p.calls()
		if last := calls[len(calls)-1]; !strings.Contains(last, fail) {
			t.Errorf("%s: it went on with %s", fail, last)
		}
		if fail != "sql users create" && fail != "run deploy" {
			continue // what has been made by then differs most in these
		}
		p.fail = ""
		if got := p.run(nil, "deploy/setup.sh", projectArgs...); got.status != 0 {
			t.Errorf("%s: the next run: %s", fail, got.stderr)
		}
	}
}

func TestSetupRefusesWhatCannotBeANameBeforeItDoesAnything(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		want string
		args []string
	}{
		{"--project must be", []string{"--region", "europe-west1"}},
		{"--project must be", []string{"--project", "My_Project", "--region", "europe-west1"}},
		{"--project must be", []string{"--project", "my-project; rm -rf /", "--region", "europe-west1"}},
		{"--region must be", []string{"--project", "my-project"}},
		{"--region must be", []string{"--project", "my-project", "--region", "Europe"}},
		{"--service must be", setupArgs("--service", "-x")},
		{"--service must be", setupArgs("--service", "a-name-that-is-far-too-long")},
		{"--service must be", setupArgs("--service", "$(id)")},
		{"--queues must be", setupArgs("--queues", "a_b")},
		{"--queues must be", setupArgs("--queues", "a,,b")},
		{"--queues must be", setupArgs("--queues", "default\nevil")},
		{"--shards must be", setupArgs("--shards", "default")},
		{"--shards must be", setupArgs("--shards", "default=4;id")},
		{"--shards: emails is not one of --queues", setupArgs("--shards", "emails=4")},
		{"--shards: default must have 2 to 200 shards, not 1", setupArgs("--shards", "default=1")},
		{"--shards: default must have 2 to 200 shards, not 201", setupArgs("--shards", "default=201")},
		{"--shards: default must have 2 to 200 shards, not 010", setupArgs("--shards", "default=010")},
		{"--queues and --shards: the Cloud Tasks queue", setupArgs("--shards", "default=2,default=3")},
		{"--queues and --shards: the Cloud Tasks queue", setupArgs("--queues", "a,a-1", "--shards", "a=2")},
		{"queue claimcheck would be used twice", setupArgs("--queues", "default,claimcheck")},
		{"queue emails would be used twice", setupArgs("--queues", "emails,emails")},
		{"--platform must be", setupArgs("--platform", "kubernetes")},
		{"--purge-days must be", setupArgs("--purge-days", "-1")},
		{"--sql-tier must be", setupArgs("--sql-tier", "a b")},
		{"--sql-tier needs a value", setupArgs("--sql-tier")},
		{"unknown option --what", setupArgs("--what")},
		{"--database-url-file", setupArgs("--database-url-file", empty+".gone")},
		{"--database-url-file", setupArgs("--database-url-file", empty)},
		{"is for Cloud Run", setupArgs("--platform", "app-engine", "--database-url-file", "/etc/hosts")},
		{"--purge-days is for Cloud Run", setupArgs("--platform", "app-engine", "--purge-days", "7")},
	} {
		p := newProject(t)
		got := p.run(nil, "deploy/setup.sh", c.args...)
		if got.status != 1 || !strings.Contains(got.stderr, c.want) {
			t.Errorf("%q: %d %s", c.args, got.status, got.stderr)
		}
		if calls := p.calls(); len(calls) > 0 {
			t.Errorf("%q: it called %q", c.args, calls)
		}
	}
}

func TestSetupsDryRunPrintsEveryCommandAndRunsNone(t *testing.T) {
	for _, platform := range []string{"cloud-run", "app-engine"} {
		p := newProject(t)
		dry := p.run(nil, "deploy/setup.sh", setupArgs("--platform", platform, "--dry-run")...)
		if calls := p.calls(); dry.status != 0 || len(calls) > 0 {
			t.Fatalf("%d %s: it called %q", dry.status, dry.stderr, calls)
		}
		wet := p.run(nil, "deploy/setup.sh", setupArgs("--platform", platform)...)
		if wet.status != 0 {
			t.Fatal(wet.stderr)
		}
		// What a fresh project then gets is what was printed, but for its number.
		normal := strings.NewReplacer("PROJECT_NUMBER", "123456789")
		fd := regexp.MustCompile(`/dev/fd/\d+`)
		strip := func(text string) string {
			var commands []string
			for line := range strings.Lines(text) {
				if strings.HasPrefix(line, "gcloud ") {
					commands = append(commands, fd.ReplaceAllString(line, "FILE"))
				}
			}
			return strings.Join(commands, "")
		}
		if printed, done := normal.Replace(strip(dry.stdout)), strip(wet.stdout); printed != done || strings.Count(done, "\n") != len(p.changes()) {
			t.Errorf("printed:\n%s\ndone:\n%s", printed, done)
		}
	}
}
