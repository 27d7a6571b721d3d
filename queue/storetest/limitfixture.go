package storetest

import (
	"errors"
	"sync"
	"sync/atomic"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

func (f *fixture) limiter() queue.Limiter { return f.store.(queue.Limiter) }

func (f *fixture) limit(l queue.Limit) queue.Limit {
	f.Helper()
	now, err := f.limiter().SetLimit(f.ctx, l.Change())
	f.must(err)
	return now
}

func (f *fixture) limits() []queue.Limit {
	f.Helper()
	limits, err := f.limiter().Limits(f.ctx)
	f.must(err)
	return limits
}

func limitKey(key string) func(*queue.NewRow) { return func(r *queue.NewRow) { r.LimitKey = key } }

func (f *fixture) insertMany(n int, changes ...func(*queue.NewRow)) (rows []*queue.Row) {
	f.Helper()
	for range n {
		rows = append(rows, f.insert(changes...))
	}
	return rows
}

func nextRequest(limit int) queue.ClaimNextRequest {
	return queue.ClaimNextRequest{Tasks: []string{taskName}, Limit: limit, Worker: "w", Lease: lease}
}

func (f *fixture) claimLimited(limit int, changes ...func(*queue.ClaimNextRequest)) []*queue.Row {
	f.Helper()
	req := nextRequest(limit)
	for _, change := range changes {
		change(&req)
	}
	rows, _, err := f.limiter().ClaimLimited(f.ctx, req)
	f.must(err)
	return rows
}

// besideHog pulls rows one by one, of which two run at once, and one of each key, until n
// have run that are not of a key with a higher priority, which always has rows. It returns
// their keys in order.
func (f *fixture) besideHog(n int) (keys []string) {
	f.Helper()
	f.limit(queue.Limit{Kind: queue.LimitName, Name: taskName, Running: 2})
	f.limit(queue.Limit{Kind: queue.LimitEach, Name: taskName, Running: 1})
	f.insertMany(n, limitKey("hog"), priority(10))
	for others := 0; others < n; {
		rows := append(f.claimLimited(1), f.claimLimited(1)...)
		f.equal("claimed", len(rows), 2)
		for _, row := range rows {
			f.finish(row.Claim())
			if keys = append(keys, row.LimitKey); row.LimitKey != "hog" {
				others++
			}
		}
	}
	return keys
}

func (f *fixture) admit(row *queue.Row, limit int) []*queue.Row {
	f.Helper()
	rows, err := f.limiter().Admit(f.ctx, queue.AdmitRequest{Backend: "default", Tasks: []string{taskName, "other"}, Row: row, Limit: limit})
	f.must(err)
	return rows
}

// refusedLimited checks that a row is not claimed because a limit is reached, and whether
// it waits for a time.
func (f *fixture) refusedLimited(id uuid.UUID, timed bool) *queue.Row {
	f.Helper()
	refused := f.refused(id, queue.ErrLimited)
	got := f.get(id)
	f.equal("refused", []any{got.Status, refused.Wait > 0, got.Parked()}, []any{queue.StatusReady, timed, false})
	f.equal("expects no delivery", !got.DispatchDueAt.Before(queue.LimitedFrom), !timed)
	return got
}

// letsPass checks that a row does not take the slot of one that has just been admitted.
func (f *fixture) letsPass(admitted, row *queue.Row) {
	f.Helper()
	got, err := f.store.Claim(f.ctx, row.ID, claimRequest(lease))
	if errors.Is(err, queue.ErrLimited) {
		return
	}
	f.must(err)
	if late := got.LastAttemptedAt.Sub(admitted.DispatchDueAt.Add(-queue.DispatchGrace)); late < queue.AdmitGrace {
		f.Errorf("a row overtook one that was admitted %s before", late)
	}
	f.must(f.store.Unclaim(f.ctx, got.Claim()))
}

// raceForSlots delivers rows of a queue with a limit, and pulls them, from many
// goroutines, until all have run.
func (f *fixture) raceForSlots(limit int64, rows, claimers int) {
	f.limit(queue.Limit{Kind: queue.LimitQueue, Name: "emails", Running: int(limit)})
	f.insertMany(rows, onQueue("emails"))
	var running, most atomic.Int64
	f.drainLimited(claimers, rows, func(_ *queue.Row, n int64) {
		now := running.Add(n)
		if now > limit {
			f.Errorf("%d run", now)
		}
		for {
			m := most.Load()
			if now <= m || most.CompareAndSwap(m, now) {
				return
			}
		}
	})
	if most.Load() < 2 {
		f.Errorf("at most %d have run at once", most.Load())
	}
}

// drainLimited pulls and finishes rows until so many have run, and then no limit may have
// rows. counted is called after a claim with 1 and before a finish with -1.
func (f *fixture) drainLimited(claimers, rows int, counted func(row *queue.Row, n int64)) {
	var done atomic.Int64
	var group sync.WaitGroup
	for range claimers {
		group.Go(func() {
			for done.Load() < int64(rows) && f.ctx.Err() == nil && !f.Failed() {
				claimed, _, err := f.limiter().ClaimLimited(f.ctx, nextRequest(3))
				if err != nil {
					f.Errorf("ClaimLimited: %v", err)
					return
				}
				for _, row := range claimed {
					counted(row, 1)
				}
				for _, row := range claimed {
					counted(row, -1)
					if _, err := f.store.Finish(f.ctx, row.Claim(), queue.Finish{Status: queue.StatusSuccessful}); err != nil {
						f.Errorf("Finish: %v", err)
					}
					done.Add(1)
				}
			}
		})
	}
	group.Wait()
	f.must(f.ctx.Err())
	f.equal("left", len(f.claimLimited(10)), 0)
}
