package scenario

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/claimcheck-go/claimcheck/bench/internal/probe"
	"github.com/claimcheck-go/claimcheck/bench/internal/system"
)

// purgeable is how many tasks a purge deletes that has the database for itself.
const purgeable = 200_000

// purge deletes what has ended.
func purge(ctx context.Context, s system.Session, m *probe.Meter, size Size) (probe.Metrics, error) {
	p, err := as[system.Purger](s)
	if err != nil {
		return nil, err
	}
	if err := m.Start(ctx); err != nil {
		return nil, err
	}
	deleted, err := p.Purge(ctx)
	if err != nil {
		return nil, err
	}
	f, err := m.Stop(ctx, deleted)
	if want := size.rows(purgeable); err == nil && deleted != want {
		err = fmt.Errorf("%d rows were deleted, not %d", deleted, want)
	}
	return f, err
}

// A worker runs so many tasks with nothing beside it, and then as many beside a
// purge; and that again.
const (
	besideRounds = 2
	besideTasks  = 15_000
)

// purgeBeside measures what a purge takes from a worker.
func purgeBeside(ctx context.Context, s system.Session, m *probe.Meter, size Size) (probe.Metrics, error) {
	p, err := as[system.PurgingDrainer](s)
	if err != nil {
		return nil, err
	}
	if err := m.Start(ctx); err != nil { // for its profile
		return nil, err
	}
	n := size.rows(besideTasks)
	var alone time.Duration
	var beside system.Shared
	for range besideRounds {
		began := time.Now()
		if err := p.Drain(ctx, n, nil); err != nil {
			return nil, err
		}
		alone += time.Since(began)
		shared, err := p.DrainPurging(ctx, n)
		if err != nil {
			return nil, err
		}
		beside.Runs += shared.Runs
		beside.Deleted += shared.Deleted
		beside.Took += shared.Took
	}
	if beside.Deleted == 0 {
		return nil, errors.New("the purge deleted nothing")
	}
	return probe.Metrics{
		"alone_per_s":  float64(besideRounds*n) / alone.Seconds(),
		"per_s":        float64(beside.Runs) / beside.Took.Seconds(),
		"purged_per_s": float64(beside.Deleted) / beside.Took.Seconds(),
	}, nil
}
