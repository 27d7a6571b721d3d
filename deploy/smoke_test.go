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
	"slices"
	"strings"
	"testing"

	"cloud.google.com/go/cloudtasks/apiv2/cloudtaskspb"

	"github.com/claimcheck-go/claimcheck/cloudtasks/cloudtaskstest"
	"github.com/claimcheck-go/claimcheck/deploy/internal/gcloudfake"
	"github.com/claimcheck-go/claimcheck/internal/holdport"
)

const smokeToken = "0123456789abcdef0123456789abcdef"

// candidate is a server in cloudtasks mode with a fake Cloud Tasks, which has the
// named queues, behind a proxy that admits only callers with a token, as Cloud
// Run's IAM does, or (public) every caller.
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

	address := holdport.ForTest(t).Addr()
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

// iamCredentials is the IAM Credentials API, which has one service account and takes
// one access token.
func iamCredentials(t *testing.T, accessToken, idToken string) (url string, requests *[]string) {
	t.Helper()
	requests = new([]string)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		*requests = append(*requests, r.Method+" "+r.URL.Path+" "+string(body))
		w.Header().Set("Content-Type", "application/json; charset=UTF-8")
		switch {
		case r.Header.Get("Authorization") != "Bearer "+accessToken:
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, `{"error":{"code":403,"message":"Permission 'iam.serviceAccounts.getOpenIdToken' denied on resource (or it may not exist).","status":"PERMISSION_DENIED"}}`)
		case !strings.HasSuffix(r.URL.Path, "/claimcheck-invoker@my-project.iam.gserviceaccount.com:generateIdToken"):
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, `{"error":{"code":404,"message":"Not found; Gaia id not found for email","status":"NOT_FOUND"}}`)
		default:
			_, _ = io.WriteString(w, "{\n  \"token\": \""+idToken+"\"\n}\n")
		}
	}))
	t.Cleanup(server.Close)
	return server.URL, requests
}

func TestSmokeSendsATaskAllTheWay(t *testing.T) {
	p := newProject(t)
	iam, requests := iamCredentials(t, "access", smokeToken)
	got := p.run(append([]string{"CANDIDATE_URL=" + candidate(t, false, "default"), "IAMCREDENTIALS_URL=" + iam, gcloudfake.EnvToken + "=access"}, releaseEnv...), "deploy/release.sh", "smoke")
	if got.status != 0 || !strings.Contains(got.stdout, " succeeded") {
		t.Fatalf("%d %s%s", got.status, got.stdout, got.stderr)
	}
	// The audience is the service's URL and not the tag's, and the token says whose it
	// is. The caller's own access token is enough: it never asks for one of the invoker.
	want := "POST /v1/projects/-/serviceAccounts/claimcheck-invoker@my-project.iam.gserviceaccount.com:generateIdToken " +
		`{"audience":"https://claimcheck-123456789.europe-west1.run.app","includeEmail":true}`
	if !slices.Equal(*requests, []string{want}) {
		t.Errorf("%q", *requests)
	}
	if calls := p.calls(); !slices.Equal(calls, []string{"auth print-access-token --quiet"}) {
		t.Errorf("%q", calls)
	}
}

func TestTokenSaysWhyThereIsNone(t *testing.T) {
	iam, _ := iamCredentials(t, "access", smokeToken)
	gone := holdport.ForTest(t).Addr() // nothing listens
	const invoker, audience = "claimcheck-invoker@my-project.iam.gserviceaccount.com", "https://claimcheck-123456789.europe-west1.run.app"
	for name, c := range map[string]struct {
		url, token, fail string
		args             []string
		want             string
	}{
		"no role":       {iam, "another-secret", "", []string{invoker, audience}, "needs roles/iam.serviceAccountOpenIdTokenCreator"},
		"no account":    {iam, "access", "", []string{"x" + invoker, audience}, "there is no service account x" + invoker},
		"not logged in": {iam, "access", "print-access-token", []string{invoker, audience}, "gcloud auth login"},
		"no answer":     {"http://" + gone, "access", "", []string{invoker, audience}, "does not answer"},
		"no audience":   {iam, "access", "", []string{invoker}, "usage: deploy/token.sh"},
		"no e-mail":     {iam, "access", "", []string{"claimcheck-invoker", audience}, "must be an e-mail address, not 'claimcheck-invoker'"},
		"no URL":        {iam, "access", "", []string{invoker, `x"`}, "the audience must be a URL"},
	} {
		p := newProject(t)
		p.fail = c.fail
		got := p.run([]string{"IAMCREDENTIALS_URL=" + c.url, gcloudfake.EnvToken + "=" + c.token}, "deploy/token.sh", c.args...)
		if got.status == 0 || !strings.Contains(got.stderr, c.want) || got.stdout != "" || strings.Contains(got.stderr, "another-secret") {
			t.Errorf("%s: %d %s%s", name, got.status, got.stdout, got.stderr)
		}
	}
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
	gone := holdport.ForTest(t).Addr() // nothing listens
	good := candidate(t, false, "default")
	for name, c := range map[string]struct{ url, token, want string }{
		"open to everybody":       {candidate(t, true, "default"), smokeToken, "the service is public"},
		"no database":             {empty.URL, smokeToken, "expected 200, got 503"},
		"another program":         {sample.URL, smokeToken, "expected 201, got 200"},
		"nothing listens":         {"http://" + gone, smokeToken, "no answer"},
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
