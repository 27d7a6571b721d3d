package server

import (
	"context"
	"log/slog"
	"sync"
	"time"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// exportErrors logs that telemetry cannot be exported, at most once a minute.
type exportErrors struct {
	log *slog.Logger

	mu   sync.Mutex
	last time.Time
}

// Handle logs an error of the SDK.
func (e *exportErrors) Handle(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if time.Since(e.last) < time.Minute {
		return
	}
	e.last = time.Now()
	e.log.Warn("telemetry was not exported; tasks are not affected", "error", err)
}

// loggedSpans is an exporter whose errors are logged instead of being returned to the
// SDK, which gives them to the handler that is global to the process.
type loggedSpans struct {
	sdktrace.SpanExporter
	failures *exportErrors
}

func (e loggedSpans) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	if err := e.SpanExporter.ExportSpans(ctx, spans); err != nil {
		e.failures.Handle(err)
	}
	return nil
}

// loggedMetrics is [loggedSpans] for metrics.
type loggedMetrics struct {
	sdkmetric.Exporter
	failures *exportErrors
}

func (e loggedMetrics) Export(ctx context.Context, metrics *metricdata.ResourceMetrics) error {
	if err := e.Exporter.Export(ctx, metrics); err != nil {
		e.failures.Handle(err)
	}
	return nil
}
