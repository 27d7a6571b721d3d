package examples_test

import (
	"bufio"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// apps are the examples of whole jobs: each is a module with a README, tests of its own
// through queuetest and through the fake of Cloud Tasks, and a program for "go run .".
var apps = []string{"signup", "thumbnails", "webhooks", "report", "import"}

// Their own tests pass where they are, by the committed go.mod and go.sum alone.
func TestTheAppsOwnTests(t *testing.T) {
	for _, app := range apps {
		t.Run(app, func(t *testing.T) {
			own := read(t, filepath.Join(app, "main_test.go"))
			for _, kit := range []string{"queuetest.RequireEnqueued(", "pushtest.Start("} {
				if !strings.Contains(own, kit) {
					t.Errorf("no test with %s…)", kit)
				}
			}
			test := exec.CommandContext(t.Context(), "go", "test", "-vet=all", "./...")
			test.Dir, test.Env = app, append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=readonly", "GOPROXY=off")
			if out, err := test.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s\nafter a change of the module's requirements: cd examples/%s && go mod tidy", err, out, app)
			}
		})
	}
}

func TestTheAppsAreDescribed(t *testing.T) {
	for _, app := range apps {
		if !strings.Contains(read(t, filepath.Join(app, "README.md")), "```sh\ngo run .\n```") {
			t.Errorf("%s/README.md does not say how to run it", app)
		}
		for _, page := range []string{"../README.md", "../docs/tasks.md"} {
			if !strings.Contains(read(t, page), "examples/"+app+")") {
				t.Errorf("%s does not link examples/%s", page, app)
			}
		}
	}
}

// What "go run ." prints, for those that end by themselves.
func TestWhatTheAppsPrint(t *testing.T) {
	for app, want := range map[string]string{
		"signup": "signed up: ann@example.com\nmail sent: Welcome, to <ann@example.com>\nsigned up: bob@example.com\nmail sent: Welcome, to <bob@example.com>\n" +
			"refused, and no second mail: ann@example.com\n",
		"import": "imported 19980 customers and rejected 20 lines, in 5 attempts, of which 1 failed (the database is away)\n" +
			"progress: 20000 of 20000; note: 19980 customers, 20 lines rejected\n",
		"report":     "the schedule: 0 2 * * * Europe/Berlin\nreport:\n  east    120\n  north    80\n  south   200\n  west     45\n  total   445\n",
		"thumbnails": "thumbnail: 160 × 120\nthumbnail: 53 × 160\nknown already: 160 × 120\nno thumbnail: image: unknown format\n",
	} {
		run := exec.CommandContext(t.Context(), "go", "run", ".")
		run.Dir, run.Env = app, append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=readonly", "GOPROXY=off")
		if out, err := run.CombinedOutput(); err != nil || string(out) != want {
			t.Errorf("%s: %v\n%s\nwant\n%s", app, err, out, want)
		}
	}
}

// The commands of the page do what it says: an event is accepted, one is retried, and one
// that has FAILED is replayed.
func TestWebhooks(t *testing.T) {
	program, dir := outside(t, "webhooks"), t.TempDir()
	serve := exec.CommandContext(t.Context(), program, "--listen", "127.0.0.1:0")
	serve.Dir, serve.Env = dir, []string{"HOME=" + dir}
	out, err := serve.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	serve.Stderr = serve.Stdout
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = serve.Process.Kill(); _ = serve.Wait() })
	lines, seen := bufio.NewScanner(out), ""
	until := func(pattern string) string {
		t.Helper()
		for found := regexp.MustCompile(pattern); lines.Scan(); {
			seen += lines.Text() + "\n"
			if m := found.FindStringSubmatch(lines.Text()); m != nil {
				return m[len(m)-1]
			}
		}
		t.Fatalf("the program did not print %s:\n%s", pattern, seen)
		return ""
	}
	url := until(`listen=(http://\S+)`)
	post := func(path string) {
		t.Helper()
		client := &http.Client{Timeout: time.Minute}
		response, err := client.Post(url+path, "application/json", strings.NewReader(`{"order":1}`))
		if err != nil || response.StatusCode/100 != 2 {
			t.Fatalf("%s: %v, %v", path, response, err)
		}
		_ = response.Body.Close()
	}
	post("/events/acme/order.paid")
	until(`acme answers 204 to {"data":{"order":1},"type":"order.paid"}`)
	post("/events/globex/order.paid")
	for _, status := range []string{"503", "503", "204"} {
		until("globex answers " + status)
	}
	post("/events/initech/order.paid")
	until("initech answers 410")
	until(`msg="task failed; no attempt is left`)
	post("/repair/initech")
	retry := exec.CommandContext(t.Context(), program, "retry", "--all", "--task", "webhooks.deliver", "--yes")
	retry.Dir, retry.Env = dir, []string{"HOME=" + dir}
	if text, err := retry.CombinedOutput(); err != nil || !strings.Contains(string(text), "1 task retried") {
		t.Errorf("%v\n%s", err, text)
	}
	until("initech answers 204")
}
