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

// Kind is how a metric counts.
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
	dispatchedMetric = Instrument{"claimcheck.dispatched", "{ticket}", Counter, "Tickets that went out, or were refused."}
	runsMetric       = Instrument{"claimcheck.runs", "{run}", Counter, "Runs by how they ended."}
	durationMetric   = Instrument{"claimcheck.run.duration", "s", Histogram, "How long runs took, storing their ends included."}
	waitMetric       = Instrument{"claimcheck.queue.wait", "s", Histogram, "From when a task was due to its first claim."}
	lostMetric       = Instrument{"claimcheck.lease.lost", "{lease}", Counter, "Runs that ended after somebody else had taken their claim."}
	expiredMetric    = Instrument{"claimcheck.lease.expired", "{lease}", Counter, "Leases that were found expired without a result; the workers may be gone."}
	tasksMetric      = Instrument{"claimcheck.tasks", "{task}", Gauge, "Tasks that have not ended, by state."}
	oldestMetric     = Instrument{"claimcheck.oldest_due.age", "s", Gauge, "How long the task has been due that waits longest."}
	strandedMetric   = Instrument{"claimcheck.stranded", "{task}", Gauge, "Tasks that should have been claimed or dispatched by now."}
	figuresMetric    = Instrument{"claimcheck.figures.up", "{answer}", Gauge, "1 if the database could be asked for the gauges, else 0."}
	poolMetric       = Instrument{"claimcheck.pool.connections", "{connection}", Gauge, "Database connections of this process, by state."}
	poolMaxMetric    = Instrument{"claimcheck.pool.max", "{connection}", Gauge, "Database connections that this process may have."}
	poolWaitsMetric  = Instrument{"claimcheck.pool.waits", "{wait}", Counter, "Calls that had to wait for a free connection."}
	poolWaitMetric   = Instrument{"claimcheck.pool.wait.duration", "s", Counter, "How long they waited in all."}
)

// Instruments lists the metrics.
func Instruments() []Instrument {
	return []Instrument{
		enqueuedMetric, dispatchedMetric, runsMetric, durationMetric, waitMetric, lostMetric, expiredMetric,
		tasksMetric, oldestMetric, strandedMetric, figuresMetric, poolMetric, poolMaxMetric, poolWaitsMetric, poolWaitMetric,
	}
}

// Attributes of the metrics, short since they stand on every series.
const (
	queueKey   = attribute.Key("queue")
	backendKey = attribute.Key("backend")
	taskName   = attribute.Key("task")
	stateKey   = attribute.Key("state")
	resultKey  = attribute.Key("result")
	endKey     = attribute.Key("outcome")
)

// buckets are the bounds of what takes from a millisecond to hours.
var buckets = metric.WithExplicitBucketBoundaries(.001, .005, .01, .05, .1, .5, 1, 5, 10, 30, 60, 300, 900, 3600, 14400)

// figures are the metrics that are counted as tasks go along.
type figures struct {
	enqueues, dispatches, runs, losses, expiries metric.Int64Counter
	durations, waits                             metric.Float64Histogram
}

func newFigures(m metric.Meter) (*figures, error) {
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
	f := &figures{
		enqueues: counter(enqueuedMetric), dispatches: counter(dispatchedMetric), runs: counter(runsMetric),
		losses: counter(lostMetric), expiries: counter(expiredMetric),
		durations: histogram(durationMetric), waits: histogram(waitMetric),
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	// These are alerted on, and only what has been 0 is seen to rise.
	f.losses.Add(context.Background(), 0)
	for _, result := range []string{"reclaimed", "failed"} {
		f.expiries.Add(context.Background(), 0, metric.WithAttributes(resultKey.String(result)))
	}
	return f, nil
}

// of are the attributes of a task's figures.
func of(row *queue.Row, more ...attribute.KeyValue) metric.MeasurementOption {
	return metric.WithAttributeSet(attribute.NewSet(append(more, queueKey.String(row.Queue), taskName.String(row.Task))...))
}

func (f *figures) enqueued(ctx context.Context, row *queue.Row) { f.enqueues.Add(ctx, 1, of(row)) }

func (f *figures) dispatched(ctx context.Context, row *queue.Row, err error) {
	result := "sent"
	if err != nil {
		result = "refused"
	}
	f.dispatches.Add(ctx, 1, metric.WithAttributes(queueKey.String(row.Queue), resultKey.String(result)))
}

// started measures the wait for the first claim; both times are the database's.
func (f *figures) started(ctx context.Context, row *queue.Row) {
	if row.Attempts > 1 {
		return
	}
	due := row.EnqueuedAt
	if row.RunAfter.After(due) {
		due = row.RunAfter
	}
	f.waits.Record(ctx, max(row.LastAttemptedAt.Sub(due), 0).Seconds(), of(row))
}

func (f *figures) finished(ctx context.Context, run *queue.Run) {
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
	// A task that somebody cancelled loses its claim too, as was wanted.
	if errors.Is(run.Err, queue.ErrLeaseLost) && run.Row.Status != queue.StatusCancelled {
		f.losses.Add(ctx, 1)
	}
}

func (f *figures) promoted(ctx context.Context, p queue.PromoteResult) {
	for result, n := range map[string]int{"reclaimed": p.Reclaimed, "failed": p.Failed} {
		f.expiries.Add(ctx, int64(n), metric.WithAttributes(resultKey.String(result)))
	}
}

// age is how long ago t was; 0 if that is not known, or if clocks differ.
func age(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return max(time.Since(t), 0).Seconds()
}
