package telemetry

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/claimcheck-go/claimcheck/queue"
)

// Counting tasks is the database's work, so what it said is good for a while, the
// longer the more work it was, and it is asked by one caller at a time, and not
// waited for longer than this.
const (
	figuresKept  = 10 * time.Second
	figuresShare = 20 // of the time, at most one part in so many is spent on counting
	figuresLimit = 2 * time.Second
)

// Watch registers the gauges: the tasks in store, if it is a [queue.Operator], and
// its connections, if it is [queue.Pooled]. They are read when metrics are collected. When the database does not
// answer, the gauges of tasks are missing, claimcheck.figures.up is 0, and all
// other metrics are there.
func (t *Telemetry) Watch(store queue.Store) error {
	if t.meter == nil {
		return nil
	}
	if operator, ok := store.(queue.Operator); ok {
		if err := t.watchTasks(&board{store: operator}); err != nil {
			return err
		}
	}
	if pooled, ok := store.(queue.Pooled); ok {
		return t.watchPool(pooled)
	}
	return nil
}

// board is what the store said last.
type board struct {
	store queue.Operator

	mu     sync.Mutex
	again  time.Time // when it is asked again
	queues []queue.QueueStats
	err    error
}

// look returns what is known, and asks if that is old.
func (b *board) look(ctx context.Context) ([]queue.QueueStats, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	begun := time.Now()
	if begun.Before(b.again) {
		return b.queues, b.err
	}
	ctx, cancel := context.WithTimeout(ctx, figuresLimit)
	defer cancel()
	b.queues, b.err = b.store.Queues(ctx)
	b.again = begun.Add(max(figuresKept, figuresShare*time.Since(begun)))
	return b.queues, b.err
}

func (t *Telemetry) watchTasks(b *board) error {
	var errs []error
	gauge := func(i Instrument) metric.Int64ObservableGauge {
		g, err := t.meter.Int64ObservableGauge(i.Name, metric.WithUnit(i.Unit), metric.WithDescription(i.Description))
		errs = append(errs, err)
		return g
	}
	tasks, stranded, up := gauge(tasksMetric), gauge(strandedMetric), gauge(figuresMetric)
	oldest, err := t.meter.Float64ObservableGauge(oldestMetric.Name, metric.WithUnit(oldestMetric.Unit), metric.WithDescription(oldestMetric.Description))
	if err := errors.Join(append(errs, err)...); err != nil {
		return err
	}
	_, err = t.meter.RegisterCallback(func(ctx context.Context, o metric.Observer) error {
		queues, err := b.look(ctx)
		if err != nil {
			o.ObserveInt64(up, 0)
			return nil //nolint:nilerr // the gauge says it, and the others are still to be collected
		}
		o.ObserveInt64(up, 1)
		for _, q := range queues {
			name := []attribute.KeyValue{queueKey.String(q.Queue), backendKey.String(q.Backend)}
			for state, n := range map[string]int{"pending": q.Pending, "delayed": q.Delayed, "running": q.Running} {
				o.ObserveInt64(tasks, int64(n), metric.WithAttributes(append(name[:2:2], stateKey.String(state))...))
			}
			o.ObserveInt64(stranded, int64(q.Stranded), metric.WithAttributes(name...))
			o.ObserveFloat64(oldest, age(q.OldestSince), metric.WithAttributes(name...))
		}
		return nil
	}, tasks, stranded, up, oldest)
	return err
}

func (t *Telemetry) watchPool(store queue.Pooled) error {
	var errs []error
	gauge := func(i Instrument) metric.Int64ObservableGauge {
		g, err := t.meter.Int64ObservableGauge(i.Name, metric.WithUnit(i.Unit), metric.WithDescription(i.Description))
		errs = append(errs, err)
		return g
	}
	connections, most := gauge(poolMetric), gauge(poolMaxMetric)
	waits, err := t.meter.Int64ObservableCounter(poolWaitsMetric.Name, metric.WithUnit(poolWaitsMetric.Unit), metric.WithDescription(poolWaitsMetric.Description))
	errs = append(errs, err)
	waited, err := t.meter.Float64ObservableCounter(poolWaitMetric.Name, metric.WithUnit(poolWaitMetric.Unit), metric.WithDescription(poolWaitMetric.Description))
	if err := errors.Join(append(errs, err)...); err != nil {
		return err
	}
	_, err = t.meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		pool := store.Pool()
		o.ObserveInt64(connections, int64(pool.InUse), metric.WithAttributes(stateKey.String("used")))
		o.ObserveInt64(connections, int64(pool.Idle), metric.WithAttributes(stateKey.String("idle")))
		o.ObserveInt64(most, int64(pool.Max))
		o.ObserveInt64(waits, pool.Waits)
		o.ObserveFloat64(waited, pool.Waited.Seconds())
		return nil
	}, connections, most, waits, waited)
	return err
}
