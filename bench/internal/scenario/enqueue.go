package scenario

import (
	"context"
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
	var times probe.Latencies
	if _, err := repeat(ctx, callers, min(warmup, size.duration()), do, &times); err != nil {
		return nil, err
	}
	times = probe.Latencies{}
	if err := m.Start(ctx); err != nil {
		return nil, err
	}
	calls, err := repeat(ctx, callers, size.duration(), do, &times)
	if err != nil {
		return nil, err
	}
	f, err := m.Stop(ctx, calls*tasks)
	if err == nil {
		times.Into(f, "")
	}
	return f, err
}

// repeat returns how many calls were made.
func repeat(ctx context.Context, callers int, d time.Duration, do func(context.Context) error, times *probe.Latencies) (int, error) {
	group, ctx := errgroup.WithContext(ctx)
	calls := make([]int, callers)
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
			calls[i] = len(own)
			times.Add(own...)
			return nil
		})
	}
	err := group.Wait()
	sum := 0
	for _, n := range calls {
		sum += n
	}
	return sum, err
}
