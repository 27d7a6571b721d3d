package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"cloud.google.com/go/cloudtasks/apiv2/cloudtaskspb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/claimcheck-go/claimcheck/cloudtasks"
)

// start builds and starts the emulator, and returns its settings by name.
func start(t *testing.T, args ...string) (map[string]string, *exec.Cmd) {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "emulator")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	command := exec.Command(binary, append([]string{"--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"}, args...)...)
	command.Stderr = os.Stderr
	stdout, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = command.Process.Kill() })
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	settings := map[string]string{}
	for _, field := range strings.Fields(line) {
		name, value, _ := strings.Cut(field, "=")
		settings[name] = value
	}
	return settings, command
}

func TestEmulatorDeliversAndStops(t *testing.T) {
	settings, command := start(t, "--queue", "default")
	got := make(chan *http.Request, 1)
	handler := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got <- r }))
	defer handler.Close()

	ctx, cancel := context.WithTimeout(t.Context(), 25*time.Second) // the service refuses more than 30 s
	defer cancel()
	client, err := cloudtasks.Dial(ctx, cloudtasks.DialConfig{EmulatorHost: settings["CLOUD_TASKS_EMULATOR_HOST"]})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	create := func(queue string) error {
		_, err := client.CreateTask(ctx, &cloudtaskspb.CreateTaskRequest{
			Parent: "projects/p/locations/l/queues/" + queue,
			Task: &cloudtaskspb.Task{MessageType: &cloudtaskspb.Task_HttpRequest{HttpRequest: &cloudtaskspb.HttpRequest{
				Url: handler.URL + "/tasks/execute/1/",
				AuthorizationHeader: &cloudtaskspb.HttpRequest_OidcToken{OidcToken: &cloudtaskspb.OidcToken{
					ServiceAccountEmail: "tasks@p.iam.gserviceaccount.com", Audience: handler.URL}},
			}}},
		})
		return err
	}
	if err := create("other"); status.Code(err) != codes.NotFound {
		t.Errorf("a queue that does not exist: %v", err)
	}
	if err := create("default"); err != nil {
		t.Fatal(err)
	}
	select {
	case r := <-got:
		if !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer ") {
			t.Errorf("delivery without a token: %v", r.Header)
		}
	case <-ctx.Done():
		t.Fatal("no delivery")
	}

	var certs struct{ Keys []any }
	getJSON(t, settings["OIDC_CERTS_URL"], &certs)
	var state struct{ Queues map[string]int }
	getJSON(t, settings["OIDC_ISSUER"], &state)
	if _, ok := state.Queues["projects/p/locations/l/queues/default"]; len(certs.Keys) != 1 || !ok {
		t.Errorf("certs %v, status %v", certs, state)
	}

	if err := command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := command.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
}

func getJSON(t *testing.T, url string, v any) {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(v); err != nil {
		t.Errorf("%s: %v", url, err)
	}
}

func TestMistakesOnTheCommandLine(t *testing.T) {
	for _, test := range []struct{ args, says string }{
		{"--listen=0.0.0.0:8123", "--allow-non-loopback"},
		{"--http=:8124", "--allow-non-loopback"},
		{"--http=8124", "host:port"},
		{"extra", "no arguments"},
		{"--nonsense", "nonsense (see --help)"},
	} {
		err := run(t.Context(), strings.Fields(test.args), &bytes.Buffer{})
		if _, ok := err.(usageError); !ok || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v, want a usage error that says %q", test.args, err, test.says)
		}
	}
	var help bytes.Buffer
	if err := run(t.Context(), []string{"--help"}, &help); !errors.Is(err, flag.ErrHelp) || !strings.Contains(help.String(), "-allow-non-loopback") {
		t.Errorf("--help: %v, %q", err, help.String())
	}
	if o, err := parse([]string{"--listen=0.0.0.0:1", "--allow-non-loopback"}, &bytes.Buffer{}); err != nil || o.listen != "0.0.0.0:1" {
		t.Errorf("%+v, %v", o, err)
	}
}
