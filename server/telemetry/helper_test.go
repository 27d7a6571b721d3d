package telemetry_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/sqlitestore"
	"github.com/claimcheck-go/claimcheck/server/httpapi"
	"github.com/claimcheck-go/claimcheck/server/telemetry"
)

// site is a small installation that is watched.
type site struct {
	t       *testing.T
	store   *sqlitestore.Store
	client  *queue.Client
	exec    *queue.Executor
	handler http.Handler
	tel     *telemetry.Telemetry
	spans   *tracetest.SpanRecorder
	reader  *sdkmetric.ManualReader
	tracer  trace.Tracer // of the caller and of the tasks
	out     *tickets
}

// tickets is a dispatcher that fails with err, if it is set.
type tickets struct {
	mu  sync.Mutex
	err error
}

func (d *tickets) Dispatch(context.Context, ...queue.Ticket) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.err
}

type anybody struct{}

func (anybody) Authenticate(*http.Request) error { return nil }

func newSite(t *testing.T, options ...sdktrace.TracerProviderOption) *site {
	t.Helper()
	s := &site{t: t, spans: tracetest.NewSpanRecorder(), reader: sdkmetric.NewManualReader(), out: &tickets{}}
	provider := sdktrace.NewTracerProvider(append(options, sdktrace.WithSpanProcessor(s.spans))...)
	s.tracer = provider.Tracer("test")
	var err error
	s.tel, err = telemetry.New(telemetry.Config{Tracer: provider, Meter: sdkmetric.NewMeterProvider(sdkmetric.WithReader(s.reader))})
	if err != nil {
		t.Fatal(err)
	}
	s.store, err = sqlitestore.Open(t.Context(), sqlitestore.Config{URL: "sqlite::memory:", Migrate: true, Observe: s.tel.Observe("sqlite")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.store.Close() })
	if err := s.tel.Watch(s.store); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	if s.client, err = queue.NewClient(queue.Config{Store: s.store, Registry: s.registry(), Dispatcher: s.out, Hooks: s.tel.Hooks(), Logger: log}); err != nil {
		t.Fatal(err)
	}
	if s.exec, err = queue.NewExecutor(s.client, queue.ExecutorConfig{}); err != nil {
		t.Fatal(err)
	}
	if s.handler, err = httpapi.New(httpapi.Config{Client: s.client, Executor: s.exec, Auth: anybody{}, Around: s.tel.Around, Logger: log}); err != nil {
		t.Fatal(err)
	}
	return s
}

// errOnce is how "fails" fails.
type errOnce struct{}

func (errOnce) Error() string { return "once" }

func (s *site) registry() *queue.Registry {
	return queue.NewRegistry(
		queue.NewTask("works", func(ctx context.Context, _ json.RawMessage) (string, error) {
			_, span := s.tracer.Start(ctx, "user's own")
			span.End()
			return "done", nil
		}, queue.OnQueue("emails")),
		queue.NewTask("fails", func(context.Context, json.RawMessage) (string, error) { return "", errOnce{} }, queue.MaxAttempts(2)),
		queue.NewTask("snoozes", func(context.Context, json.RawMessage) (string, error) { return "", queue.Snooze(0) }),
		queue.NewTask("loses", func(ctx context.Context, _ json.RawMessage) (string, error) {
			info, _ := queue.InfoFrom(ctx)
			row, err := s.store.Get(ctx, info.ID)
			if err == nil {
				err = s.store.Release(ctx, row.Claim())
			}
			return "", err
		}),
	)
}

// do sends a request, and returns the task of the answer.
func (s *site) do(method, path, body string, header ...string) (status int, id uuid.UUID) {
	s.t.Helper()
	r := httptest.NewRequestWithContext(s.t.Context(), method, path, strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	var answer struct{ Result struct{ ID uuid.UUID } }
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		s.t.Fatalf("%s %s: %d %s", method, path, w.Code, w.Body)
	}
	return w.Code, answer.Result.ID
}

// span is the one ended span of a name.
func (s *site) span(name string) sdktrace.ReadOnlySpan {
	s.t.Helper()
	var found []sdktrace.ReadOnlySpan
	var names []string
	for _, span := range s.spans.Ended() {
		names = append(names, span.Name())
		if span.Name() == name {
			found = append(found, span)
		}
	}
	if len(found) != 1 {
		s.t.Fatalf("%d spans are called %q; there are %q", len(found), name, names)
	}
	return found[0]
}

// under checks that a span is a child of another.
func (s *site) under(child, parent string) {
	s.t.Helper()
	c, p := s.span(child), s.span(parent)
	if c.Parent().SpanID() != p.SpanContext().SpanID() || c.SpanContext().TraceID() != p.SpanContext().TraceID() {
		s.t.Errorf("%s has the parent %s of trace %s, not %s", child, c.Parent().SpanID(), c.SpanContext().TraceID(), parent)
	}
}

// attribute is the value of a span's attribute as text.
func value(span sdktrace.ReadOnlySpan, key string) string {
	for _, a := range span.Attributes() {
		if string(a.Key) == key {
			return a.Value.String()
		}
	}
	return ""
}

// collected are the metrics now, by name.
func (s *site) collected() map[string]metricdata.Metrics {
	s.t.Helper()
	var all metricdata.ResourceMetrics
	if err := s.reader.Collect(s.t.Context(), &all); err != nil {
		s.t.Fatal(err)
	}
	found := make(map[string]metricdata.Metrics)
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			found[m.Name] = m
		}
	}
	return found
}

// count adds up the points of a metric that have these attributes, written as
// key=value.
func (s *site) count(name string, attributes ...string) float64 {
	s.t.Helper()
	total := 0.0
	add := func(set attribute.Set, n float64) {
		for _, want := range attributes {
			key, text, _ := strings.Cut(want, "=")
			if got, _ := set.Value(attribute.Key(key)); got.String() != text {
				return
			}
		}
		total += n
	}
	switch data := s.collected()[name].Data.(type) {
	case metricdata.Sum[int64]:
		for _, p := range data.DataPoints {
			add(p.Attributes, float64(p.Value))
		}
	case metricdata.Gauge[int64]:
		for _, p := range data.DataPoints {
			add(p.Attributes, float64(p.Value))
		}
	case metricdata.Gauge[float64]:
		for _, p := range data.DataPoints {
			add(p.Attributes, p.Value)
		}
	case metricdata.Histogram[float64]:
		for _, p := range data.DataPoints {
			add(p.Attributes, float64(p.Count))
		}
	}
	return total
}
