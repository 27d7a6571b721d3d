package cloudtasks

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/cloudtasks/apiv2/cloudtaskspb"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/claimcheck-go/claimcheck/queue"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var (
	testNow = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	testID  = uuid.MustParse("0195528e-7c00-7000-8000-0123456789ab")
)

func TestNewCreateTaskRequest(t *testing.T) {
	appEngine := func(c *Config) {
		c.AppEngine = &AppEngineTarget{Service: "worker", Version: "v7"}
	}
	tests := []struct {
		name   string
		change func(*Config)
		ticket queue.Ticket
	}{
		{"now", nil, queue.Ticket{Queue: "default", Timeout: 9 * time.Minute}},
		{"past", nil, queue.Ticket{Queue: "default", Timeout: time.Minute, DueAt: testNow.Add(-time.Hour)}},
		{"just-past", nil, queue.Ticket{Queue: "default", Timeout: time.Minute, DueAt: testNow.Add(-30 * time.Second)}},
		{"later", nil, queue.Ticket{Queue: "default", Timeout: time.Minute, DueAt: testNow.Add(time.Hour + 1500*time.Microsecond)}},
		{"named", nil, queue.Ticket{Queue: "default", Timeout: time.Minute, Name: "9f2c-0195528e7c00-1"}},
		{"alias", nil, queue.Ticket{Queue: "emails", Timeout: time.Minute}},
		{"audience", func(c *Config) { c.Audience = "https://tasks.acme.example" }, queue.Ticket{Queue: "default", Timeout: time.Minute}},
		{"short-timeout", nil, queue.Ticket{Queue: "default", Timeout: time.Second}},
		{"long-timeout", nil, queue.Ticket{Queue: "default", Timeout: time.Hour}},
		{"no-timeout", nil, queue.Ticket{Queue: "default"}},
		{"appengine", appEngine, queue.Ticket{Queue: "default", Timeout: time.Hour}},
		{"appengine-default-version", func(c *Config) {
			c.AppEngine = &AppEngineTarget{HandlerPath: "/run/{task_id}"}
		}, queue.Ticket{Queue: "default"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			cfg := testConfig()
			if test.change != nil {
				test.change(&cfg)
			}
			cfg, err := cfg.check()
			if err != nil {
				t.Fatal(err)
			}
			test.ticket.ID = testID
			request, err := newCreateTaskRequest(cfg, test.ticket, testNow)
			if err != nil {
				t.Fatal(err)
			}
			compareGolden(t, filepath.Join("testdata", test.name+".golden"), request)
		})
	}
}

// compareGolden compares the request as JSON. protojson varies its white space
// from build to build on purpose, so it is taken out and put in again.
func compareGolden(t *testing.T, file string, request *cloudtaskspb.CreateTaskRequest) {
	t.Helper()
	raw, err := protojson.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	var compact, got bytes.Buffer
	if err := json.Compact(&compact, raw); err != nil {
		t.Fatal(err)
	}
	if err := json.Indent(&got, compact.Bytes(), "", "  "); err != nil {
		t.Fatal(err)
	}
	got.WriteByte('\n')
	if *update {
		if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("request differs from %s (-want +got); if that is meant, run go test -update\n%s", file, diff)
	}
}

func TestNewCreateTaskRequestRefuses(t *testing.T) {
	cfg, err := testConfig().check()
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		ticket queue.Ticket
		says   string
	}{
		{"beyond 30 days", queue.Ticket{Queue: "default", DueAt: testNow.Add(30*24*time.Hour + time.Second)}, "30 days ahead"},
		{"queue", queue.Ticket{Queue: "a_b"}, "give it an alias"},
		{"name", queue.Ticket{Queue: "default", Name: "a/b"}, `"a/b"`},
		{"long name", queue.Ticket{Queue: "default", Name: strings.Repeat("n", 501)}, "500"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			request, err := newCreateTaskRequest(cfg, test.ticket, testNow)
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v, %v; want an error that says %q", request, err, test.says)
			}
		})
	}
	if _, err := newCreateTaskRequest(cfg, queue.Ticket{Queue: "default", DueAt: testNow.Add(30 * 24 * time.Hour)}, testNow); err != nil {
		t.Errorf("30 days ahead: %v", err)
	}
}

// Cloud Tasks carries the row's ID and nothing else.
func TestRequestCarriesOnlyTheID(t *testing.T) {
	cfg, err := testConfig().check()
	if err != nil {
		t.Fatal(err)
	}
	request, err := newCreateTaskRequest(cfg, queue.Ticket{ID: testID, Queue: "default"}, testNow)
	if err != nil {
		t.Fatal(err)
	}
	http := request.GetTask().GetHttpRequest()
	if want := "https://worker-123.europe-west1.run.app/tasks/execute/" + testID.String() + "/?fail_on_error=true"; http.GetUrl() != want {
		t.Errorf("URL %s, want %s", http.GetUrl(), want)
	}
	if len(http.GetBody()) > 0 || len(http.GetHeaders()) > 0 {
		t.Errorf("body %q, headers %v; want none", http.GetBody(), http.GetHeaders())
	}
}

func TestTaskTimeoutEndsBeforeDispatchDeadline(t *testing.T) {
	for _, timeout := range []time.Duration{time.Millisecond, 15 * time.Second, 9 * time.Minute, MaxTaskTimeout} {
		for _, appEngine := range []bool{false, true} {
			if deadline := dispatchDeadline(timeout, appEngine); deadline <= timeout || deadline < 15*time.Second || deadline > maxHTTPDeadline {
				t.Errorf("timeout %s (App Engine %t): dispatch deadline %s", timeout, appEngine, deadline)
			}
		}
	}
}

func TestTimeoutsThatNoDeliveryLastsForAreRefused(t *testing.T) {
	for _, c := range []struct {
		config  Config
		longest time.Duration
	}{
		{Config{}, MaxTaskTimeout},
		{Config{RequestTimeout: time.Hour}, MaxTaskTimeout},
		{Config{RequestTimeout: 300 * time.Second}, 290 * time.Second},
		{Config{RequestTimeout: 10 * time.Second}, 9 * time.Second},
		{Config{AppEngine: &AppEngineTarget{}}, 24*time.Hour - 15*time.Second},
	} {
		for timeout, refused := range map[time.Duration]bool{0: false, c.longest: false, c.longest + 1: true} {
			err := c.config.CheckTimeout(timeout)
			if (err != nil) != refused || refused && !strings.Contains(err.Error(), "queue.OnBackend") {
				t.Errorf("%+v with %s: %v", c.config, timeout, err)
			}
		}
	}
}
