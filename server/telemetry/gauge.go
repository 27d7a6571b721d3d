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

// Counting tasks costs the database work, so the counts are kept for a while, longer
// if they took long, and only one caller at a time asks for them.
const (
	statsAge     = 10 * time.Second // how long they are kept at least
	statsShare   = 20               // at most one part in so many of the time is spent on counting
	statsTimeout = 2 * time.Second
)

// Watch registers the gauges: the tasks in store, if it is a [queue.Operator], and
// its connections, if it is [queue.Pooled]. They are read when metrics are collected.
// While the database does not answer, the gauges of tasks are missing,
// claimcheck.figures.up is 0, and all other metrics are reported.
func (t *Telemetry) Watch(store queue.Store) error {
	if t.meter == nil {
		return nil
	}
	if operator, ok := store.(queue.Operator); ok {
		if err := t.watchTasks(&statsCache{store: operator}); err != nil {
			return err
		}
	}
	if pooled, ok := store.(queue.Pooled); ok {
		return t.watchPool(pooled)
	}
	return nil
}

// statsCache keeps the latest counts of a store.
type statsCache struct {
	store queue.Operator

	mu     sync.Mutex
	again  time.Time // when to count again
	queues []queue.QueueStats
	err    error
}

// get returns the counts, and updates them first if they are too old.
func (c *statsCache) get(ctx context.Context) ([]queue.QueueStats, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	begun := time.Now()
	if begun.Before(c.again) {
		return c.queues, c.err
	}
	ctx, cancel := context.WithTimeout(ctx, statsTimeout)
	defer cancel()
	c.queues, c.err = c.store.Queues(ctx)
	c.again = begun.Add(max(statsAge, statsShare*time.Since(begun)))
	return c.queues, c.err
}

func (t *Telemetry) watchTasks(stats *statsCache) error {
	var errs []error
	gauge := func(i Instrument) metric.Int64ObservableGauge {
		g, err := t.meter.Int64ObservableGauge(i.Name, metric.WithUnit(i.Unit), metric.WithDescription(i.Description))
		errs = append(errs, err)
		return g
	}
	tasks, stranded, up := gauge(tasksMetric), gauge(strandedMetric), gauge(upMetric)
	oldest, err := t.meter.Float64ObservableGauge(oldestMetric.Name, metric.WithUnit(oldestMetric.Unit), metric.WithDescription(oldestMetric.Description))
	if err := errors.Join(append(errs, err)...); err != nil {
		return err
	}
	_, err = t.meter.RegisterCallback(func(ctx context.Context, o metric.Observer) error {
		queues, err := stats.get(ctx)
		if err != nil {
			o.ObserveInt64(up, 0)
			return nil //nolint:nilerr // the gauge reports it, and other metrics are still to be collected
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
