package telemetry

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/claimcheck-go/claimcheck/queue"
)

// Config selects providers; a nil one is disabled, and at least one is required.
type Config struct {
	Tracer trace.TracerProvider // of spans
	Meter  metric.MeterProvider // of metrics
}

// Telemetry reports tasks as spans and metrics. It is safe for concurrent use.
type Telemetry struct {
	tracer  trace.Tracer // nil: no spans
	meter   metric.Meter // nil: no metrics
	metrics *metrics
}

// scope is the name under which this package's spans and metrics appear.
const scope = "github.com/claimcheck-go/claimcheck/server/telemetry"

// New creates the instruments. Nothing is recorded until the hooks are called.
func New(cfg Config) (*Telemetry, error) {
	if cfg.Tracer == nil && cfg.Meter == nil {
		return nil, errors.New("telemetry: Config.Tracer or Config.Meter is required")
	}
	t := &Telemetry{}
	if cfg.Tracer != nil {
		t.tracer = cfg.Tracer.Tracer(scope)
	}
	if cfg.Meter == nil {
		return t, nil
	}
	t.meter = cfg.Meter.Meter(scope)
	var err error
	t.metrics, err = newMetrics(t.meter)
	return t, err
}

// Hooks returns the hooks for [queue.Config].
func (t *Telemetry) Hooks() queue.Hooks {
	hooks := queue.Hooks{Finished: t.finished}
	if t.tracer != nil {
		hooks.Enqueuing, hooks.Running = t.enqueuing, t.running
	}
	if f := t.metrics; f != nil {
		hooks.Enqueued, hooks.Dispatched, hooks.Started, hooks.Promoted = f.enqueued, f.dispatched, f.started, f.promoted
	}
	return hooks
}

func (t *Telemetry) finished(ctx context.Context, run *queue.Run) {
	if t.metrics != nil {
		t.metrics.finished(ctx, run)
	}
	if t.tracer != nil {
		endRun(trace.SpanFromContext(ctx), run)
	}
}
