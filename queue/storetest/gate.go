package storetest

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// gateTests are about queues that are paused.
var gateTests = map[string]func(*fixture){
	"no row of a paused queue is claimed, and others are": func(f *fixture) {
		f.pause("emails")
		waiting := f.insert(onQueue("emails"), priority(50))
		elsewhere := f.insert(onQueue("emails"), onBackend("other"))
		free := f.insert(priority(-50))
		f.refusedPaused(waiting.ID)
		f.refusedPaused(elsewhere.ID)
		none := []uuid.UUID{}
		f.equal("of the paused queue", ids(f.claimNext(10, fromQueues("emails"))), none)
		f.equal("of the paused queue's backend", ids(f.claimNext(10, func(r *queue.ClaimNextRequest) { r.Backend = "other" })), none)
		f.equal("of both, prefetching", ids(f.claimNext(10, fromQueues("emails", "default"), func(r *queue.ClaimNextRequest) { r.Prefetch = 8 })), []uuid.UUID{free.ID})
		f.insert(onQueue("emails"))
		f.equal("of all", ids(f.claimNext(10)), none)
		free = f.insert()
		f.equal("one by its ID", f.claim(free.ID, lease).ID, free.ID)
	},
	"a resumed queue is as it was": func(f *fixture) {
		at := f.now().Add(time.Hour)
		rows := []*queue.Row{f.insert(onQueue("emails"), armed), f.insert(onQueue("emails"), armed, priority(3)), f.insert(onQueue("emails"), onBackend("other"), armed)}
		delayed, far := f.insert(onQueue("emails"), armed, runAfter(at)), f.insert(onQueue("emails"), delay(month))
		f.pause("emails")
		f.parkAll("emails", 5)
		f.unparked(rows[0].ID, false)
		f.resume("emails")
		n, due := f.unpark("emails", 100)
		f.equal("unparked", n, 5)
		f.equal("due", ids(due), []uuid.UUID{}) // their tickets can still come
		for _, row := range append(rows, delayed, far) {
			f.unchanged(row)
		}
		f.equal("claimable", ids(f.claimNext(10)), []uuid.UUID{rows[1].ID, rows[0].ID, rows[2].ID})
		f.refused(delayed.ID, queue.ErrNotDue)
		f.open()
	},
	"a delivery parks its row, which is due when its queue is resumed": func(f *fixture) {
		row := f.insert(onQueue("emails"), armed)
		f.pause("emails")
		got := f.refusedPaused(row.ID)
		f.equal("parked", got.Parked() && f.get(row.ID).Parked(), true)
		f.equal("left to park", f.park("emails", 10), 0)
		other := f.insert(onQueue("emails"), armed)
		f.equal("parked before its delivery", f.park("emails", 10), 1)
		f.refusedPaused(other.ID)
		f.resume("emails")
		before := f.now()
		n, due := f.unpark("emails", 10)
		f.equal("unparked", n, 2)
		f.equal("due", sorted(ids(due)), sorted([]uuid.UUID{row.ID, other.ID}))
		f.light(due[0])
		f.between("dispatch due", due[0].DispatchDueAt.Sub(before), queue.DispatchGrace, queue.DispatchGrace+time.Minute)
		f.open()
	},
	"what a claim finds besides is reported first": func(f *fixture) {
		done, running, delayed, failing := f.claimed(lease, onQueue("emails")), f.claimed(lease, onQueue("emails")), f.insert(onQueue("emails"), delay(time.Hour)), f.claimed(lease, onQueue("emails"))
		f.finish(done.Claim())
		f.fail(failing.Claim())
		lost := f.claimed(expired, onQueue("emails"), maxAttempts(1))
		unknown := f.insert(onQueue("emails"), withTask("unknown"))
		f.pause("emails")
		f.refused(done.ID, queue.ErrFinal)
		f.refused(running.ID, queue.ErrLeased)
		f.refused(delayed.ID, queue.ErrNotDue)
		f.refused(lost.ID, queue.ErrWorkerLost)
		f.refusedPaused(unknown.ID) // it waits here, and not in the queue of tickets
		_, err := f.store.Claim(f.ctx, failing.ID, claimRequest(lease, func(r *queue.ClaimRequest) { r.AllowRetry = true }))
		if !errors.Is(err, queue.ErrPaused) {
			f.Errorf("retry of a FAILED row: %v", err)
		}
		f.equal("the FAILED row", f.get(failing.ID).Status, queue.StatusFailed)
	},
	"what runs ends normally": func(f *fixture) {
		var rows []*queue.Row
		for range 3 {
			rows = append(rows, f.claimed(lease, onQueue("emails")))
		}
		f.pause("emails")
		renewed, _, err := f.store.Heartbeat(f.ctx, lease, rows[0].Claim())
		f.must(err)
		f.equal("renewed", len(renewed), 1)
		f.finish(rows[0].Claim())
		f.must(f.store.Retry(f.ctx, rows[1].Claim(), queue.Retry{In: time.Hour}))
		f.must(f.store.Release(f.ctx, rows[2].Claim()))
		f.parkAll("emails", 2)
	},
	"whatever is added meanwhile is parked": func(f *fixture) {
		running := make([]*queue.Row, 4)
		for i := range running {
			running[i] = f.claimed(lease, onQueue("emails"))
		}
		stolen := f.claimed(expired, onQueue("emails"))
		f.claimed(expired, onQueue("emails"))
		f.pause("emails")
		f.refusedPaused(stolen.ID)
		got := f.get(stolen.ID)
		f.equal("the expired claim", []any{got.Status, got.ClaimID, got.LeaseExpiresAt.IsZero(), got.Attempts, got.Parked()}, []any{queue.StatusReady, uuid.Nil, true, 1, true})
		f.equal("reclaimed", f.promote().Reclaimed, 1)
		f.must(f.store.Retry(f.ctx, running[0].Claim(), queue.Retry{RunIn: time.Hour}))
		f.must(f.store.Retry(f.ctx, running[1].Claim(), queue.Retry{In: time.Microsecond}))
		f.must(f.store.Release(f.ctx, running[2].Claim()))
		f.must(f.store.Unclaim(f.ctx, running[3].Claim()))
		many := make([]*queue.NewRow, 60)
		for i := range many {
			many[i] = request(onQueue("emails"))
		}
		f.must(f.store.Insert(f.ctx, many...))
		f.equal("claimable", ids(f.claimNext(100)), []uuid.UUID{})
		f.parkAll("emails", 1+4+60)
	},
	"parked rows are never stranded": func(f *fixture) {
		parked := f.insert(onQueue("emails"))
		f.pause("emails")
		f.parkAll("emails", 1)
		waiting := f.insert(onQueue("emails"))
		queues, _ := f.stranded()
		f.equal("stranded queues", queues, []string(nil))
		f.equal("taken", f.takeStranded("emails", f.now(), 10), []*queue.Row(nil))
		f.must(f.store.DispatchFailed(f.ctx, "quota", parked.ID, waiting.ID))
		queues, _ = f.stranded()
		f.equal("stranded after refused tickets", queues, []string(nil))
		f.parkAll("emails", 1)
		f.equal("parked, with the error", []any{f.get(parked.ID).Parked(), f.get(parked.ID).DispatchError}, []any{true, "quota"})
		f.resume("emails")
		_, due := f.unpark("emails", 10)
		f.equal("due", sorted(ids(due)), sorted([]uuid.UUID{parked.ID, waiting.ID}))
	},
	"a resume that was interrupted is continued by others": func(f *fixture) {
		const total = 7
		for range total {
			f.insert(onQueue("emails"))
		}
		f.pause("emails")
		f.equal("parked", f.park("emails", 3), 3)
		f.needsWork("while rows are to be parked", true)
		f.parkAll("emails", total-3)
		f.resume("emails")
		n, _ := f.unpark("emails", 2)
		f.equal("unparked", n, 2)
		f.needsWork("while rows are parked", true)
		f.equal("gates", f.gates(), []queue.Gate{{Queue: "emails", Parked: true}})
		left := f.insert(onQueue("emails"))
		f.equal("not parked any more", f.park("emails", 10), 0)
		f.claim(left.ID, lease)
		other := f.other()
		n, _, err := other.Unpark(f.ctx, "emails", 100)
		f.must(err)
		f.equal("unparked by another", n, total-2)
		f.open()
		f.equal("claimable", len(f.claimNext(100)), total)
	},
	"a queue that is paused again stays so": func(f *fixture) {
		f.insert(onQueue("emails"))
		f.insert(onQueue("emails"))
		f.pause("emails")
		f.parkAll("emails", 2)
		f.resume("emails")
		f.unpark("emails", 1)
		f.pause("emails")
		n, _ := f.unpark("emails", 10)
		f.equal("unparked while paused", n, 0)
		f.parkAll("emails", 1)
		f.equal("claimable", ids(f.claimNext(10)), []uuid.UUID{})
	},
	"a row that was claimed before it was unparked is left alone": func(f *fixture) {
		row := f.insert(onQueue("emails"))
		f.pause("emails")
		f.parkAll("emails", 1)
		f.resume("emails")
		f.claim(row.ID, lease)
		n, _ := f.unpark("emails", 10)
		f.equal("unparked", n, 0)
		f.equal("status", f.get(row.ID).Status, queue.StatusRunning)
		f.open()
	},
	"a parked row that is replaced is parked again": func(f *fixture) {
		row := f.isNew(onQueue("emails"), keyed("a"), armed)
		f.pause("emails")
		f.parkAll("emails", 1)
		f.meets(row.ID, onQueue("emails"), keyed("a"), onConflict(queue.ReplaceExisting), args(`2`), armed)
		f.equal("claimable", ids(f.claimNext(10)), []uuid.UUID{})
		f.parkAll("emails", 1)
		f.resume("emails")
		f.unpark("emails", 10)
		f.equal("claimable after the resume", ids(f.claimNext(10)), []uuid.UUID{row.ID})
	},
	"a parked row that expires is cancelled": func(f *fixture) {
		row := f.insert(onQueue("emails"), armed, expiresIn(50*time.Millisecond))
		f.pause("emails")
		f.park("emails", 10)
		for !f.get(row.ID).Status.Final() {
			f.must(f.ctx.Err())
			f.promote()
		}
		f.equal("status", f.get(row.ID).Status, queue.StatusCancelled)
		f.resume("emails")
		f.unpark("emails", 10)
		f.open()
	},
	"who paused a queue, when and why": func(f *fixture) {
		before := f.now()
		gate := f.pause("emails")
		f.between("paused at", gate.PausedAt.Sub(before), 0, time.Minute)
		want := queue.Gate{Queue: "emails", PausedAt: gate.PausedAt, PausedBy: "ops", PauseReason: "the provider is down", Parked: true}
		f.equal("gate", gate, want)
		again, changed, err := f.gatekeeper().PauseQueue(f.ctx, "emails", "somebody else", "")
		f.must(err)
		f.equal("paused again", []any{again, changed}, []any{want, false})
		f.pause("a")
		f.equal("gates", f.gates()[1], want)
		was, changed, err := f.gatekeeper().ResumeQueue(f.ctx, "emails")
		f.must(err)
		f.equal("resumed", []any{was, changed}, []any{want, true})
		_, changed, err = f.gatekeeper().ResumeQueue(f.ctx, "emails")
		f.must(err)
		f.equal("resumed again", changed, false)
		_, changed, err = f.gatekeeper().ResumeQueue(f.ctx, "unknown")
		f.must(err)
		f.equal("an unknown queue", changed, false)
	},
	"no claim begins after a pause has returned": testPauseIsExact,
	"pauses, deliveries and resumes at once":     testPauseRace,
}

// testPauseIsExact claims by two stores while the queue is paused by one of them: whatever
// is claimed later than the pause returned was not of that queue.
func testPauseIsExact(f *fixture) {
	const rows, after = 400, 20
	for range rows / 50 {
		many := make([]*queue.NewRow, 50)
		for i := range many {
			many[i] = request(onQueue("emails"))
		}
		f.must(f.store.Insert(f.ctx, many...))
	}
	stores := []queue.Store{f.store, f.other().(queue.Store)}
	var paused atomic.Bool
	var claimed atomic.Int64
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			store := stores[i%len(stores)]
			for left := after; left > 0 && f.ctx.Err() == nil; {
				wasPaused := paused.Load()
				got, err := store.ClaimNext(f.ctx, queue.ClaimNextRequest{Tasks: []string{taskName}, Limit: 1, Worker: "w", Lease: lease})
				if err != nil {
					f.Errorf("ClaimNext: %v", err)
					return
				}
				claimed.Add(int64(len(got)))
				if !wasPaused {
					continue
				}
				if left--; len(got) > 0 {
					f.Errorf("%s was claimed after the pause had returned", got[0].ID)
				}
			}
		})
	}
	for claimed.Load() < 20 {
		f.must(f.ctx.Err())
	}
	f.pause("emails")
	paused.Store(true)
	group.Wait()
}

// testPauseRace pauses and resumes a queue while its rows are delivered, and at last
// resumes it: no row may stay parked.
func testPauseRace(f *fixture) {
	rows := make([]*queue.Row, 60)
	for i := range rows {
		rows[i] = f.insert(onQueue("emails"))
	}
	var group sync.WaitGroup
	for i := range 4 {
		group.Go(func() {
			for n := i; n < 15*len(rows); n += 4 {
				row, err := f.store.Claim(f.ctx, rows[n%len(rows)].ID, claimRequest(lease))
				if err == nil {
					err = f.store.Unclaim(f.ctx, row.Claim())
				}
				if err != nil && !errors.Is(err, queue.ErrPaused) && !errors.Is(err, queue.ErrLeased) && !errors.Is(err, queue.ErrLocked) {
					f.Errorf("Claim: %v", err)
					return
				}
			}
		})
	}
	for range 12 {
		f.pause("emails")
		f.park("emails", 40)
		f.resume("emails")
		f.unpark("emails", 10)
	}
	group.Wait()
	f.unpark("emails", 100)
	f.open()
	for _, row := range rows {
		f.unparked(row.ID, true)
	}
	f.equal("claimable", len(f.claimNext(100)), len(rows))
}

func (f *fixture) gatekeeper() queue.Gatekeeper { return f.store.(queue.Gatekeeper) }

// other is another store on the same database, or the same one.
func (f *fixture) other() queue.Gatekeeper {
	if f.second == nil {
		return f.gatekeeper()
	}
	return f.second(f.T, f.store).(queue.Gatekeeper)
}

func (f *fixture) pause(name string) queue.Gate {
	f.Helper()
	gate, changed, err := f.gatekeeper().PauseQueue(f.ctx, name, "ops", "the provider is down")
	f.must(err)
	f.equal("paused now", changed, true)
	return gate
}

func (f *fixture) resume(name string) {
	f.Helper()
	_, changed, err := f.gatekeeper().ResumeQueue(f.ctx, name)
	f.must(err)
	f.equal("resumed now", changed, true)
}

func (f *fixture) park(name string, limit int) int {
	f.Helper()
	n, err := f.gatekeeper().Park(f.ctx, name, limit)
	f.must(err)
	return n
}

// parkAll parks rows, and checks that Promote knew of them and sees none afterwards.
func (f *fixture) parkAll(name string, want int) {
	f.Helper()
	f.needsWork("before parking", true)
	f.equal("parked", f.park(name, 1000), want)
	f.needsWork("after parking", false)
	f.equal("parked again", f.park(name, 1000), 0)
	stats := f.operatorStats()
	f.equal("stranded", stats.Stranded, 0)
}

func (f *fixture) unpark(name string, limit int) (int, []*queue.Row) {
	f.Helper()
	n, due, err := f.gatekeeper().Unpark(f.ctx, name, limit)
	f.must(err)
	return n, due
}

func (f *fixture) gates() []queue.Gate {
	f.Helper()
	gates, err := f.gatekeeper().Gates(f.ctx)
	f.must(err)
	return gates
}

// open checks that no queue is paused, and that no work is left.
func (f *fixture) open() {
	f.Helper()
	f.needsWork("with all gates open", false)
	f.equal("gates", f.gates(), []queue.Gate(nil))
}

func (f *fixture) needsWork(when string, want bool) {
	f.Helper()
	f.equal("work on gates "+when, f.promote().Gates, want)
}

// unparked checks whether a row is not parked.
func (f *fixture) unparked(id uuid.UUID, want bool) {
	f.Helper()
	f.equal("not parked", !f.get(id).Parked(), want)
}

// refusedPaused checks that a row is not claimed because its queue is paused.
func (f *fixture) refusedPaused(id uuid.UUID) *queue.Row {
	f.Helper()
	refused := f.refused(id, queue.ErrPaused)
	return refused.Row
}

// operatorStats are the store's statistics, if it has any.
func (f *fixture) operatorStats() (stats queue.Stats) {
	f.Helper()
	if f.operator == nil {
		return stats
	}
	stats, err := f.operator.Stats(f.ctx, queue.Filter{})
	f.must(err)
	return stats
}

// gateViewTests are about paused queues in statistics and lists.
var gateViewTests = map[string]func(*fixture){
	"parked rows count as pending and delayed, and not as stranded": func(f *fixture) {
		for range 3 {
			f.insert(onQueue("emails"))
		}
		f.insert(onQueue("emails"), delay(time.Hour))
		f.insert(onQueue("other"))
		before := f.operatorStats()
		f.equal("stranded before", before.Stranded, 5)
		f.pause("emails")
		paused := before
		paused.Stranded = 1
		for _, when := range []string{"paused", "parked"} {
			stats := f.operatorStats()
			paused.OldestStrandedSince = stats.OldestStrandedSince
			f.equal(when, stats, paused)
			queues, err := f.operator.Queues(f.ctx)
			f.must(err)
			f.equal(when+" queues", []int{len(queues), queues[0].Pending, queues[0].Delayed, queues[0].Stranded, queues[1].Stranded}, []int{2, 3, 1, 0, 1})
			f.equal(when+" since", queues[0].OldestSince, before.OldestPendingSince)
			f.park("emails", 100)
		}
		f.resume("emails")
		f.unpark("emails", 100)
		after := f.operatorStats()
		f.equal("resumed", []int{after.Pending, after.Delayed}, []int{before.Pending, before.Delayed})
	},
	"parked rows are listed, and can be cancelled": func(f *fixture) {
		waiting, delayed := f.insert(onQueue("emails")), f.insert(onQueue("emails"), delay(time.Hour))
		other := f.insert()
		f.pause("emails")
		f.park("emails", 100)
		parked := queue.Selection{Parked: true}
		f.equal("parked", f.listed(queue.ListRequest{Selection: parked, Limit: 1}), []uuid.UUID{delayed.ID, waiting.ID})
		f.equal("pending", f.listed(queue.ListRequest{Selection: queue.Selection{View: queue.ViewPending}, Limit: 10}), []uuid.UUID{other.ID})
		except := queue.Selection{ExceptQueues: []string{"emails", "x"}}
		f.equal("except the queue", f.listed(queue.ListRequest{Selection: except, Limit: 10}), []uuid.UUID{other.ID})
		f.equal("stranded", f.listed(queue.ListRequest{Selection: queue.Selection{Stranded: true}, Limit: 10}), []uuid.UUID{other.ID})
		n, err := f.operator.CountMatching(f.ctx, queue.ActionRun, except, time.Time{}, 10)
		f.must(err)
		f.equal("to be run", n, 1)
		rows, err := f.operator.Act(f.ctx, queue.ActionCancel, parked, f.now(), 10)
		f.must(err)
		f.equal("cancelled", sorted(ids(rows)), sorted([]uuid.UUID{waiting.ID, delayed.ID}))
	},
}
