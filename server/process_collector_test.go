package server

import (
	"context"
	"encoding/hex"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	collectormetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	collectortrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// procCollector receives OTLP, over HTTP and gRPC, and keeps it.
type procCollector struct {
	collectortrace.UnimplementedTraceServiceServer
	t    *testing.T
	http *httptest.Server
	grpc string // its address

	mu      sync.Mutex
	spans   []procSpan
	metrics map[string]string // unit by name
}

// procSpan is a span with the name of the service that sent it.
type procSpan struct {
	*tracepb.Span
	service string
}

func (s procSpan) trace() string  { return hex.EncodeToString(s.TraceId) }
func (s procSpan) id() string     { return hex.EncodeToString(s.SpanId) }
func (s procSpan) parent() string { return hex.EncodeToString(s.ParentSpanId) }

func procNewCollector(t *testing.T) *procCollector {
	t.Helper()
	c := &procCollector{t: t, metrics: make(map[string]string)}
	c.http = httptest.NewServer(http.HandlerFunc(c.receive))
	t.Cleanup(c.http.Close)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c.grpc = "http://" + listener.Addr().String()
	server := grpc.NewServer()
	collectortrace.RegisterTraceServiceServer(server, c)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return c
}

func (c *procCollector) receive(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	switch r.URL.Path {
	case "/v1/traces":
		var request collectortrace.ExportTraceServiceRequest
		if err := proto.Unmarshal(body, &request); err != nil {
			c.t.Error(err)
		}
		_, _ = c.Export(r.Context(), &request)
	case "/v1/metrics":
		var request collectormetrics.ExportMetricsServiceRequest
		if err := proto.Unmarshal(body, &request); err != nil {
			c.t.Error(err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, resource := range request.ResourceMetrics {
			for _, scope := range resource.ScopeMetrics {
				for _, m := range scope.Metrics {
					c.metrics[m.Name] = m.Unit
				}
			}
		}
	default:
		c.t.Errorf("something was sent to %s", r.URL.Path)
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
}

// Export receives spans.
func (c *procCollector) Export(_ context.Context, request *collectortrace.ExportTraceServiceRequest) (*collectortrace.ExportTraceServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, resource := range request.ResourceSpans {
		service := ""
		for _, a := range resource.Resource.Attributes {
			if a.Key == "service.name" {
				service = a.Value.GetStringValue()
			}
		}
		for _, scope := range resource.ScopeSpans {
			for _, span := range scope.Spans {
				c.spans = append(c.spans, procSpan{span, service})
			}
		}
	}
	return &collectortrace.ExportTraceServiceResponse{}, nil
}

// find returns the spans of a name that came so far.
func (c *procCollector) find(name string) []procSpan {
	c.mu.Lock()
	defer c.mu.Unlock()
	var found []procSpan
	for _, span := range c.spans {
		if span.Name == name {
			found = append(found, span)
		}
	}
	return found
}

// wait waits for a span, of which there must be one.
func (c *procCollector) wait(name string) procSpan {
	c.t.Helper()
	procWait(c.t, "the span "+name, func() bool { return len(c.find(name)) > 0 })
	found := c.find(name)
	if len(found) != 1 {
		c.t.Fatalf("%d spans are called %q", len(found), name)
	}
	return found[0]
}

// wantTrace checks that there is one trace in which each span is the child of the
// one before, and returns its ID.
func (c *procCollector) wantTrace(names ...string) string {
	c.t.Helper()
	above := c.wait(names[0])
	for _, name := range names[1:] {
		span := c.wait(name)
		if span.trace() != above.trace() || span.parent() != above.id() {
			c.t.Errorf("%s is in trace %s under %s, not in %s under %s (%s)", name, span.trace(), span.parent(), above.trace(), above.id(), above.Name)
		}
		above = span
	}
	return above.trace()
}
