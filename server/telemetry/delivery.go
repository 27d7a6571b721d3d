package telemetry

import (
	"context"
	"encoding/binary"
	"net/http"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// executeRoute is where deliveries arrive.
const executeRoute = "/tasks/execute/{task_id}/"

// Around wraps a handler so that its requests have a server span; it is meant for the
// Around field of httpapi.Config. A delivery carries nothing but an ID, so its span
// can start only when the row, and with it the trace, is known; it then gets the time
// at which the request arrived. A trace that the platform started for the delivery
// becomes a link.
func (t *Telemetry) Around(route string, next http.HandlerFunc) http.HandlerFunc {
	if t.tracer == nil {
		return Receive(route, next)
	}
	return Receive(route, func(w http.ResponseWriter, r *http.Request) {
		d := &delivery{tracer: t.tracer, request: r, route: route, arrived: time.Now(), sent: trace.SpanContextFromContext(r.Context())}
		ctx := context.WithValue(r.Context(), deliveryKey{}, d)
		if route != executeRoute {
			ctx = d.begin(ctx)
		}
		answer := &answer{ResponseWriter: w, status: http.StatusOK}
		next(answer, r.WithContext(ctx))
		d.end(r.Context(), answer.status)
	})
}

// Receive puts the trace in a request's headers into its context: for the log, in
// programs that export no traces.
func Receive(_ string, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx := w3c.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
		if !trace.SpanContextFromContext(ctx).IsValid() {
			if sc := cloudTrace(r.Header.Get("X-Cloud-Trace-Context")); sc.IsValid() {
				ctx = trace.ContextWithRemoteSpanContext(ctx, sc)
			}
		}
		next(w, r.WithContext(ctx))
	}
}

// cloudTrace reads Google's older header, TRACE/SPAN;o=1, in which the span's ID
// is a decimal number.
func cloudTrace(header string) (sc trace.SpanContext) {
	traceID, rest, _ := strings.Cut(header, "/")
	spanID, option, _ := strings.Cut(rest, ";")
	var cfg trace.SpanContextConfig
	var err error
	if cfg.TraceID, err = trace.TraceIDFromHex(strings.ToLower(traceID)); err != nil {
		return sc
	}
	n, err := strconv.ParseUint(spanID, 10, 64)
	if err != nil {
		return sc
	}
	binary.BigEndian.PutUint64(cfg.SpanID[:], n)
	if option == "o=1" {
		cfg.TraceFlags = trace.FlagsSampled
	}
	cfg.Remote = true
	return trace.NewSpanContext(cfg)
}

// delivery is a request that is being served. The goroutine that serves it starts and
// ends its span.
type delivery struct {
	tracer  trace.Tracer
	request *http.Request
	route   string
	arrived time.Time
	sent    trace.SpanContext // from the request's headers
	span    trace.Span        // nil until its trace is known
}

type deliveryKey struct{}

// waitsForTrace reports whether ctx belongs to a delivery whose span has not started.
func waitsForTrace(ctx context.Context) bool {
	d, ok := ctx.Value(deliveryKey{}).(*delivery)
	return ok && d.span == nil
}

// beginDelivery starts the span of the delivery that ctx belongs to, under the trace
// of ctx, if there is one that waits for its trace.
func beginDelivery(ctx context.Context) context.Context {
	if !waitsForTrace(ctx) {
		return ctx
	}
	return ctx.Value(deliveryKey{}).(*delivery).begin(ctx)
}

func (d *delivery) begin(ctx context.Context) context.Context {
	options := []trace.SpanStartOption{
		trace.WithSpanKind(trace.SpanKindServer), trace.WithTimestamp(d.arrived),
		trace.WithAttributes(semconv.HTTPRequestMethodKey.String(d.request.Method), semconv.HTTPRoute(d.route), semconv.URLPath(d.request.URL.Path)),
	}
	if parent := trace.SpanContextFromContext(ctx); d.sent.IsValid() && parent.TraceID() != d.sent.TraceID() {
		options = append(options, trace.WithLinks(trace.Link{SpanContext: d.sent}))
	}
	if n, err := strconv.Atoi(d.request.Header.Get("X-CloudTasks-TaskRetryCount")); err == nil {
		options = append(options, trace.WithAttributes(retryCountKey.Int(n)))
	}
	ctx, d.span = d.tracer.Start(ctx, d.request.Method+" "+d.route, options...)
	return ctx
}

// end ends the span. A delivery that did not lead to a run stays in the platform's
// trace.
func (d *delivery) end(ctx context.Context, status int) {
	if d.span == nil {
		d.begin(ctx)
	}
	d.span.SetAttributes(semconv.HTTPResponseStatusCode(status))
	if status >= http.StatusInternalServerError {
		d.span.SetAttributes(semconv.ErrorTypeKey.String(strconv.Itoa(status)))
		d.span.SetStatus(codes.Error, http.StatusText(status))
	}
	d.span.End()
}

// answer records the status of an answer.
type answer struct {
	http.ResponseWriter
	status int
}

func (a *answer) WriteHeader(status int) {
	a.status = status
	a.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }
