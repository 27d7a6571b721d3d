package deploy_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"cloud.google.com/go/cloudtasks/apiv2/cloudtaskspb"

	"github.com/claimcheck-go/claimcheck/cloudtasks/cloudtaskstest"
)

const smokeToken = "0123456789abcdef0123456789abcdef"

// candidate is a server in cloudtasks mode with a fake Cloud Tasks, which has the
// named queues, behind what lets only callers with a token through, as Cloud
// Run's IAM does, or (public) everybody.
func candidate(t *testing.T, public bool, queues ...string) (front string) {
	t.Helper()
	var config cloudtaskstest.Config
	for _, name := range queues {
		config.Queues = append(config.Queues, &cloudtaskspb.Queue{Name: "projects/my-project/locations/europe-west1/queues/" + name})
	}
	certs := httptest.NewServer(nil)
	t.Cleanup(certs.Close)
	config.Issuer = certs.URL
	tasks, err := cloudtaskstest.New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tasks.Close)
	certs.Config.Handler = tasks.Certs()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = tasks.Serve(listener) }()

	address, _ := freeAddress(t)
	cmd := exec.Command(server(t), "serve", "--migrate", "--listen="+address)
	cmd.Env = []string{
		"CLOUD_TASKS_EMULATOR_HOST=" + listener.Addr().String(), "OIDC_ISSUER=" + certs.URL, "OIDC_CERTS_URL=" + certs.URL,
		"CLOUD_TASKS_PROJECT=my-project", "CLOUD_TASKS_LOCATION=europe-west1", "DATABASE_URL=sqlite:" + filepath.Join(t.TempDir(), "tasks.db"),
		"TASK_HANDLER_URL=http://" + address + "/tasks/execute/{task_id}/", "OIDC_SERVICE_ACCOUNT_EMAIL=invoker@my-project.iam.gserviceaccount.com",
		"TASK_API_TOKEN=" + smokeToken,
	}
	serve(t, address, cmd)
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: address})
	iam := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !public && r.Header.Get("Authorization") == "" {
			http.Error(w, "forbidden", http.StatusForbidden)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(iam.Close)
	return iam.URL
}

func TestSmokeSendsATaskAllTheWay(t *testing.T) {
	p := newProject(t)
	got := p.run(append([]string{"CANDIDATE_URL=" + candidate(t, false, "default"), "FAKE_TOKEN=" + smokeToken}, releaseEnv...), "deploy/release.sh", "smoke")
	if got.status != 0 || !strings.Contains(got.stdout, " was run") {
		t.Fatalf("%d %s%s", got.status, got.stdout, got.stderr)
	}
	// The audience is the service's URL and not the tag's, and the token says who it is of.
	wantCall(t, p.state().Calls, "print-identity-token --impersonate-service-account=claimcheck-invoker@my-project.iam.gserviceaccount.com "+
		"--audiences=https://claimcheck-123456789.europe-west1.run.app ", "--include-email")
}

func TestSmokeFailsWhereSomethingIsWrong(t *testing.T) {
	empty := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Authorization") == "":
			w.WriteHeader(http.StatusForbidden)
		case r.URL.Path == "/health/ready":
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer empty.Close()
	sample := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "" {
			w.WriteHeader(http.StatusForbidden)
		}
		_, _ = io.WriteString(w, "Hello World!")
	}))
	defer sample.Close()
	gone, _ := freeAddress(t)
	good := candidate(t, false, "default")
	for name, c := range map[string]struct{ url, token, want string }{
		"open to everybody":       {candidate(t, true, "default"), smokeToken, "the service is public"},
		"no database":             {empty.URL, smokeToken, "expected 200, got 503"},
		"another program":         {sample.URL, smokeToken, "expected 201, got 200"},
		"nobody there":            {"http://" + gone, smokeToken, "no answer"},
		"a token for another":     {good, "another-token", "expected 201, got 401"},
		"no queue to put it into": {candidate(t, false, "emails"), smokeToken, "Cloud Tasks refused it"},
		"no token":                {good, "", "TOKEN is not set"},
	} {
		got := run(t, []string{"TOKEN=" + c.token}, "deploy/smoke.sh", c.url)
		if got.status == 0 || !strings.Contains(got.stderr, c.want) {
			t.Errorf("%s: %d %s%s", name, got.status, got.stdout, got.stderr)
		}
		if c.token != "" && strings.Contains(got.stdout+got.stderr, c.token) {
			t.Errorf("%s: it shows the token", name)
		}
	}
}
