package telemetry_test

import (
	"net/http"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/sqlitestore"
	"github.com/claimcheck-go/claimcheck/server/telemetry"
)

const (
	callersTrace   = "0af7651916cd43dd8448eb211c80319c"
	platformsTrace = "463ac35c9f6413ad48485a3953bb6124"
	callers        = "00-" + callersTrace + "-b7ad6b7169203331-01"
	platforms      = "00-" + platformsTrace + "-0020000000000001-01"
)

func TestOneTraceFromEnqueueOverDeliveryToRun(t *testing.T) {
	s := newSite(t)
	_, id := s.do(http.MethodPost, "/tasks/enqueue/", `{"task":"works"}`, "Traceparent", callers, "Tracestate", "vendor=x")
	status, _ := s.do(http.MethodPost, "/tasks/execute/"+id.String()+"/", "", "Traceparent", platforms, "X-CloudTasks-TaskRetryCount", "3")
	if status != http.StatusOK {
		t.Fatal(status)
	}
	for _, span := range s.spans.Ended() {
		if got := span.SpanContext().TraceID().String(); got != callersTrace {
			t.Errorf("%s is in trace %s", span.Name(), got)
		}
	}
	s.under("send emails", "POST /tasks/enqueue/")
	s.under("insert tasks", "send emails")
	s.under("POST /tasks/execute/{task_id}/", "send emails")
	s.under("process emails", "POST /tasks/execute/{task_id}/")
	s.under("user's own", "process emails")
	s.under("finish task", "process emails")

	delivery, process := s.span("POST /tasks/execute/{task_id}/"), s.span("process emails")
	if links := delivery.Links(); len(links) != 1 || links[0].SpanContext.TraceID().String() != platformsTrace {
		t.Errorf("the delivery has links %v, want the platform's trace", links)
	}
	if delivery.SpanKind() != trace.SpanKindServer || process.SpanKind() != trace.SpanKindConsumer || s.span("send emails").SpanKind() != trace.SpanKindProducer {
		t.Error("the kinds are wrong")
	}
	if len(process.Links()) != 0 || !delivery.StartTime().Before(process.StartTime()) || delivery.EndTime().Before(process.EndTime()) {
		t.Errorf("delivery %s–%s, run %s–%s, links %v", delivery.StartTime(), delivery.EndTime(), process.StartTime(), process.EndTime(), process.Links())
	}
	for key, want := range map[string]string{
		"messaging.system": "claimcheck", "messaging.operation.type": "process", "messaging.operation.name": "process",
		"messaging.destination.name": "emails", "messaging.message.id": id.String(), "claimcheck.task": "works",
		"claimcheck.attempt": "1", "claimcheck.outcome": "succeeded",
	} {
		if got := value(process, key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	if value(delivery, "http.response.status_code") != "200" || value(delivery, "claimcheck.retry_count") != "3" || value(s.span("insert tasks"), "db.system.name") != "sqlite" {
		t.Errorf("%v, %v", delivery.Attributes(), s.span("insert tasks").Attributes())
	}
	row, err := s.client.Get(t.Context(), id)
	if err != nil || telemetry.TraceID(row) != callersTrace || !strings.HasSuffix(row.TraceContext, "-01 vendor=x") {
		t.Errorf("the row has %q, %v", row.TraceContext, err)
	}
}

func TestADeliveryWithoutARunStaysInThePlatformsTrace(t *testing.T) {
	s := newSite(t)
	_, id := s.do(http.MethodPost, "/tasks/enqueue/", `{"task":"works"}`)
	execute := "/tasks/execute/" + id.String() + "/"
	s.do(http.MethodPost, execute, "")
	s.spans.Reset()
	s.do(http.MethodPost, execute, "", "X-Cloud-Trace-Context", platformsTrace+"/9007199254740993;o=1")
	span := s.span("POST /tasks/execute/{task_id}/")
	if got := span.Parent(); got.TraceID().String() != platformsTrace || got.SpanID().String() != "0020000000000001" || len(span.Links()) != 0 {
		t.Errorf("parent %v, links %v", got, span.Links())
	}
}

func TestAFailureIsSeenOnTheSpans(t *testing.T) {
	s := newSite(t)
	_, id := s.do(http.MethodPost, "/tasks/enqueue/", `{"task":"fails"}`)
	if status, _ := s.do(http.MethodPost, "/tasks/execute/"+id.String()+"/?fail_on_error=true", ""); status != http.StatusInternalServerError {
		t.Fatal(status)
	}
	process, delivery := s.span("process default"), s.span("POST /tasks/execute/{task_id}/")
	if got := process.Status(); got.Code != codes.Error || got.Description != "once" || value(process, "error.type") != "telemetry_test.errOnce" {
		t.Errorf("%v %v", got, process.Attributes())
	}
	if delivery.Status().Code != codes.Error || value(delivery, "error.type") != "500" {
		t.Errorf("%v %v", delivery.Status(), delivery.Attributes())
	}
}

func TestSnoozingIsNoError(t *testing.T) {
	s := newSite(t)
	id := s.enqueue("snoozes")
	s.run(id)
	if process := s.span("process default"); process.Status().Code == codes.Error || value(process, "error.type") != "" {
		t.Errorf("%v %v", process.Status(), process.Attributes())
	}
}

// A request that runs tasks in general, and not this one, becomes a link.
func TestAPulledRunLinksToItsRequest(t *testing.T) {
	s := newSite(t)
	s.do(http.MethodPost, "/tasks/enqueue/", `{"task":"works"}`, "Traceparent", callers)
	s.do(http.MethodPost, "/tasks/run/", `{}`, "Traceparent", platforms)
	s.under("process emails", "send emails")
	process := s.span("process emails")
	if links := process.Links(); len(links) != 1 || links[0].SpanContext.SpanID() != s.span("POST /tasks/run/").SpanContext().SpanID() {
		t.Errorf("links %v", links)
	}
}

func TestABatchIsOneSpan(t *testing.T) {
	s := newSite(t)
	if _, err := s.client.EnqueueMany(t.Context(), queue.Request{Task: "works"}, queue.Request{Task: "fails"}); err != nil {
		t.Fatal(err)
	}
	if span := s.span("send"); value(span, "messaging.batch.message_count") != "2" || value(span, "messaging.destination.name") != "" {
		t.Errorf("%v", span.Attributes())
	}
	if _, err := s.client.Enqueue(t.Context(), "works", nil, queue.OnQueue("other")); err != nil {
		t.Fatal(err)
	}
	if err := s.store.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.client.Enqueue(t.Context(), "works", nil, queue.OnQueue("third")); err == nil {
		t.Fatal("the store is closed")
	}
	if span := s.span("send third"); span.Status().Code != codes.Error {
		t.Errorf("%v", span.Status())
	}
}

func TestEnqueueTxKeepsTheTrace(t *testing.T) {
	s := newSite(t)
	ctx, span := s.tracer.Start(t.Context(), "caller")
	tx, err := s.store.DB().BeginTx(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	handle, err := s.client.EnqueueTx(ctx, sqlitestore.Tx(tx), "works", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	span.End()
	s.run(handle.ID)
	s.under("send emails", "caller")
	s.under("process emails", "send emails")
}

// A trace that its beginner did not sample is not recorded, and stays the same.
func TestWhatIsNotSampledIsNotRecorded(t *testing.T) {
	s := newSite(t)
	_, id := s.do(http.MethodPost, "/tasks/enqueue/", `{"task":"works"}`, "Traceparent", strings.TrimSuffix(callers, "01")+"00")
	s.do(http.MethodPost, "/tasks/execute/"+id.String()+"/", "", "Traceparent", platforms)
	if ended := s.spans.Ended(); len(ended) != 0 {
		t.Errorf("%d spans were recorded, the first is %s", len(ended), ended[0].Name())
	}
	if row, err := s.client.Get(t.Context(), id); err != nil || telemetry.TraceID(row) != callersTrace || !strings.HasSuffix(row.TraceContext, "-00") {
		t.Errorf("%q, %v", row.TraceContext, err)
	}
	never := newSite(t, sdktrace.WithSampler(sdktrace.NeverSample()))
	never.run(never.enqueue("works"))
}

func TestATraceThatCannotBeReadIsNone(t *testing.T) {
	s := newSite(t)
	for _, context := range []string{"", "nonsense", "00-zz-b7ad6b7169203331-01", " "} {
		if got := telemetry.TraceID(&queue.Row{TraceContext: context}); got != "" {
			t.Errorf("%q is the trace %s", context, got)
		}
	}
	_, id := s.do(http.MethodPost, "/tasks/enqueue/", `{"task":"works"}`, "X-Cloud-Trace-Context", "nonsense/x;o=1", "Traceparent", "00-")
	row, err := s.client.Get(t.Context(), id)
	if err != nil || telemetry.TraceID(row) == "" {
		t.Errorf("%q, %v; want a trace of its own", row.TraceContext, err)
	}
}

func TestALongTracestateIsLeftOut(t *testing.T) {
	s := newSite(t)
	var members []string
	for i := range 3 {
		members = append(members, string(rune('a'+i))+"="+strings.Repeat("v", 250))
	}
	_, id := s.do(http.MethodPost, "/tasks/enqueue/", `{"task":"works"}`, "Traceparent", callers, "Tracestate", strings.Join(members, ","))
	row, err := s.client.Get(t.Context(), id)
	if err != nil || telemetry.TraceID(row) != callersTrace || len(row.TraceContext) != 55 {
		t.Errorf("%q, %v", row.TraceContext, err)
	}
}
