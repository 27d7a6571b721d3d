package scenario

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/claimcheck-go/claimcheck/bench/internal/probe"
	"github.com/claimcheck-go/claimcheck/bench/internal/system"
)

// pending fills the database with n tasks that are due.
func pending(n int) func(context.Context, system.Session, Size) error {
	return func(ctx context.Context, s system.Session, size Size) error {
		return storeDue(ctx, s, size.rows(n))
	}
}

// allOf fills the database with the tasks that drain runs, and no more: not
// every system stops after so many.
func allOf(n int) func(context.Context, system.Session, Size) error {
	return func(ctx context.Context, s system.Session, size Size) error {
		return storeDue(ctx, s, size.drained(n))
	}
}

func storeDue(ctx context.Context, s system.Session, n int) error {
	if f, ok := s.(system.Filler); ok {
		return f.Fill(ctx, n, system.Due)
	}
	return store(ctx, s, n)
}

// backlogTasks are what one run drains beside a backlog: enough for the first claims,
// which may have to walk through all rows, to be a small part of it.
const backlogTasks = 500_000

// beside stores backlogTasks, which is not measured, and drains as many: the backlog
// stays as large as it is, in however many runs on the same tables.
func beside(ctx context.Context, s system.Session, m *probe.Meter, size Size) (probe.Metrics, error) {
	if err := store(ctx, s, size.drained(backlogTasks)); err != nil {
		return nil, err
	}
	return drain(backlogTasks)(ctx, s, m, size)
}

// rounds drains tasks in several rounds, and fills the database up before each, so that
// a small backlog stays one. Filling is not measured.
func rounds(backlog, n int) func(context.Context, system.Session, *probe.Meter, Size) (probe.Metrics, error) {
	return func(ctx context.Context, s system.Session, m *probe.Meter, size Size) (probe.Metrics, error) {
		d, err := as[system.Drainer](s)
		if err != nil {
			return nil, err
		}
		var claims probe.Latencies
		var sum probe.Sum
		each := size.rows(backlog)
		for left := size.drained(n); left > 0; left -= each {
			tasks := min(left, each)
			if left < size.drained(n) {
				if err := store(ctx, s, each); err != nil {
					return nil, err
				}
			}
			if err := m.Start(ctx); err != nil {
				return nil, err
			}
			if err := d.Drain(ctx, tasks, func(took time.Duration) { claims.Add(took) }); err != nil {
				return nil, err
			}
			f, err := m.Stop(ctx, tasks)
			if err != nil {
				return nil, err
			}
			sum.Add(f, tasks)
		}
		f := sum.Metrics()
		claims.Into(f, "claim_")
		return f, nil
	}
}

// sleeping drains tasks that sleep, and compares their rate with what the slots allow
// for the time that they really sleep: the share of the slots that is busy.
func sleeping(slots, n int) func(context.Context, system.Session, *probe.Meter, Size) (probe.Metrics, error) {
	return func(ctx context.Context, s system.Session, m *probe.Meter, size Size) (probe.Metrics, error) {
		sleeper, err := as[system.Sleeper](s)
		if err != nil {
			return nil, err
		}
		f, err := drain(n)(ctx, s, m, size)
		if err == nil {
			each := sleeper.Busy().Seconds() / float64(size.drained(n))
			f["slot_share"] = f["per_s"] * each / float64(slots)
		}
		return f, err
	}
}

// longestWait measures how long tasks wait while one worker is full and another is idle.
func longestWait(ctx context.Context, s system.Session, m *probe.Meter, _ Size) (probe.Metrics, error) {
	sharer, err := as[system.Sharer](s)
	if err != nil {
		return nil, err
	}
	if err := m.Start(ctx); err != nil { // for its profile
		return nil, err
	}
	const quick = 500
	wait, err := sharer.LongestWait(ctx, quick)
	return probe.Metrics{"longest_wait_ms": float64(wait) / float64(time.Millisecond)}, err
}

// among fills the database with many tasks of a kind that no claim is to take.
func among(others int, kind system.Kind) func(context.Context, system.Session, Size) error {
	return func(ctx context.Context, s system.Session, size Size) error {
		return fill(ctx, s, size.rows(others), kind)
	}
}

// finished fills the database with old tasks that have ended.
func finished(n int) func(context.Context, system.Session, Size) error {
	return func(ctx context.Context, s system.Session, size Size) error {
		return fill(ctx, s, size.rows(n), system.Finished)
	}
}

// mixed fills the database with old tasks that have ended, and with n that are
// due.
func mixed(old, n int) func(context.Context, system.Session, Size) error {
	return func(ctx context.Context, s system.Session, size Size) error {
		if err := fill(ctx, s, size.rows(old), system.Finished); err != nil {
			return err
		}
		return store(ctx, s, size.rows(n))
	}
}

func fill(ctx context.Context, s system.Session, n int, kind system.Kind) error {
	f, err := as[system.Filler](s)
	if err != nil {
		return err
	}
	return f.Fill(ctx, n, kind)
}

// inBatches calls do for n tasks in all, twice at a time: database and client
// then both have something to do.
func inBatches(ctx context.Context, n int, do func(ctx context.Context, n int) error) error {
	const batch, lanes = 1000, 2
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(lanes)
	for ; n > 0 && ctx.Err() == nil; n -= batch {
		size := min(n, batch)
		group.Go(func() error { return do(ctx, size) })
	}
	return group.Wait()
}

// store enqueues n tasks the fastest way that the system has.
func store(ctx context.Context, s system.Session, n int) error {
	if b, ok := s.(system.Batcher); ok {
		return inBatches(ctx, n, b.EnqueueBatch)
	}
	e, err := as[system.Enqueuer](s)
	if err != nil {
		return err
	}
	const callers = 16
	group, ctx := errgroup.WithContext(ctx)
	for i := range callers {
		group.Go(func() error {
			for range (n + i) / callers { // these add up to n
				if err := e.Enqueue(ctx); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// smallBacklog is the backlog of backlog-10k.
const smallBacklog = 10_000

// slowShare is the part that slow systems drain: one in so many.
const slowShare = 10

// drained is how many of n tasks a system drains.
func (s Size) drained(n int) int {
	if s.Slow {
		n = min(n/slowShare, smallBacklog) // one round, as not every system can be drained in several
	}
	return s.rows(n)
}

// drain runs n of the tasks that are pending.
func drain(n int) func(context.Context, system.Session, *probe.Meter, Size) (probe.Metrics, error) {
	return func(ctx context.Context, s system.Session, m *probe.Meter, size Size) (probe.Metrics, error) {
		d, err := as[system.Drainer](s)
		if err != nil {
			return nil, err
		}
		tasks := size.drained(n)
		var claims probe.Latencies
		if err := m.Start(ctx); err != nil {
			return nil, err
		}
		if err := d.Drain(ctx, tasks, func(took time.Duration) { claims.Add(took) }); err != nil {
			return nil, err
		}
		f, err := m.Stop(ctx, tasks)
		if err == nil {
			claims.Into(f, "claim_")
		}
		return f, err
	}
}
