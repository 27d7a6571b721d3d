package server

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/cloudtasks/apiv2/cloudtaskspb"
	"github.com/alecthomas/kong"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/claimcheck-go/claimcheck/cloudtasks/cloudtaskstest"
	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/dbfacts"
	"github.com/claimcheck-go/claimcheck/server/internal/config"
	"github.com/claimcheck-go/claimcheck/server/internal/doctor"
	"github.com/claimcheck-go/claimcheck/server/internal/stores"
)

// target is an installation in cloudtasks mode in which all is well, until a
// test changes that.
type target struct {
	t       *testing.T
	fake    *cloudtaskstest.Server
	certs   *httptest.Server
	handler *httptest.Server
	env     map[string]string
	args    []string
	stubs   func(*doctor.Config)
	facts   func(*dbfacts.Facts)

	live, execute http.HandlerFunc
}

const (
	targetQueue  = "projects/proc/locations/europe-west1/queues/default"
	targetSecret = "0123456789abcdefghijklmnopqrstuv"
)

// goodQueue is a queue as the set-up makes it.
func goodQueue(name string) *cloudtaskspb.Queue {
	return &cloudtaskspb.Queue{
		Name: name, RateLimits: &cloudtaskspb.RateLimits{MaxConcurrentDispatches: 500},
		RetryConfig: &cloudtaskspb.RetryConfig{MaxAttempts: -1, MaxDoublings: 6, MinBackoff: durationpb.New(5 * time.Second), MaxBackoff: durationpb.New(300 * time.Second)},
	}
}

// newTarget keeps its tasks in an SQLite file, which is quick.
func newTarget(t *testing.T) *target {
	t.Helper()
	p := &target{t: t}
	p.certs = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.fake.Certs().ServeHTTP(w, r) }))
	t.Cleanup(p.certs.Close)
	p.live = func(http.ResponseWriter, *http.Request) {}
	p.execute = refuseStranger
	p.handler = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/health/live" {
			p.live(w, r)
			return
		}
		p.execute(w, r)
	}))
	t.Cleanup(p.handler.Close)
	p.fake, _ = cloudtaskstest.Start(t, cloudtaskstest.Config{Issuer: p.certs.URL, Queues: []*cloudtaskspb.Queue{goodQueue(targetQueue)}})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func(fake *cloudtaskstest.Server) { _ = fake.Serve(listener) }(p.fake) // a test may replace p.fake
	p.env = map[string]string{
		"TASKS_MODE": "cloudtasks", "CLOUD_TASKS_PROJECT": "proc", "CLOUD_TASKS_LOCATION": "europe-west1",
		"TASK_HANDLER_URL": p.handler.URL + "/tasks/execute/{task_id}/", "OIDC_SERVICE_ACCOUNT_EMAIL": procAccount,
		"CLOUD_TASKS_EMULATOR_HOST": listener.Addr().String(), "OIDC_ISSUER": p.certs.URL, "OIDC_CERTS_URL": p.certs.URL,
		"TASK_API_TOKEN": targetSecret,
	}
	p.keep("sqlite:" + filepath.Join(t.TempDir(), "t.db"))
	return p
}

// refuseStranger answers as the server does.
func refuseStranger(w http.ResponseWriter, _ *http.Request) {
	w.WriteHeader(http.StatusUnauthorized)
	_, _ = io.WriteString(w, `{"error":"no Authorization header"}`)
}

// keep lets the tasks be in a database, which it makes ready.
func (p *target) keep(databaseURL string) {
	p.t.Helper()
	p.env["DATABASE_URL"] = databaseURL
	db := openFor(p.t, databaseURL)
	defer func() { _ = db.Close() }()
	if err := stores.Migrate(p.t.Context(), db); err != nil {
		p.t.Fatal(err)
	}
	if err := db.(queue.Operator).Touch(p.t.Context(), queue.TouchSwept); err != nil {
		p.t.Fatal(err)
	}
}

func openFor(t *testing.T, databaseURL string) database {
	t.Helper()
	db, err := (&program{own: Config{Tasks: testTasks}, known: testRegistry, config: &config.Config{Settings: &config.Settings{DatabaseURL: databaseURL, DBMaxConns: 2}}}).openDatabase(t.Context(), opening{})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// onCloudRun moves the target to Cloud Run, with a metadata server beside it.
// Cloud Tasks and the web are reached by stubs.
func (p *target) onCloudRun(more ...string) {
	p.t.Helper()
	metadata := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Metadata-Flavor", "Google")
		answers := map[string]string{
			"project/project-id": "proc", "project/numeric-project-id": "123456789",
			"instance/region":                         "projects/123456789/regions/europe-west1",
			"instance/service-accounts/default/email": "run@proc.iam.gserviceaccount.com",
		}
		_, _ = io.WriteString(w, answers[strings.TrimPrefix(r.URL.Path, "/computeMetadata/v1/")])
	}))
	p.t.Cleanup(metadata.Close)
	p.env = map[string]string{
		"K_SERVICE": "api", "K_REVISION": "api-00001-abc", "PORT": "8080", "DATABASE_URL": p.env["DATABASE_URL"], "GCE_METADATA_HOST": strings.TrimPrefix(metadata.URL, "http://"),
		"OIDC_SERVICE_ACCOUNT_EMAIL": procAccount, "REQUEST_TIMEOUT": "600s",
	}
	for i := 0; i < len(more); i += 2 {
		p.env[more[i]] = more[i+1]
	}
	p.stubs = func(c *doctor.Config) {
		c.Dial = p.fake.Client
		c.Transport = redirected{p}
		c.DialServices = p.openService
	}
}

