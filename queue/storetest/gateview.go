package storetest

import (
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

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
		f.equal("except other names", f.listed(queue.ListRequest{Selection: queue.Selection{View: queue.ViewPending, ExceptTasks: []string{"x", other.Task + "2"}}, Limit: 10}), []uuid.UUID{other.ID})
		f.equal("except the name", len(f.listed(queue.ListRequest{Selection: queue.Selection{ExceptTasks: []string{"x", other.Task}}, Limit: 10})), 0)
		n, err := f.operator.CountMatching(f.ctx, queue.ActionRun, except, time.Time{}, 10)
		f.must(err)
		f.equal("to be run", n, 1)
		rows, err := f.operator.Act(f.ctx, queue.ActionCancel, parked, f.now(), 10)
		f.must(err)
		f.equal("cancelled", sorted(ids(rows)), sorted([]uuid.UUID{waiting.ID, delayed.ID}))
	},
}
