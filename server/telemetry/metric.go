package telemetry

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/claimcheck-go/claimcheck/queue"
)

// Instrument is one metric.
type Instrument struct {
	Name, Unit  string
	Kind        Kind
	Description string
}

// Kind is the type of a metric.
type Kind string

// The kinds.
const (
	Counter   Kind = "counter"
	Histogram Kind = "histogram"
	Gauge     Kind = "gauge"
)

// The metrics. docs/telemetry.md lists them, and tests hold it, the dashboard and
// the alerts against this.
var (
	enqueuedMetric   = Instrument{"claimcheck.enqueued", "{task}", Counter, "Tasks that were stored."}
	dispatchedMetric = Instrument{"claimcheck.dispatched", "{ticket}", Counter, "Tickets that were created, or refused."}
	runsMetric       = Instrument{"claimcheck.runs", "{run}", Counter, "Runs by how they ended."}
	durationMetric   = Instrument{"claimcheck.run.duration", "s", Histogram, "How long runs took, including the storing of their results."}
	waitMetric       = Instrument{"claimcheck.queue.wait", "s", Histogram, "From when a task was due to its first claim."}
	lostMetric       = Instrument{"claimcheck.lease.lost", "{lease}", Counter, "Runs that ended after their claim had been lost to another worker."}
	expiredMetric    = Instrument{"claimcheck.lease.expired", "{lease}", Counter, "Leases that expired without a result; their workers may be gone."}
	tasksMetric      = Instrument{"claimcheck.tasks", "{task}", Gauge, "Tasks that have not ended, by state."}
	oldestMetric     = Instrument{"claimcheck.oldest_due.age", "s", Gauge, "How long the task has been due that waits longest."}
	strandedMetric   = Instrument{"claimcheck.stranded", "{task}", Gauge, "Tasks that should have been claimed or dispatched by now."}
	upMetric         = Instrument{"claimcheck.figures.up", "{answer}", Gauge, "1 if the database could be asked for the gauges, else 0."}
	poolMetric       = Instrument{"claimcheck.pool.connections", "{connection}", Gauge, "Database connections of this process, by state."}
	poolMaxMetric    = Instrument{"claimcheck.pool.max", "{connection}", Gauge, "Database connections that this process may have."}
	poolWaitsMetric  = Instrument{"claimcheck.pool.waits", "{wait}", Counter, "Calls that had to wait for a free connection."}
	poolWaitMetric   = Instrument{"claimcheck.pool.wait.duration", "s", Counter, "How long they waited in all."}
)

// Instruments returns all metrics.
func Instruments() []Instrument {
	return []Instrument{
		enqueuedMetric, dispatchedMetric, runsMetric, durationMetric, waitMetric, lostMetric, expiredMetric,
		tasksMetric, oldestMetric, strandedMetric, upMetric, poolMetric, poolMaxMetric, poolWaitsMetric, poolWaitMetric,
	}
}

// Attributes of the metrics, with short names since every series has them.
const (
	queueKey   = attribute.Key("queue")
	backendKey = attribute.Key("backend")
	taskName   = attribute.Key("task")
	stateKey   = attribute.Key("state")
	resultKey  = attribute.Key("result")
	endKey     = attribute.Key("outcome")
)

// buckets are histogram bounds for durations from a millisecond to hours.
var buckets = metric.WithExplicitBucketBoundaries(.001, .005, .01, .05, .1, .5, 1, 5, 10, 30, 60, 300, 900, 3600, 14400)

// metrics are the instruments that the hooks record to.
type metrics struct {
	enqueues, dispatches, runs, losses, expiries metric.Int64Counter
	durations, waits                             metric.Float64Histogram
}

func newMetrics(m metric.Meter) (*metrics, error) {
	var errs []error
	counter := func(i Instrument) metric.Int64Counter {
		c, err := m.Int64Counter(i.Name, metric.WithUnit(i.Unit), metric.WithDescription(i.Description))
		errs = append(errs, err)
		return c
	}
	histogram := func(i Instrument) metric.Float64Histogram {
		h, err := m.Float64Histogram(i.Name, metric.WithUnit(i.Unit), metric.WithDescription(i.Description), buckets)
		errs = append(errs, err)
		return h
	}
	f := &metrics{
		enqueues: counter(enqueuedMetric), dispatches: counter(dispatchedMetric), runs: counter(runsMetric),
		losses: counter(lostMetric), expiries: counter(expiredMetric),
		durations: histogram(durationMetric), waits: histogram(waitMetric),
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	// Alerts watch these, and an increase is seen only after a 0.
	f.losses.Add(context.Background(), 0)
	for _, result := range []string{"reclaimed", "failed"} {
		f.expiries.Add(context.Background(), 0, metric.WithAttributes(resultKey.String(result)))
	}
	return f, nil
}

// of returns the attributes of a task's measurements.
func of(row *queue.Row, more ...attribute.KeyValue) metric.MeasurementOption {
	return metric.WithAttributeSet(attribute.NewSet(append(more, queueKey.String(row.Queue), taskName.String(row.Task))...))
}

func (f *metrics) enqueued(ctx context.Context, row *queue.Row) { f.enqueues.Add(ctx, 1, of(row)) }

func (f *metrics) dispatched(ctx context.Context, row *queue.Row, err error) {
	result := "sent"
	if err != nil {
		result = "refused"
	}
	f.dispatches.Add(ctx, 1, metric.WithAttributes(queueKey.String(row.Queue), resultKey.String(result)))
}

// started measures the wait for the first claim; both times are the database's.
func (f *metrics) started(ctx context.Context, row *queue.Row) {
	if row.Attempts > 1 {
		return
	}
	due := row.EnqueuedAt
	if row.RunAfter.After(due) {
		due = row.RunAfter
	}
	f.waits.Record(ctx, max(row.LastAttemptedAt.Sub(due), 0).Seconds(), of(row))
}

func (f *metrics) finished(ctx context.Context, run *queue.Run) {
	outcome := endKey.String(string(run.Outcome))
	counted := []attribute.KeyValue{outcome}
	if kind := errorType(run); kind != "" {
		counted = append(counted, semconv.ErrorTypeKey.String(kind))
	}
	if run.Outcome == queue.OutcomeFailed {
		counted = append(counted, resultKey.String(string(run.Row.Status)))
	}
	f.runs.Add(ctx, 1, of(run.Row, counted...))
	f.durations.Record(ctx, run.Duration.Seconds(), of(run.Row, outcome))
	// A cancelled task loses its claim too, as intended.
	if errors.Is(run.Err, queue.ErrLeaseLost) && run.Row.Status != queue.StatusCancelled {
		f.losses.Add(ctx, 1)
	}
}

func (f *metrics) promoted(ctx context.Context, p queue.PromoteResult) {
	for result, n := range map[string]int{"reclaimed": p.Reclaimed, "failed": p.Failed} {
		f.expiries.Add(ctx, int64(n), metric.WithAttributes(resultKey.String(result)))
	}
}

// age returns how long ago t was; 0 if t is unknown or, since clocks differ, ahead.
func age(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return max(time.Since(t), 0).Seconds()
}