// redirected sends every request to the target's servers.
type redirected struct{ *target }

func (r redirected) RoundTrip(request *http.Request) (*http.Response, error) {
	request = request.Clone(request.Context())
	request.URL.Scheme = "http"
	request.URL.Host = strings.TrimPrefix(r.handler.URL, "http://")
	if strings.Contains(request.Host, "googleapis") {
		request.URL.Host = strings.TrimPrefix(r.certs.URL, "http://")
	}
	return http.DefaultTransport.RoundTrip(request)
}

// diagnose runs doctor.
func (p *target) diagnose() []doctor.Result {
	p.t.Helper()
	var g grammar
	sources := config.NewSources(append([]string{"doctor"}, p.args...), p.env)
	parser, err := kong.New(&g, sources.Options()...)
	if err != nil {
		p.t.Fatal(err)
	}
	command, err := sources.Parse(parser)
	if err != nil {
		p.t.Fatal(err)
	}
	cfg := (&program{own: Config{Tasks: testTasks}, known: testRegistry, name: "server",
		config: &config.Config{Settings: &g.Settings, Env: p.env}, sources: sources, blank: sources.CheckBlank(command), stdout: io.Discard, stderr: io.Discard,
	}).diagnosis(&g.Doctor)
	if p.facts != nil {
		cfg.Inspect = func(ctx context.Context, db stores.Database) (dbfacts.Facts, error) {
			facts, err := db.(stores.Inspector).Inspect(ctx)
			p.facts(&facts)
			return facts, err
		}
	}
	if p.stubs != nil {
		p.stubs(&cfg)
	}
	d := doctor.New(p.t.Context(), cfg)
	defer d.Close()
	return d.Run(p.t.Context(), func(doctor.Result) {})
}

// wants checks that exactly these checks fail or warn. Each is "fail NAME: part
// of detail or fix", and parts are separated by " … ".
func (p *target) wants(want ...string) []doctor.Result {
	p.t.Helper()
	results := p.diagnose()
	expected := make(map[string]string)
	for _, w := range want {
		name, text, _ := strings.Cut(w, ": ")
		expected[name] = text
	}
	for _, r := range results {
		name := fmt.Sprintf("%s %s", r.Status, r.Check)
		text, found := expected[name]
		delete(expected, name)
		said := r.Detail + " → " + r.Fix
		if !found && (r.Status == doctor.Fail || r.Status == doctor.Warn) {
			p.t.Errorf("unexpected: %s: %s", name, said)
		}
		for part := range strings.SplitSeq(text, " … ") {
			if found && !strings.Contains(said, part) {
				p.t.Errorf("%s says %q, which lacks %q", name, said, part)
			}
		}
		if found && r.Status == doctor.Fail && r.Fix == "" {
			p.t.Errorf("%s has no fix", name)
		}
		if strings.Contains(said, targetSecret) {
			p.t.Errorf("%s reveals the secret", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(expected)) {
		p.t.Errorf("missing: %s: %s", name, expected[name])
	}
	if p.t.Failed() {
		for _, r := range results {
			p.t.Log(doctorLine(r))
		}
	}
	return results
}

// status is how one check ended.
func statusOf(results []doctor.Result, check string) doctor.Status {
	for _, r := range results {
		if r.Check == check {
			return r.Status
		}
	}
	return ""
}

func detailOf(results []doctor.Result, check string) string {
	for _, r := range results {
		if r.Check == check {
			return r.Detail
		}
	}
	return ""
}

// safe takes away what the servers of tests do without.
func safe(f *dbfacts.Facts) {
	for i := range f.Durability {
		f.Durability[i].Loses = ""
	}
}

// replaceQueue puts another queue in the place of the first.
func (p *target) replaceQueue(q *cloudtaskspb.Queue) {
	p.t.Helper()
	fake, err := cloudtaskstest.New(cloudtaskstest.Config{Issuer: p.certs.URL, Queues: []*cloudtaskspb.Queue{q}})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(fake.Close)
	p.fake = fake
	p.stubs = func(c *doctor.Config) { c.Dial = fake.Client }
}
