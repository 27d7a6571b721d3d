package deploy_test

import (
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/claimcheck-go/claimcheck/cloudtasks"
)

// settings are the variables that the help of the server lists.
func settings(t *testing.T) []string {
	t.Helper()
	got := run(t, nil, server(t), "--help")
	var names []string
	for _, match := range regexp.MustCompile(`\(\$([A-Z0-9_]+)\)`).FindAllStringSubmatch(got.stdout, -1) {
		names = append(names, match[1])
	}
	if len(names) < 20 {
		t.Fatalf("the help names %q", names)
	}
	return names
}

// maxConnections is what setup gives the database.
func maxConnections(t *testing.T) int {
	t.Helper()
	match := regexp.MustCompile(`max_connections=(\d+)`).FindStringSubmatch(read(t, "deploy/setup.sh"))
	if match == nil {
		t.Fatal("setup.sh says no max_connections")
	}
	return number(t, match[1])
}

func number(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func span(t *testing.T, text string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// checkFacts holds what both platforms' manifests must fit in.
func checkFacts(t *testing.T, env map[string]string, requestTimeout time.Duration, maxInstances, concurrency int) {
	t.Helper()
	known := settings(t)
	for name := range env {
		if !slices.Contains(known, name) {
			t.Errorf("%s is no setting of the server", name)
		}
	}
	if got := span(t, env["REQUEST_TIMEOUT"]); got != requestTimeout {
		t.Errorf("REQUEST_TIMEOUT is %s, and the platform's timeout %s", got, requestTimeout)
	}
	// Cloud Tasks waits for the task's timeout and half a minute; the platform
	// must wait longer, or tasks end in the middle.
	timeout := span(t, env["TASKS_TIMEOUT"])
	if deadline := timeout + 30*time.Second; requestTimeout < deadline+cloudtasks.RequestMargin(requestTimeout) {
		t.Errorf("a delivery may take %s, a request only %s", deadline, requestTimeout)
	}
	if err := (cloudtasks.Config{RequestTimeout: requestTimeout}).CheckTimeout(timeout); err != nil {
		t.Error(err)
	}
	// While two versions serve, each may have all its instances; ten connections
	// are left for people and for the migration.
	if need := 2 * maxInstances * number(t, env["DB_MAX_CONNS"]); need > maxConnections(t)-10 {
		t.Errorf("up to %d connections, of %d", need, maxConnections(t))
	}
	if concurrency != 80 {
		t.Errorf("the server runs 80 tasks at once, the platform sends %d", concurrency)
	}
	for _, name := range []string{"OIDC_SERVICE_ACCOUNT_EMAIL", "OIDC_AUDIENCE", "TASKS_QUEUES", "DATABASE_URL"} {
		if _, ok := env[name]; !ok {
			t.Errorf("%s is not set", name)
		}
	}
	for name := range env {
		if name == "PORT" || strings.HasPrefix(name, "K_") || strings.HasPrefix(name, "GAE_") {
			t.Errorf("%s is the platform's to set", name)
		}
	}
}

func TestCloudRunServiceFitsTheServerAndThePlatform(t *testing.T) {
	service := decode[knativeService](t, rendered(t, "service.yaml"))
	if service.APIVersion != "serving.knative.dev/v1" || service.Kind != "Service" {
		t.Errorf("%s %s", service.APIVersion, service.Kind)
	}
	template := service.Spec.Template
	if len(template.Spec.Containers) != 1 {
		t.Fatalf("%d containers", len(template.Spec.Containers))
	}
	container := template.Spec.Containers[0]
	env := map[string]string{}
	for _, e := range container.Env {
		env[e.Name] = e.Value
		secret := regexp.MustCompile(`TOKEN|SECRET|DATABASE_URL`).MatchString(e.Name)
		switch {
		case secret && (e.ValueFrom == nil || e.Value != "" || e.ValueFrom.SecretKeyRef.Name == "" || e.ValueFrom.SecretKeyRef.Key == ""):
			t.Errorf("%s is not taken from a secret", e.Name)
		case !secret && e.Value == "":
			t.Errorf("%s has no value", e.Name)
		}
		if e.ValueFrom != nil && !strings.Contains(read(t, "deploy/setup.sh"), `"$service-`+strings.TrimPrefix(e.ValueFrom.SecretKeyRef.Name, "claimcheck-")+`"`) {
			t.Errorf("setup makes no secret %s", e.ValueFrom.SecretKeyRef.Name)
		}
	}
	annotations := template.Metadata.Annotations
	checkFacts(t, env, time.Duration(template.Spec.TimeoutSeconds)*time.Second,
		number(t, annotations["autoscaling.knative.dev/maxScale"]), template.Spec.ContainerConcurrency)
	if got := container.Args; !slices.Equal(got, []string{"serve", "--concurrency=" + strconv.Itoa(template.Spec.ContainerConcurrency)}) {
		t.Errorf("the arguments are %q", got)
	}
	if template.Spec.TimeoutSeconds > 3600 || template.Spec.ServiceAccountName == "" || annotations["autoscaling.knative.dev/minScale"] == "" {
		t.Errorf("%+v %v", template.Spec, annotations)
	}
	if port := container.Ports[0].ContainerPort; port != container.StartupProbe.HTTPGet.Port || port != container.LivenessProbe.HTTPGet.Port {
		t.Errorf("port %d, probes at %+v and %+v", port, container.StartupProbe.HTTPGet, container.LivenessProbe.HTTPGet)
	}
	if last := read(t, "service.yaml"); strings.Index(last, "\n  traffic:\n") < strings.LastIndex(last, "\n  template:\n") {
		t.Error("traffic is not the last section, which deploy/release.sh puts its own in place of")
	}
}

func TestProbesAreOnPathsThatTheServerAnswersAndThePlatformDoesNotKeep(t *testing.T) {
	container := decode[knativeService](t, rendered(t, "service.yaml")).Spec.Template.Spec.Containers[0]
	for name, want := range map[string]struct {
		probe knativeProbe
		path  string
	}{
		// The first instance waits for the database; later an outage of it must
		// not have every instance killed.
		"startup":  {container.StartupProbe, "/health/ready"},
		"liveness": {container.LivenessProbe, "/health/live"},
	} {
		path := want.probe.HTTPGet.Path
		if path != want.path || strings.HasSuffix(strings.TrimSuffix(path, "/"), "z") || strings.HasPrefix(path, "/_ah") {
			t.Errorf("%s: %s", name, path)
		}
		if p := want.probe; p.PeriodSeconds < 1 || p.TimeoutSeconds < 1 || p.FailureThreshold < 1 || p.TimeoutSeconds > p.PeriodSeconds || p.PeriodSeconds*p.FailureThreshold > 240 {
			t.Errorf("%s: %+v", name, p)
		}
	}
}

// A service that trusts the platform must not be reachable without it.
func TestServiceThatTrustsThePlatformIsNotPublic(t *testing.T) {
	service := decode[knativeService](t, rendered(t, "service.yaml"))
	trusts := false
	for _, e := range service.Spec.Template.Spec.Containers[0].Env {
		trusts = trusts || e.Name == "OIDC_TRUST_PLATFORM" && e.Value == "true"
	}
	public := service.Metadata.Annotations["run.googleapis.com/invoker-iam-disabled"] != ""
	for _, file := range []string{"deploy/setup.sh", "deploy/lib/gcloud.sh", "deploy/release.sh"} {
		public = public || regexp.MustCompile(`allUsers|allAuthenticatedUsers|[^o]-allow-unauthenticated|no-invoker-iam-check`).MatchString(read(t, file))
	}
	if !trusts || public {
		t.Errorf("trusts the platform: %t, public: %t", trusts, public)
	}
}

func TestAppEngineServiceFitsTheServerAndThePlatform(t *testing.T) {
	app := decode[appConfig](t, rendered(t, "app.yaml"))
	goVersion := regexp.MustCompile(`(?m)^go (\d+)\.(\d+)`).FindStringSubmatch(read(t, "go.mod"))
	if want := "go" + goVersion[1] + goVersion[2]; app.Runtime != want {
		t.Errorf("runtime %s, and go.mod needs %s", app.Runtime, want)
	}
	if app.Main != "./cmd/server" || app.ServiceAccount == "" || len(app.Handlers) != 1 || app.Handlers[0].Secure != "always" {
		t.Errorf("%+v", app)
	}
	checkFacts(t, app.EnvVariables, 10*time.Minute, app.AutomaticScaling.MaxInstances, app.AutomaticScaling.MaxConcurrentRequests)
	if app.EnvVariables["CLAIMCHECK_CONCURRENCY"] != strconv.Itoa(app.AutomaticScaling.MaxConcurrentRequests) {
		t.Error("CLAIMCHECK_CONCURRENCY differs from max_concurrent_requests")
	}
	for name, value := range app.EnvVariables {
		if regexp.MustCompile(`TOKEN|SECRET`).MatchString(name) {
			t.Errorf("%s is in app.yaml, which every viewer of the project can read", name)
		}
		if u, err := url.Parse(value); name == "DATABASE_URL" && (err != nil || u.User.Username() != "claimcheck-run@my-project.iam" || strings.Contains(u.User.String(), ":")) {
			t.Errorf("DATABASE_URL is %s", value)
		}
	}
}

func TestCronAsksForWhatTheServerAnswersByGET(t *testing.T) {
	cron := decode[cronConfig](t, read(t, "cron.yaml"))
	want := map[string]string{"/tasks/sweep/": "every 1 minutes", "/tasks/tick/": "every 1 minutes", "/tasks/purge/": "every day 03:17"}
	for _, job := range cron.Cron {
		u, err := url.Parse(job.URL)
		if err != nil || want[u.Path] != job.Schedule {
			t.Errorf("%s %s", job.URL, job.Schedule)
			continue
		}
		delete(want, u.Path)
		if days := u.Query().Get("days"); u.Path == "/tasks/purge/" && number(t, days) < 1 {
			t.Errorf("it deletes what has just ended: %s", job.URL)
		}
	}
	if len(want) > 0 {
		t.Errorf("nothing asks for %v", want)
	}
}

func TestQueuesAreSetUpAlikeEverywhere(t *testing.T) {
	match := regexp.MustCompile(`--max-attempts=(\S+) --max-retry-duration=0s --min-backoff=(\d+)s --max-backoff=(\d+)s --max-doublings=(\d+)`).FindStringSubmatch(read(t, "deploy/setup.sh"))
	if match == nil {
		t.Fatal("setup.sh has no retry settings")
	}
	first, longest, doublings := number(t, match[2]), number(t, match[3]), number(t, match[4])
	// The server counts with 300 s at most; fewer doublings would never get there.
	if match[1] != "-1" || longest != 300 || first<<doublings < longest {
		t.Errorf("%q", match)
	}
	for _, queue := range decode[queueConfig](t, read(t, "queue.yaml")).Queue {
		if r := queue.RetryParameters; r.TaskRetryLimit != nil || r.TaskAgeLimit != nil || r.MinBackoffSeconds != first || r.MaxBackoffSeconds != longest || r.MaxDoublings != doublings {
			t.Errorf("queue.yaml: %+v", r)
		}
	}
}
