package telemetry

import (
	"context"
	"strings"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/claimcheck-go/claimcheck/queue"
)

// How a trace stands on a row: the traceparent of the W3C's Trace Context and,
// after a blank, its tracestate if there is one.

var w3c propagation.TraceContext

// pair is the two headers.
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

// store writes the trace of ctx for a row; empty without one. A tracestate that
// is too long is left out, as the W3C allows.
func store(ctx context.Context) string {
	var p pair
	w3c.Inject(ctx, &p)
	if p.state == "" || len(p.parent)+1+len(p.state) > queue.MaxTraceContext {
		return p.parent
	}
	return p.parent + " " + p.state
}

// stored reads it again. What cannot be read is no trace.
func stored(row *queue.Row) trace.SpanContext {
	if row.TraceContext == "" {
		return trace.SpanContext{}
	}
	var p pair
	p.parent, p.state, _ = strings.Cut(row.TraceContext, " ")
	return trace.SpanContextFromContext(w3c.Extract(context.Background(), &p))
}

// TraceID is the trace that a task was enqueued in; empty when nobody traced.
func TraceID(row *queue.Row) string {
	if sc := stored(row); sc.HasTraceID() {
		return sc.TraceID().String()
	}
	return ""
}
