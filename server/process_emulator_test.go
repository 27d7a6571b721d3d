package server

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/internal/testproc"
	"github.com/claimcheck-go/claimcheck/queue"
)

// publicEmulator is the emulator of Cloud Tasks that most people use, in a module
// of its own so that its dependencies stay out of ours.
const (
	publicEmulator = "github.com/aertje/cloud-tasks-emulator"
	emulatorModule = "../tools/emulator"
)

// buildPublicEmulator builds it as it is published, but for the address at which
// it serves its keys: everywhere by itself, here where its issuer is.
func buildPublicEmulator(t *testing.T) (binary string) {
	t.Helper()
	command := func(dir, name string, args ...string) []byte {
		c := exec.CommandContext(t.Context(), name, args...)
		c.Dir, c.Env = dir, append(os.Environ(), "GOWORK=off", "GOFLAGS=")
		c.Stderr = os.Stderr
		out, err := c.Output()
		if err != nil {
			t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
		}
		return out
	}
	var module struct{ Dir string }
	if err := json.Unmarshal(command(emulatorModule, "go", "mod", "download", "-json", publicEmulator), &module); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	sources, err := filepath.Glob(filepath.Join(module.Dir, "*.go"))
	if err != nil || len(sources) == 0 {
		t.Fatalf("no source in %s: %v", module.Dir, err)
	}
	for _, path := range append(sources, filepath.Join(emulatorModule, "go.mod"), filepath.Join(emulatorModule, "go.sum")) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(path)
		if name == "oidc.go" {
			const everywhere = `listenAddr := "0.0.0.0"`
			if strings.Count(string(text), everywhere) != 1 {
				t.Fatalf("%s has changed: it does not contain %s once", path, everywhere)
			}
			text = []byte(strings.Replace(string(text), everywhere, `listenAddr := url.Hostname()`, 1))
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	command(dir, "go", "build", "-o", "emulator", ".")
	return filepath.Join(dir, "emulator")
}

// startPublicEmulator starts it on a loopback address of its own, where no other
// test has these ports.
func startPublicEmulator(t *testing.T, queues ...string) (api, issuer string) {
	t.Helper()
	host := fmt.Sprintf("127.%d.%d.%d", 1+rand.IntN(254), rand.IntN(256), 1+rand.IntN(254)) //nolint:gosec // no secret
	api, issuer = host+":8123", "http://"+host+":8237"
	args := []string{"-host", host, "-port", "8123", "-openid-issuer", issuer}
	for _, queue := range queues {
		args = append(args, "-queue", queue)
	}
	command := exec.CommandContext(t.Context(), buildPublicEmulator(t), args...)
	log := testproc.NewLog(t, command)
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
		if t.Failed() {
			t.Logf("log of the emulator:\n%s", log)
		}
	})
	procWait(t, "the emulator", func() bool {
		response, err := http.Get(issuer + "/jwks") //nolint:noctx // loopback
		if err != nil {
			return false
		}
		_ = response.Body.Close()
		conn, err := net.Dial("tcp", api)
		if err != nil {
			return false
		}
		return conn.Close() == nil
	})
	return api, issuer
}

// front is where deliveries arrive: the server's port is not known before it
// starts, and its handler's URL must be.
type front struct {
	*httptest.Server
	server atomic.Pointer[url.URL]

	mu       sync.Mutex
	tokens   map[string]int // Authorization headers, and how often each came
	statuses map[int]int
}

func newFront(t *testing.T) *front {
	t.Helper()
	f := &front{tokens: make(map[string]int), statuses: make(map[int]int)}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := &procStatus{ResponseWriter: w}
		httputil.NewSingleHostReverseProxy(f.server.Load()).ServeHTTP(answer, r)
		f.mu.Lock()
		defer f.mu.Unlock()
		f.tokens[r.Header.Get("Authorization")]++
		f.statuses[answer.status]++
	}))
	t.Cleanup(f.Close)
	return f
}

// What people use on their own machines: the public emulator creates tasks for the
// server, signs as the invoker with a key of its own, and delivers.
func TestPublicEmulatorDeliversVerifiedTokens(t *testing.T) {
	t.Parallel()
	const tasks = 50
	api, issuer := startPublicEmulator(t, "projects/demo/locations/europe-west1/queues/claimcheck")
	f := newFront(t)
	s := procServe(t, t.TempDir(), []string{
		procToken, "CLOUD_TASKS_EMULATOR_HOST=" + api, "OIDC_ISSUER=" + issuer, "OIDC_CERTS_URL=" + issuer + "/jwks",
		"CLOUD_TASKS_PROJECT=demo", "CLOUD_TASKS_LOCATION=europe-west1", "TASKS_QUEUE_ALIASES=default=claimcheck",
		"TASK_HANDLER_URL=" + f.URL + "/tasks/execute/{task_id}/", "OIDC_SERVICE_ACCOUNT_EMAIL=" + procAccount,
	}, "--migrate")
	server, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	f.server.Store(server)

	var ids []uuid.UUID
	for n := range tasks {
		ids = append(ids, s.enqueue(fmt.Sprintf(`{"task":"demo.echo","args":{"n":%d}}`, n)).ID)
	}
	for _, id := range ids {
		s.wantEnd(id, queue.StatusSuccessful, 1)
	}
	procWait(t, "the answers to all deliveries", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.statuses[http.StatusOK] >= tasks
	})
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.statuses) != 1 || f.statuses[http.StatusOK] != tasks || f.tokens[""] > 0 {
		t.Errorf("deliveries were answered with %v, %d had no token", f.statuses, f.tokens[""])
	}
	// The tokens count, and not the address that they come from.
	for token := range f.tokens {
		forged, other := []byte(token), byte('A')
		if at := len(forged) - 10; forged[at] == other { // within the signature
			other = 'B'
		}
		forged[len(forged)-10] = other
		for what, header := range map[string]string{"no token": "Bearer x", "a changed token": string(forged)} {
			reply := s.do(http.MethodPost, "/tasks/execute/"+ids[0].String()+"/", "", "Authorization", header)
			if reply.status != http.StatusUnauthorized {
				t.Errorf("%s: %d %s", what, reply.status, reply.text)
			}
		}
		break
	}
}
