package storetest

import (
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// stranded returns the queues of the backend "default" with stranded rows.
func (f *fixture) stranded() (queues []string, at time.Time) {
	f.Helper()
	found, err := f.store.StrandedQueues(f.ctx, "default")
	f.must(err)
	for _, q := range found {
		f.equal("backend", q.Backend, "default")
		queues, at = append(queues, q.Queue), q.At
	}
	return queues, at
}

// takeStranded takes rows of a queue that are stranded by the time at.
func (f *fixture) takeStranded(name string, at time.Time, limit int) []*queue.Row {
	f.Helper()
	rows, err := f.store.TakeStranded(f.ctx, queue.StrandedQueue{Backend: "default", Queue: name, At: at}, limit)
	f.must(err)
	return rows
}

// outboxTests are about the rows that the sweeper dispatches. A row that is
// inserted unarmed is stranded at once.
var outboxTests = map[string]func(*fixture){
	"nothing is stranded": func(f *fixture) {
		f.insert(armed)
		f.insert(delay(month))
		f.claimed(lease)
		f.finish(f.claimed(lease).Claim())
		queues, _ := f.stranded()
		f.equal("queues", queues, []string(nil))
		f.equal("rows", f.takeStranded("default", f.now(), 10), []*queue.Row(nil))
	},
	"queues with stranded rows, and no others": func(f *fixture) {
		for _, name := range []string{"b", "a", "a", "z"} {
			f.insert(onQueue(name))
		}
		f.insert(onQueue("armed"), armed)
		f.insert(onQueue("elsewhere"), onBackend("other"))
		f.finish(f.claimed(lease, onQueue("finished")).Claim())
		queues, at := f.stranded()
		f.equal("queues", queues, []string{"a", "b", "z"})
		f.between("at", f.now().Sub(at), 0, time.Minute)
	},
	"the longest stranded first, and each once": func(f *fixture) {
		first, second, third := f.insert(), f.insert(), f.insert()
		f.insert(onQueue("other"))
		f.insert(armed)
		_, at := f.stranded()
		got := f.takeStranded("default", at, 2)
		f.equal("taken", sorted(ids(got)), sorted([]uuid.UUID{first.ID, second.ID}))
		f.equal("taken next", ids(f.takeStranded("default", at, 10)), []uuid.UUID{third.ID})
		f.equal("taken last", f.takeStranded("default", at, 10), []*queue.Row(nil))
	},
	"a taken row is left alone for growing times": func(f *fixture) {
		row := f.insert()
		for tries := range 8 {
			before := f.now()
			got := f.takeStranded("default", before.Add(time.Hour*24), 1)
			if len(got) != 1 || got[0].DispatchTries != tries+1 {
				f.Fatalf("after %d times: %+v", tries, got)
			}
			pause := queue.StrandedPause(tries)
			f.between("pause", got[0].DispatchDueAt.Sub(before), pause, pause+time.Minute)
			f.light(got[0])
		}
		f.equal("longest", queue.StrandedPause(8), queue.LongestStrandedPause)
		row = f.claim(row.ID, lease)
		f.equal("tries after a claim", row.DispatchTries, 0)
	},
	"a row that is due later is armed for its time": func(f *fixture) {
		row := f.insert(delay(24 * time.Hour))
		got := f.takeStranded("default", f.now(), 10)
		if len(got) != 1 || got[0].ID != row.ID {
			f.Fatalf("%+v", got)
		}
		f.equal("due", got[0].DispatchDueAt, row.RunAfter.Add(queue.FirstStrandedPause))
	},
	"a row that is not due for long stays parked": func(f *fixture) {
		row := f.insert(delay(month))
		f.equal("taken", f.takeStranded("default", row.RunAfter, 10), []*queue.Row(nil))
	},
	"rows that became stranded later are the next sweep's": func(f *fixture) {
		at := f.now().Add(-time.Minute)
		f.insert()
		f.equal("taken", f.takeStranded("default", at, 10), []*queue.Row(nil))
	},
	"what was refused is stranded again, and not counted": func(f *fixture) {
		row := f.insert()
		for range 3 {
			got := f.takeStranded("default", f.now(), 10)
			f.equal("taken", ids(got), []uuid.UUID{row.ID})
			f.equal("tries", got[0].DispatchTries, 1)
			f.must(f.store.DispatchFailed(f.ctx, "quota", true, row.ID))
		}
		f.equal("tries", f.get(row.ID).DispatchTries, 0)
		f.equal("error", f.get(row.ID).DispatchError, "quota")
	},
	"a refusal of another dispatch keeps the count": func(f *fixture) {
		row := f.insert()
		f.takeStranded("default", f.now(), 10)
		f.must(f.store.DispatchFailed(f.ctx, "quota", false, row.ID))
		f.equal("tries", f.get(row.ID).DispatchTries, 1)
		got := f.takeStranded("default", f.now(), 10)
		f.equal("taken", ids(got), []uuid.UUID{row.ID})
		f.equal("tries", got[0].DispatchTries, 2)
	},
	"reclaimed rows are stranded": func(f *fixture) {
		row := f.claimed(expired)
		f.promote()
		f.equal("taken", ids(f.takeStranded("default", f.now(), 10)), []uuid.UUID{row.ID})
	},
	"several sweepers take each row once": func(f *fixture) {
		const total = 60
		for i := range total {
			f.insert(onQueue(fmt.Sprint("q", i%3)))
		}
		at := f.now()
		var mu sync.Mutex
		taken := make(map[uuid.UUID]int)
		var group sync.WaitGroup
		for i := range 6 {
			group.Go(func() {
				for {
					rows, err := f.store.TakeStranded(f.ctx, queue.StrandedQueue{Backend: "default", Queue: fmt.Sprint("q", i%3), At: at}, 7)
					if err != nil {
						f.Errorf("TakeStranded: %v", err)
						return
					}
					mu.Lock()
					for _, row := range rows {
						taken[row.ID]++
					}
					mu.Unlock()
					if len(rows) == 0 {
						return
					}
				}
			})
		}
		group.Wait()
		for id, n := range taken {
			if n != 1 {
				f.Errorf("%s was taken %d times", id, n)
			}
		}
		// A sweeper may have skipped rows that another had locked.
		left := 0
		for i := range 3 {
			left += len(f.takeStranded(fmt.Sprint("q", i), at, total))
		}
		f.equal("taken", len(taken)+left, total)
	},
}
