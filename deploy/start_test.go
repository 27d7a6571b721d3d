package deploy_test

import (
	"context"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/claimcheck-go/claimcheck/internal/holdport"
	"github.com/claimcheck-go/claimcheck/internal/testproc"
)

// metadata is Google Cloud's metadata server, as far as the server asks it.
func metadata(t *testing.T) (host string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Metadata-Flavor", "Google")
		switch path := r.URL.Path; {
		case strings.HasSuffix(path, "project/project-id"):
			_, _ = io.WriteString(w, "my-project")
		case strings.HasSuffix(path, "project/numeric-project-id"):
			_, _ = io.WriteString(w, "123456789")
		case strings.HasSuffix(path, "instance/region"):
			_, _ = io.WriteString(w, "projects/123456789/regions/europe-west1")
		case strings.HasSuffix(path, "/token"):
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"access_token":"t","expires_in":3600,"token_type":"Bearer"}`)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// serve starts a command that serves at an address, waits until it is ready, and
// ends it with the test, which fails unless it drains and exits with 0.
func serve(t *testing.T, address string, cmd *exec.Cmd) *testproc.Log {
	t.Helper()
	output := testproc.NewLog(t, cmd)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := <-ended; err != nil && !t.Failed() {
			t.Errorf("it ended with %v:\n%s", err, output)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		if status, _ := get(ctx, "http://"+address+"/health/ready"); status == http.StatusOK {
			return output
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("it ended with %v:\n%s", err, output)
		case <-ctx.Done():
			t.Fatalf("it did not get ready:\n%s", output)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func get(ctx context.Context, url string) (int, string) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err.Error()
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer answer.Body.Close()
	body, _ := io.ReadAll(answer.Body)
	return answer.StatusCode, string(body)
}

// platformEnv is what a manifest sets, and what the platform does.
func platformEnv(t *testing.T, manifest map[string]string, platform ...string) []string {
	t.Helper()
	env := append([]string{"GCE_METADATA_HOST=" + metadata(t)}, platform...)
	for name, value := range manifest {
		env = append(env, name+"="+value)
	}
	return env
}

// The manifests' settings are used unchanged, except for the database.
func TestServerStartsWithWhatTheManifestsSay(t *testing.T) {
	cloudRun := map[string]string{}
	container := decode[knativeService](t, rendered(t, "service.yaml")).Spec.Template.Spec.Containers[0]
	for _, e := range container.Env {
		cloudRun[e.Name] = e.Value
	}
	cloudRun["ADMIN_TOKEN"] = strings.Repeat("a", 48)
	appEngine := maps.Clone(decode[appConfig](t, rendered(t, "app.yaml")).EnvVariables)
	delete(appEngine, "CLOUD_SQL_INSTANCE")
	delete(appEngine, "CLOUD_SQL_IAM_AUTH")
	cloudRun["CLAIMCHECK_MIGRATE"] = "true" // by the job, there

	for name, c := range map[string]struct {
		env      map[string]string
		platform []string
		args     []string
		log      []string
	}{
		"Cloud Run": {cloudRun, []string{"K_SERVICE=claimcheck", "K_REVISION=claimcheck-1"}, container.Args, []string{
			`"handler_url":"https://claimcheck-123456789.europe-west1.run.app/tasks/execute/{task_id}/"`,
			`"audience":"https://claimcheck-123456789.europe-west1.run.app"`, `"cloud_tasks":"my-project/europe-west1"`, `"queues":"default,emails"`,
			`"version":"v0.0.0-test","revision":"0123abc"`,
		}},
		"App Engine": {appEngine, []string{"GAE_APPLICATION=e~my-project", "GAE_ENV=standard", "GAE_SERVICE=default", "GAE_VERSION=v1", "GOOGLE_CLOUD_PROJECT=my-project"}, nil, []string{
			`"handler_url":"https://my-project.ew.r.appspot.com/tasks/execute/{task_id}/"`, `"audience":"https://my-project.ew.r.appspot.com"`,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			c.env["DATABASE_URL"] = "sqlite:" + filepath.Join(t.TempDir(), "tasks.db")
			port := holdport.ForTest(t)
			cmd := exec.Command(server(t), c.args...)
			cmd.Env = platformEnv(t, c.env, append(c.platform, "PORT="+strconv.Itoa(port.Number))...)
			output := serve(t, port.Addr(), cmd)
			for _, want := range c.log {
				if !strings.Contains(output.String(), want) {
					t.Errorf("the log has no %s:\n%s", want, output)
				}
			}
			if strings.Contains(output.String(), "WARNING") {
				t.Errorf("it warns:\n%s", output)
			}
			if status, body := get(t.Context(), "http://"+port.Addr()+"/tasks/status/"); status != http.StatusUnauthorized {
				t.Errorf("a stranger got %d %s", status, body)
			}
		})
	}
}

// The server accepts the database's URLs: it gets as far as looking for the
// database, which does not exist here.
func TestServerTakesTheDatabaseURLs(t *testing.T) {
	p := newProject(t)
	if got := p.run(nil, "deploy/setup.sh", projectArgs...); got.status != 0 {
		t.Fatal(got.stderr)
	}
	app := decode[appConfig](t, rendered(t, "app.yaml")).EnvVariables
	for name, env := range map[string]map[string]string{
		"the secret": {"DATABASE_URL": p.state().Secrets["claimcheck-database-url"], "CLOUD_RUN_JOB": "migrate"},
		"app.yaml":   app,
	} {
		got := run(t, append(platformEnv(t, env), "HTTPS_PROXY=http://127.0.0.1:1"), server(t), "migrate", "status")
		if got.status != 1 || !strings.Contains(got.stderr, "my-project:europe-west1:claimcheck-db") || strings.Contains(got.stderr, "password") {
			t.Errorf("%s: %d %s", name, got.status, got.stderr)
		}
	}
}

// TestBinaryNeedsNothingAroundIt starts what the Dockerfile builds as the image
// has it: no libraries, no shell, an unprivileged user, nothing writable.
func TestBinaryNeedsNothingAroundIt(t *testing.T) {
	root := t.TempDir()
	binary, err := os.ReadFile(server(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "server"), binary, 0o555); err != nil { //nolint:gosec // it is a program
		t.Fatal(err)
	}
	for path := root; path != os.TempDir() && path != "/"; path = filepath.Dir(path) {
		_ = os.Chmod(path, 0o755) //nolint:gosec // another user goes through it
	}
	if err := os.Chmod(root, 0o555); err != nil { //nolint:gosec // it is read-only
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(root, 0o755) }) //nolint:gosec // so that it can be deleted
	port := holdport.ForTest(t)
	cmd := exec.Command(filepath.Join(root, "server"), "serve")
	cmd.Dir = root
	if os.Getuid() == 0 {
		cmd.Path, cmd.Dir = "/server", "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: 65532, Gid: 65532}}
	}
	cmd.Env = []string{"K_SERVICE=claimcheck", "PORT=" + strconv.Itoa(port.Number), "DATABASE_URL=sqlite::memory:", "TASKS_MODE=pull", "CLAIMCHECK_MIGRATE=true", "TASK_API_TOKEN=0123456789abcdef0123456789abcdef"}
	serve(t, port.Addr(), cmd)
}
