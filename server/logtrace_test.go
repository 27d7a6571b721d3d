package server

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/trace"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/sqlitestore"
	"github.com/claimcheck-go/claimcheck/server/httpapi"
	"github.com/claimcheck-go/claimcheck/server/internal/config"
	"github.com/claimcheck-go/claimcheck/server/telemetry"
)

// cloudLine is what Cloud Logging reads of a line; its other fields are its
// jsonPayload.
type cloudLine struct {
	Severity string            `json:"severity"`
	Message  string            `json:"message"`
	Trace    string            `json:"logging.googleapis.com/trace"`
	SpanID   string            `json:"logging.googleapis.com/spanId"`
	Sampled  *bool             `json:"logging.googleapis.com/trace_sampled"`
	Labels   map[string]string `json:"logging.googleapis.com/labels"`
	TaskID   string            `json:"task_id"`
}

// cloudLog is a logger as on Google Cloud, in a project or in none, and what it
// has written.
func cloudLog(project string) (*slog.Logger, func(*testing.T) []cloudLine) {
	var out bytes.Buffer
	p := &program{own: Config{Tasks: testTasks}, known: testRegistry, stderr: &out, config: &config.Config{
		Settings: &config.Settings{LogFormat: "json", LogLevel: "info"}, Env: config.Environment{"GOOGLE_CLOUD_PROJECT": project},
	}}
	return p.logger(), func(t *testing.T) (lines []cloudLine) {
		t.Helper()
		for text := range strings.Lines(out.String()) {
			var line cloudLine
			if err := json.Unmarshal([]byte(text), &line); err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			lines = append(lines, line)
		}
		return lines
	}
}

// Without any tracing of ours, a run's line is found by the trace of the request
// that the platform delivered.
func TestARunsLineHasTheTraceOfItsDelivery(t *testing.T) {
	for header, value := range map[string]string{
		"Traceparent":           procParent,
		"X-Cloud-Trace-Context": procTrace + "/13235353014750950193;o=1",
	} {
		log, lines := cloudLog("tracing-project")
		store, err := sqlitestore.Open(t.Context(), sqlitestore.Config{URL: "sqlite::memory:", Migrate: true})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = store.Close() }()
		task := queue.NewTask("t", func(context.Context, any) (any, error) { return nil, queue.Discard(context.Canceled) }, queue.OnQueue("q"))
		client, err := queue.NewClient(queue.Config{Store: store, Registry: queue.NewRegistry(task), Logger: log})
		if err != nil {
			t.Fatal(err)
		}
		executor, err := queue.NewExecutor(client, queue.ExecutorConfig{})
		if err != nil {
			t.Fatal(err)
		}
		api, err := httpapi.New(httpapi.Config{Client: client, Executor: executor, Auth: httpapi.BearerToken("x"), Around: telemetry.Receive, Logger: log})
		if err != nil {
			t.Fatal(err)
		}
		handle, err := client.Enqueue(t.Context(), "t", nil)
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/tasks/execute/"+handle.ID.String()+"/", nil)
		r.Header.Set("Authorization", "Bearer x")
		r.Header.Set(header, value)
		api.ServeHTTP(httptest.NewRecorder(), r)

		written := lines(t)
		if len(written) != 1 {
			t.Fatalf("a run leaves one line, not %d", len(written))
		}
		line := written[0]
		if line.Trace != "projects/tracing-project/traces/"+procTrace || line.SpanID != "b7ad6b7169203331" || line.Sampled == nil || !*line.Sampled {
			t.Errorf("%s: %+v", header, line)
		}
		if line.Severity != "ERROR" || line.TaskID != handle.ID.String() || line.Labels["duration_ms"] == "" {
			t.Errorf("%+v", line)
		}
		for label, want := range map[string]string{"task_id": handle.ID.String(), "task_path": "t", "queue_name": "q", "attempt": "1", "status": "FAILED", "error_class": "*errors.errorString"} {
			if line.Labels[label] != want {
				t.Errorf("label %s is %q, want %q", label, line.Labels[label], want)
			}
		}
	}
}

func TestCloudLogFields(t *testing.T) {
	traced := trace.ContextWithSpanContext(context.Background(), trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}}))
	wanted := "projects/p/traces/01000000000000000000000000000000"

	log, lines := cloudLog("p")
	log.InfoContext(context.Background(), "untraced", "queue_name", "q")
	log.InfoContext(traced, "traced")
	grouped := log.With("a", 1).WithGroup("").WithGroup("request").With("b", 2)
	grouped.WarnContext(traced, "grouped", "task_id", "x")
	got := lines(t)
	if got[0].Trace != "" || got[0].Sampled != nil || got[0].Labels != nil {
		t.Errorf("%+v", got[0])
	}
	if got[1].Trace != wanted || got[1].Sampled == nil || *got[1].Sampled {
		t.Errorf("%+v", got[1])
	}
	if got[2].Trace != wanted || got[2].Labels["task_id"] != "x" || got[2].Severity != "WARNING" {
		t.Errorf("a group hides the fields: %+v", got[2])
	}

	log, lines = cloudLog("")
	log.InfoContext(traced, "no project")
	if got := lines(t)[0]; got.Trace != "" || got.SpanID != "" {
		t.Errorf("%+v", got)
	}
}

func TestATaskLinksToItsTrace(t *testing.T) {
	row := &queue.Row{Queue: "default", TraceContext: procParent}
	found := false
	for _, link := range links(shardTarget(), row) {
		found = found || link.Name == "Cloud Trace" && strings.Contains(link.URL, "tid="+procTrace) && strings.Contains(link.URL, "project=proc")
	}
	if !found {
		t.Errorf("%+v", links(shardTarget(), row))
	}
}
