package server

import (
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/sqlitestore"
)

const (
	procTrace  = "0af7651916cd43dd8448eb211c80319c"
	procParent = "00-" + procTrace + "-b7ad6b7169203331-01"
)

// enqueueIn stores a task within the caller's trace.
func (s *procServer) enqueueIn(parent, body string) *queue.Row {
	s.t.Helper()
	reply := s.do(http.MethodPost, "/tasks/enqueue/", body, "Traceparent", parent)
	if reply.status != http.StatusCreated {
		s.t.Fatalf("%d %s", reply.status, reply.text)
	}
	return reply.body.Result
}

func TestOneTraceIsSeenWholeInACollector(t *testing.T) {
	t.Parallel()
	collector, c := procNewCollector(t), procNewCloud(t)
	s := c.serve(t.TempDir(), c.env("OTEL_EXPORTER_OTLP_ENDPOINT="+collector.http.URL, "OTEL_BSP_SCHEDULE_DELAY=20",
		"OTEL_METRIC_EXPORT_INTERVAL=50", "OTEL_SERVICE_NAME=mailer", "TRACE_DATABASE=true"))
	row := s.enqueueIn(procParent, `{"task":"demo.echo"}`)
	s.wantEnd(row.ID, queue.StatusSuccessful, 1)
	trace := collector.wantTrace("POST /tasks/enqueue/", "send default", "POST /tasks/execute/{task_id}/", "process default", "finish task")
	collector.wantTrace("send default", "insert tasks")
	collector.wantTrace("send default", "google.cloud.tasks.v2.CloudTasks/CreateTask")
	if trace != procTrace {
		t.Errorf("it is in trace %s", trace)
	}
	if span := collector.wait("process default"); span.service != "mailer" {
		t.Errorf("it comes from %s", span.service)
	}
	procWait(t, "the metrics", func() bool {
		collector.mu.Lock()
		defer collector.mu.Unlock()
		return collector.metrics["claimcheck.run.duration"] == "s" && collector.metrics["claimcheck.tasks"] == "{task}"
	})
}

// In local mode, over gRPC, and flushed by nothing but the end of the process.
func TestTheEndOfAProcessExportsItsTraces(t *testing.T) {
	t.Parallel()
	collector := procNewCollector(t)
	s := procServe(t, t.TempDir(), []string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=" + collector.grpc, "OTEL_EXPORTER_OTLP_PROTOCOL=grpc",
		"OTEL_BSP_SCHEDULE_DELAY=600000"})
	row := s.enqueueIn(procParent, `{"task":"demo.flaky","args":{"failures":1}}`)
	s.wantEnd(row.ID, queue.StatusSuccessful, 2)
	if n := len(collector.find("process default")); n != 0 {
		t.Errorf("%d spans came before", n)
	}
	s.end(syscall.SIGTERM)
	send := collector.wait("send default")
	runs := collector.find("process default")
	if len(runs) != 2 || runs[0].parent() != send.id() || runs[1].parent() != send.id() || send.trace() != procTrace {
		t.Errorf("%d runs: %v", len(runs), runs)
	}
}

func TestNothingIsExportedUnlessAnEndpointIsSet(t *testing.T) {
	t.Parallel()
	for _, env := range [][]string{
		{"OTEL_TRACES_EXPORTER=otlp", "OTEL_TRACES_SAMPLER=always_on"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1", "OTEL_SDK_DISABLED=true"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1", "OTEL_TRACES_EXPORTER=none", "OTEL_METRICS_EXPORTER=none"},
	} {
		dir := t.TempDir()
		s := procServe(t, dir, env)
		row := s.enqueueIn(procParent, `{"task":"demo.echo"}`)
		s.wantEnd(row.ID, queue.StatusSuccessful, 1)
		s.end(syscall.SIGTERM)
		store, err := sqlitestore.Open(t.Context(), sqlitestore.Config{URL: "sqlite:" + filepath.Join(dir, "claimcheck.db")})
		if err != nil {
			t.Fatal(err)
		}
		stored, err := store.Get(t.Context(), row.ID)
		if err != nil || stored.TraceContext != "" || strings.Contains(s.log.String(), "telemetry") {
			t.Errorf("%v: the row has the trace %q, %v", env, stored.TraceContext, err)
		}
		_ = store.Close()
	}
}

