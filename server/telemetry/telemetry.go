package telemetry

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/claimcheck-go/claimcheck/queue"
)

// Config says who is told; what is nil is not.
type Config struct {
	Tracer trace.TracerProvider
	Meter  metric.MeterProvider
}

// Telemetry turns what happens to tasks into spans and figures. It is safe for
// concurrent use.
type Telemetry struct {
	tracer  trace.Tracer // nil: no spans
	meter   metric.Meter // nil: no figures
	figures *figures
}

// scope is the name under which this package's spans and metrics appear.
const scope = "github.com/claimcheck-go/claimcheck/server/telemetry"

// New makes the instruments. Nothing is told until the hooks are called.
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
	t.figures, err = newFigures(t.meter)
	return t, err
}

// Hooks are what queue.Config.Hooks takes.
func (t *Telemetry) Hooks() queue.Hooks {
	hooks := queue.Hooks{Finished: t.finished}
	if t.tracer != nil {
		hooks.Enqueuing, hooks.Running = t.enqueuing, t.running
	}
	if f := t.figures; f != nil {
		hooks.Enqueued, hooks.Dispatched, hooks.Started, hooks.Promoted = f.enqueued, f.dispatched, f.started, f.promoted
	}
	return hooks
}

func (t *Telemetry) finished(ctx context.Context, run *queue.Run) {
	if t.figures != nil {
		t.figures.finished(ctx, run)
	}
	if t.tracer != nil {
		endRun(trace.SpanFromContext(ctx), run)
	}
}
