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

// Around gives a request its server's span: what httpapi.Config.Around takes. A
// delivery brings nothing but an ID, so that its span can begin only when the
// row, and with it the trace, is known; it is then given the time at which the
// request came. The trace that the platform made for the delivery becomes a link.
func (t *Telemetry) Around(route string, next http.HandlerFunc) http.HandlerFunc {
	if t.tracer == nil {
		return Receive(route, next)
	}
	return Receive(route, func(w http.ResponseWriter, r *http.Request) {
		d := &delivery{tracer: t.tracer, request: r, route: route, came: time.Now(), asked: trace.SpanContextFromContext(r.Context())}
		ctx := context.WithValue(r.Context(), deliveryKey{}, d)
		if route != executeRoute {
			ctx = d.begin(ctx)
		}
		answer := &answer{ResponseWriter: w, status: http.StatusOK}
		next(answer, r.WithContext(ctx))
		d.end(r.Context(), answer.status)
	})
}

// Receive puts the trace that a request came in, as its headers say, into its
// context: for the log, where nothing else is traced.
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

// delivery is a request under way. Its span is begun and ended by the goroutine
// that serves it.
type delivery struct {
	tracer  trace.Tracer
	request *http.Request
	route   string
	came    time.Time
	asked   trace.SpanContext // what the request's headers say
	span    trace.Span        // nil until it is known what it belongs to
}

type deliveryKey struct{}

// waitsForTrace reports whether ctx is about a delivery whose span has not begun.
func waitsForTrace(ctx context.Context) bool {
	d, ok := ctx.Value(deliveryKey{}).(*delivery)
	return ok && d.span == nil
}

// beginDelivery begins the span of the delivery that ctx is about, if there is
// one that waits for its trace, under the trace of ctx.
func beginDelivery(ctx context.Context) context.Context {
	if !waitsForTrace(ctx) {
		return ctx
	}
	return ctx.Value(deliveryKey{}).(*delivery).begin(ctx)
}

func (d *delivery) begin(ctx context.Context) context.Context {
	options := []trace.SpanStartOption{
		trace.WithSpanKind(trace.SpanKindServer), trace.WithTimestamp(d.came),
		trace.WithAttributes(semconv.HTTPRequestMethodKey.String(d.request.Method), semconv.HTTPRoute(d.route), semconv.URLPath(d.request.URL.Path)),
	}
	if parent := trace.SpanContextFromContext(ctx); d.asked.IsValid() && parent.TraceID() != d.asked.TraceID() {
		options = append(options, trace.WithLinks(trace.Link{SpanContext: d.asked}))
	}
	if n, err := strconv.Atoi(d.request.Header.Get("X-CloudTasks-TaskRetryCount")); err == nil {
		options = append(options, trace.WithAttributes(retryCountKey.Int(n)))
	}
	ctx, d.span = d.tracer.Start(ctx, d.request.Method+" "+d.route, options...)
	return ctx
}

// end ends the span. A delivery that did not lead to a run is the platform's
// own affair, and stays in its trace.
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

// answer remembers the status of an answer.
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