// A collector that is not there disturbs nothing but the log.
func TestTasksRunWithoutTheCollector(t *testing.T) {
	t.Parallel()
	s := procServe(t, t.TempDir(), []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1", "OTEL_BSP_SCHEDULE_DELAY=20", "OTEL_METRIC_EXPORT_INTERVAL=20"})
	s.wantEnd(s.enqueue(`{"task":"demo.echo"}`).ID, queue.StatusSuccessful, 1)
	procWait(t, "the warning", func() bool { return strings.Contains(s.log.String(), "telemetry was not exported") })
	if status, _ := s.end(syscall.SIGTERM); status.ExitStatus() != 0 {
		t.Errorf("exit status %d", status.ExitStatus())
	}
	if n := strings.Count(s.log.String(), "tasks are not affected"); n != 1 {
		t.Errorf("it says so %d times", n)
	}
}

// procScraped is a page of metrics as Prometheus reads it.
func procScraped(t *testing.T, text string) map[string]*dto.MetricFamily {
	t.Helper()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return families
}

func TestMetricsAreScrapedByWhoMayCall(t *testing.T) {
	t.Parallel()
	s := procServe(t, t.TempDir(), []string{procToken, "METRICS=on"})
	s.wantEnd(s.enqueue(`{"task":"demo.echo"}`).ID, queue.StatusSuccessful, 1)
	reply := s.do(http.MethodGet, "/metrics", "")
	families := procScraped(t, reply.text)
	runs := families["claimcheck_runs_total"].GetMetric()
	if reply.status != http.StatusOK || len(runs) != 1 || runs[0].GetCounter().GetValue() != 1 {
		t.Errorf("%d %s", reply.status, reply.text)
	}
	for _, name := range []string{"claimcheck_queue_wait_seconds", "claimcheck_run_duration_seconds", "claimcheck_oldest_due_age_seconds",
		"claimcheck_stranded", "claimcheck_tasks", "claimcheck_pool_connections", "claimcheck_enqueued_total", "claimcheck_dispatched_total", "target_info"} {
		if families[name] == nil {
			t.Errorf("%s is missing", name)
		}
	}
	if reply := s.do(http.MethodPost, "/metrics", ""); reply.status != http.StatusMethodNotAllowed || reply.header.Get("Allow") == "" {
		t.Errorf("POST: %d", reply.status)
	}
	s.token = "wrong"
	if reply := s.do(http.MethodGet, "/metrics", ""); reply.status != http.StatusUnauthorized || strings.Contains(reply.text, "claimcheck") {
		t.Errorf("%d %s", reply.status, reply.text)
	}
}

func TestMetricsMayHaveAListenerOfTheirOwn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := procServe(t, dir, []string{procToken, "METRICS=127.0.0.1:0"})
	if reply := s.do(http.MethodGet, "/metrics", ""); reply.status != http.StatusNotFound {
		t.Errorf("on the server's own: %d", reply.status)
	}
	found := regexp.MustCompile(`listen=(http://\S+)/metrics`).FindStringSubmatch(s.log.String())
	if found == nil {
		t.Fatal("the log does not say where the metrics are")
	}
	s.url, s.token = found[1], ""
	if reply := s.do(http.MethodGet, "/metrics", ""); reply.status != http.StatusOK || procScraped(t, reply.text)["claimcheck_figures_up"] == nil {
		t.Errorf("%d %s", reply.status, reply.text)
	}
	if reply := s.do(http.MethodGet, "/", ""); reply.status != http.StatusNotFound {
		t.Errorf("another page: %d", reply.status)
	}
}

func TestMetricsAreOffByDefault(t *testing.T) {
	t.Parallel()
	s := procServe(t, t.TempDir(), []string{procToken})
	if reply := s.do(http.MethodGet, "/metrics", ""); reply.status != http.StatusNotFound {
		t.Errorf("%d %s", reply.status, reply.text)
	}
}

func TestTelemetrySettingsAreValidated(t *testing.T) {
	t.Parallel()
	for env, says := range map[string][]string{
		"METRICS=everywhere":                 {"METRICS", "HOST:PORT"},
		"METRICS=127.0.0.1:http://x":         {"METRICS", "HOST:PORT"},
		"OTEL_TRACES_EXPORTER=zipkin":        {"OTEL_TRACES_EXPORTER", "otlp or none"},
		"OTEL_METRICS_EXPORTER=prometheus":   {"OTEL_METRICS_EXPORTER", "METRICS=on"},
		"OTEL_EXPORTER_OTLP_PROTOCOL=thrift": {"OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf or grpc"},
	} {
		procRun(t, t.TempDir(), []string{env, "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1"}, "", "serve").wantRefusal(t, 2, says...)
	}
	work := procRun(t, t.TempDir(), []string{"METRICS=on"}, "", "work")
	work.wantRefusal(t, 2, "METRICS", "HOST:PORT")
}
