package scenario

import (
	"context"
	"time"

	"github.com/claimcheck-go/claimcheck/bench/internal/probe"
	"github.com/claimcheck-go/claimcheck/bench/internal/system"
)

// create has Cloud Tasks created a thousand at a time, as EnqueueMany does, with
// each concurrency that the system wants to be tried with. The best counts.
func create(ctx context.Context, s system.Session, m *probe.Meter, size Size) (best probe.Metrics, err error) {
	c, err := as[system.Creator](s)
	if err != nil {
		return nil, err
	}
	const batch = 1000
	size.Seconds /= 2 // several concurrencies take their time
	for _, concurrency := range c.Concurrencies() {
		f, err := forTime(ctx, m, size, 1, batch, func(ctx context.Context) error { return c.Create(ctx, batch, concurrency) })
		if err != nil {
			return nil, err
		}
		if best == nil || f["per_s"] > best["per_s"] {
			best = f
		}
		if err := c.Forget(ctx); err != nil {
			return nil, err
		}
	}
	return best, nil
}

// launches is how often one run starts the program, and rest how long the last
// one is left alone before its memory is read.
const (
	launches = 5
	rest     = 1500 * time.Millisecond
)

// coldStart measures the time from exec to the first answer.
func coldStart(ctx context.Context, s system.Session, _ *probe.Meter, _ Size) (probe.Metrics, error) {
	l, err := as[system.Launcher](s)
	if err != nil {
		return nil, err
	}
	var times probe.Latencies
	f := probe.Metrics{}
	for i := range launches + 1 {
		wait := time.Duration(0)
		if i == launches {
			wait = rest
		}
		first, rss, err := l.Launch(ctx, wait)
		if err != nil {
			return nil, err
		}
		if i > 0 { // the first reads the program from the disk
			times.Add(first)
		}
		if rss > 0 {
			f["rss_mb"] = float64(rss) / (1 << 20)
		}
	}
	times.Into(f, "")
	return f, nil
}

// coldServing measures the time from exec to the first answer, and to that of the
// first delivery.
func coldServing(ctx context.Context, s system.Session, _ *probe.Meter, _ Size) (probe.Metrics, error) {
	l, err := as[system.Servant](s)
	if err != nil {
		return nil, err
	}
	var first, served probe.Latencies
	for i := range launches + 1 {
		live, answered, err := l.LaunchServing(ctx)
		if err != nil {
			return nil, err
		}
		if i > 0 { // the first reads the program from the disk
			first.Add(live)
			served.Add(answered)
		}
	}
	f, other := probe.Metrics{}, probe.Metrics{}
	first.Into(f, "")
	served.Into(other, "")
	f["served_p50_ms"] = other["p50_ms"]
	return f, nil
}

// settle is how long the server is left alone before its statements are counted, and
// unused for how long they are.
const (
	settle = 3 * time.Second
	unused = 20 * time.Second
)

// resting measures the server while it has nothing to do.
func resting(ctx context.Context, s system.Session, _ *probe.Meter, size Size) (probe.Metrics, error) {
	l, err := as[system.Servant](s)
	if err != nil {
		return nil, err
	}
	rest := time.Duration(min(1, size.Scale) * float64(unused))
	statements, rss, err := l.Rest(ctx, settle, rest)
	return probe.Metrics{
		"statements_per_min": float64(statements) * float64(time.Minute) / float64(rest),
		"rss_mb":             float64(rss) / (1 << 20),
	}, err
}
