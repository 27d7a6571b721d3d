package scenario

import (
	"context"
	"errors"
	"time"

	"github.com/claimcheck-go/claimcheck/bench/internal/probe"
	"github.com/claimcheck-go/claimcheck/bench/internal/system"
)

// idle measures the time from the call of Enqueue to the start of the task, on a
// worker that had nothing to do.
func idle(mode system.StartMode, samples int) func(context.Context, system.Session, *probe.Meter, Size) (probe.Metrics, error) {
	return func(ctx context.Context, s system.Session, m *probe.Meter, _ Size) (f probe.Metrics, err error) {
		if x, ok := s.(system.External); ok {
			times, err := x.IdleStarts(ctx, samples)
			if err != nil {
				return nil, err
			}
			return latencies(times), nil
		}
		starter, err := as[system.Starter](s)
		if err != nil {
			return nil, err
		}
		started := make(chan time.Time, 1)
		worker, err := starter.Start(ctx, mode, func() { started <- time.Now() })
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, worker.Stop(ctx)) }()
		if err := m.Start(ctx); err != nil { // for its profile
			return nil, err
		}
		var times probe.Latencies
		for i := range samples + 1 {
			// Long enough for everything to be at rest, and no multiple of a poll.
			time.Sleep(time.Duration(60+7*(i%8)) * time.Millisecond)
			began := time.Now()
			if err := worker.Enqueue(ctx); err != nil {
				return nil, err
			}
			select {
			case at := <-started:
				if i > 0 { // the first makes connections
					times.Add(at.Sub(began))
				}
			case <-time.After(time.Minute):
				return nil, errors.New("a task did not start within a minute")
			}
		}
		f = probe.Metrics{}
		times.Into(f, "")
		return f, nil
	}
}

func latencies(times []time.Duration) probe.Metrics {
	var all probe.Latencies
	all.Add(times...)
	f := probe.Metrics{}
	all.Into(f, "")
	return f
}
