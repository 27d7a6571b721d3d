package scenario

import (
	"context"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/claimcheck-go/claimcheck/bench/internal/probe"
	"github.com/claimcheck-go/claimcheck/bench/internal/system"
)

// warmup is how long callers run before they are measured: until connections
// are made and statements prepared.
const warmup = 300 * time.Millisecond

// enqueue has callers store one task after the other for a time.
func enqueue(callers int) func(context.Context, system.Session, *probe.Meter, Size) (probe.Metrics, error) {
	return func(ctx context.Context, s system.Session, m *probe.Meter, size Size) (probe.Metrics, error) {
		if x, ok := s.(system.External); ok {
			return externally(ctx, m, size, x, callers, 1)
		}
		e, err := as[system.Enqueuer](s)
		if err != nil {
			return nil, err
		}
		return forTime(ctx, m, size, callers, 1, e.Enqueue)
	}
}

// batches has one caller store tasks n at a time for a time.
func batches(n int) func(context.Context, system.Session, *probe.Meter, Size) (probe.Metrics, error) {
	return func(ctx context.Context, s system.Session, m *probe.Meter, size Size) (probe.Metrics, error) {
		if x, ok := s.(system.External); ok {
			return externally(ctx, m, size, x, 1, n)
		}
		b, err := as[system.Batcher](s)
		if err != nil {
			return nil, err
		}
		return forTime(ctx, m, size, 1, n, func(ctx context.Context) error { return b.EnqueueBatch(ctx, n) })
	}
}

// forTime measures callers that each call do again and again, which deals with
// tasks tasks.
func forTime(ctx context.Context, m *probe.Meter, size Size, callers, tasks int, do func(context.Context) error) (probe.Metrics, error) {
	return timed(ctx, m, size, tasks, func(d time.Duration) ([]time.Duration, error) { return repeat(ctx, callers, d, do) })
}

// externally is the same for callers in a separate process.
func externally(ctx context.Context, m *probe.Meter, size Size, x system.External, callers, tasks int) (probe.Metrics, error) {
	return timed(ctx, m, size, tasks, func(d time.Duration) ([]time.Duration, error) { return x.Repeat(ctx, callers, tasks, d) })
}

// timed measures what calls does for a time, after a warm-up. It returns the time of
// each call, of which each deals with tasks tasks.
func timed(ctx context.Context, m *probe.Meter, size Size, tasks int, calls func(time.Duration) ([]time.Duration, error)) (probe.Metrics, error) {
	if _, err := calls(min(warmup, size.duration())); err != nil {
		return nil, err
	}
	if err := m.Start(ctx); err != nil {
		return nil, err
	}
	took, err := calls(size.duration())
	if err != nil {
		return nil, err
	}
	f, err := m.Stop(ctx, len(took)*tasks)
	if err == nil {
		var times probe.Latencies
		times.Add(took...)
		times.Into(f, "")
	}
	return f, err
}

// repeat returns the time of each call.
func repeat(ctx context.Context, callers int, d time.Duration, do func(context.Context) error) ([]time.Duration, error) {
	group, ctx := errgroup.WithContext(ctx)
	all := make([][]time.Duration, callers)
	end := time.Now().Add(d)
	for i := range callers {
		group.Go(func() error {
			var own []time.Duration
			for began := time.Now(); began.Before(end); {
				if err := do(ctx); err != nil {
					return err
				}
				now := time.Now()
				own = append(own, now.Sub(began))
				began = now
			}
			all[i] = own
			return nil
		})
	}
	err := group.Wait()
	return slices.Concat(all...), err
}
