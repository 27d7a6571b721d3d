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
	"a pause returns a paused queue, whatever happens at the same time": func(f *fixture) {
		const times = 100
		var group sync.WaitGroup
		begin := make(chan struct{})
		for range 3 {
			group.Go(func() {
				<-begin
				for range times {
					gate, _, err := f.gatekeeper().PauseQueue(f.ctx, "emails", "ops", "")
					if err != nil || !gate.Paused() || gate.Queue != "emails" || gate.PausedBy != "ops" {
						f.Errorf("PauseQueue: %+v, %v", gate, err)
						return
					}
				}
			})
		}
		group.Go(func() {
			<-begin
			for range times {
				if _, _, err := f.gatekeeper().ResumeQueue(f.ctx, "emails"); err != nil {
					f.Errorf("ResumeQueue: %v", err)
					return
				}
			}
		})
		close(begin)
		group.Wait()
		_, _, err := f.gatekeeper().PauseQueue(f.ctx, "emails", "ops", "")
		f.must(err)
		f.refusedPaused(f.insert(onQueue("emails")).ID)
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
		f.must(f.store.DispatchFailed(f.ctx, "quota", false, parked.ID, waiting.ID))
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
