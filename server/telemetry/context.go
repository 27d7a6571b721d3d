package telemetry

import (
	"context"
	"strings"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/claimcheck-go/claimcheck/queue"
)

// A row stores its trace as the traceparent of the W3C's Trace Context and, after a
// blank, the tracestate if there is one.

var w3c propagation.TraceContext

// pair has the two headers.
type pair struct{ parent, state string }

func (p *pair) Get(key string) string {
	switch key {
	case "traceparent":
		return p.parent
	case "tracestate":
		return p.state
	}
	return ""
}

func (p *pair) Set(key, value string) {
	switch key {
	case "traceparent":
		p.parent = value
	case "tracestate":
		p.state = value
	}
}

func (p *pair) Keys() []string { return []string{"traceparent", "tracestate"} }

// store returns the trace of ctx as a row stores it; empty without one. A tracestate
// that is too long is left out, as the W3C allows.
func store(ctx context.Context) string {
	var p pair
	w3c.Inject(ctx, &p)
	if p.state == "" || len(p.parent)+1+len(p.state) > queue.MaxTraceContext {
		return p.parent
	}
	return p.parent + " " + p.state
}

// stored returns the trace of a row; invalid without a readable one.
func stored(row *queue.Row) trace.SpanContext {
	if row.TraceContext == "" {
		return trace.SpanContext{}
	}
	var p pair
	p.parent, p.state, _ = strings.Cut(row.TraceContext, " ")
	return trace.SpanContextFromContext(w3c.Extract(context.Background(), &p))
}

// TraceID returns the ID of the trace that a task was enqueued in; empty without one.
func TraceID(row *queue.Row) string {
	if sc := stored(row); sc.HasTraceID() {
		return sc.TraceID().String()
	}
	return ""
}
