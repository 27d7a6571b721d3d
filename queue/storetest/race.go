package storetest

import (
	"errors"
	"sync"
	"sync/atomic"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

var raceTests = map[string]func(*fixture){
	"of many claimers one gets the row": func(f *fixture) {
		for range 10 {
			row := f.insert()
			if n := f.raceFor(row.ID, 16); n != 1 {
				f.Fatalf("%d claimers got the row", n)
			}
		}
	},
	"of many thieves one gets the row": func(f *fixture) {
		for range 10 {
			row := f.claimed(expired)
			if n := f.raceFor(row.ID, 16); n != 1 {
				f.Fatalf("%d thieves got the row", n)
			}
			if got := f.get(row.ID); got.Attempts != 2 || len(got.WorkerIDs) != 2 {
				f.Fatalf("%d attempts, %d workers", got.Attempts, len(got.WorkerIDs))
			}
		}
	},
	"of many that find a lost worker one fails the row": func(f *fixture) {
		row := f.claimed(expired, maxAttempts(1))
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				_, err := f.store.Claim(f.ctx, row.ID, claimRequest(lease))
				if !errors.Is(err, queue.ErrWorkerLost) && !errors.Is(err, queue.ErrFinal) {
					f.Errorf("Claim: %v", err)
				}
			})
			group.Go(func() {
				if _, err := f.store.Promote(f.ctx, 10); err != nil {
					f.Errorf("Promote: %v", err)
				}
			})
		}
		group.Wait()
		if got := f.get(row.ID); !isLost(got) || len(got.Errors) != 1 {
			f.Errorf("%+v", got)
		}
	},
	"many workers take many rows, each once": func(f *fixture) {
		const total = 400
		rows := make([]*queue.NewRow, total)
		for i := range rows {
			rows[i] = request(priority(i % 3))
		}
		f.must(f.store.Insert(f.ctx, rows...))
		var taken sync.Map
		var count atomic.Int64
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				for count.Load() < total && f.ctx.Err() == nil {
					got, err := f.store.ClaimNext(f.ctx, queue.ClaimNextRequest{Tasks: []string{taskName}, Limit: 7, Worker: "w", Lease: lease})
					if err != nil {
						f.Errorf("ClaimNext: %v", err)
						return
					}
					for _, row := range got {
						if _, twice := taken.LoadOrStore(row.ID, true); twice {
							f.Errorf("%s was claimed twice", row.ID)
						}
						count.Add(1)
						if _, err := f.store.Finish(f.ctx, row.Claim(), queue.Finish{Status: queue.StatusSuccessful}); err != nil {
							f.Errorf("Finish: %v", err)
						}
					}
				}
			})
		}
		group.Wait()
		if n := count.Load(); n != total {
			f.Errorf("%d of %d rows were claimed", n, total)
		}
	},
	"two promotions at once are one": func(f *fixture) {
		const total = 50
		for range total {
			f.claimed(expired)
		}
		var reclaimed atomic.Int64
		var group sync.WaitGroup
		for range 4 {
			group.Go(func() {
				p, err := f.store.Promote(f.ctx, total)
				if err != nil {
					f.Errorf("Promote: %v", err)
				}
				reclaimed.Add(int64(p.Reclaimed))
			})
		}
		group.Wait()
		// Each skips rows that another one has locked, perhaps only to look at them: the next
		// promotion finds those.
		last, err := f.store.Promote(f.ctx, total)
		if err != nil {
			f.Errorf("the last Promote: %v", err)
		}
		if n := int(reclaimed.Load()) + last.Reclaimed; n != total {
			f.Errorf("%d rows were reclaimed, of %d", n, total)
		}
	},
	"of a finish and a thief one wins": func(f *fixture) {
		for range 20 {
			row := f.claimed(expired)
			var finished, stolen bool
			var group sync.WaitGroup
			group.Go(func() {
				_, err := f.store.Finish(f.ctx, row.Claim(), queue.Finish{Status: queue.StatusSuccessful})
				finished = err == nil
			})
			group.Go(func() {
				_, err := f.store.Claim(f.ctx, row.ID, claimRequest(lease))
				stolen = err == nil
			})
			group.Wait()
			if finished == stolen {
				f.Fatalf("finished: %v, stolen: %v", finished, stolen)
			}
		}
	},
}

// raceFor lets n claimers at a row and says how many got it.
func (f *fixture) raceFor(id uuid.UUID, n int) int64 {
	f.Helper()
	var won atomic.Int64
	var group sync.WaitGroup
	start := make(chan struct{})
	for range n {
		group.Go(func() {
			<-start
			_, err := f.store.Claim(f.ctx, id, claimRequest(lease))
			switch {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, queue.ErrLeased):
				f.Errorf("Claim: %v", err)
			}
		})
	}
	close(start)
	group.Wait()
	return won.Load()
}
