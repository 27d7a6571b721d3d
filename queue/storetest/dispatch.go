package storetest

import (
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

// retried claims a row and finishes it as r says. The times by which r delays it
// show when that was, by the clock of the database.
func (f *fixture) retried(row *queue.Row, r queue.Retry) *queue.Row {
	f.Helper()
	f.must(f.store.Retry(f.ctx, f.claim(row.ID, lease, early(365*24*time.Hour)).Claim(), r))
	return f.get(row.ID)
}

const month = 30 * 24 * time.Hour

// dispatchTests are about DispatchDueAt, the time by which a READY row should
// have been claimed.
var dispatchTests = map[string]func(*fixture){
	"a new row, armed": func(f *fixture) {
		row := f.insert(armed)
		f.equal("due", row.DispatchDueAt, row.EnqueuedAt.Add(queue.DispatchGrace))
		f.unchanged(row)
	},
	"a new row, armed for later": func(f *fixture) {
		row := f.insert(armed, delay(time.Hour))
		f.equal("due", row.DispatchDueAt, row.EnqueuedAt.Add(time.Hour+queue.DispatchGrace))
		f.equal("run after", row.RunAfter, row.EnqueuedAt.Add(time.Hour))
		f.unchanged(row)
	},
	"a new row, armed for the past": func(f *fixture) {
		row := f.insert(armed, runAfter(f.now().Add(-time.Hour)))
		f.equal("due", row.DispatchDueAt, row.EnqueuedAt.Add(queue.DispatchGrace))
	},
	"a new row that is not armed": func(f *fixture) {
		row := f.insert()
		f.equal("due", row.DispatchDueAt, row.EnqueuedAt)
		row = f.insert(delay(queue.ArmWithin))
		f.equal("due soon", row.DispatchDueAt, row.EnqueuedAt)
	},
	"a new row that is parked": func(f *fixture) {
		row := f.insert(delay(month))
		f.equal("due", row.DispatchDueAt, row.RunAfter.Add(-queue.ArmWithin))
		row = f.insert(runAfter(f.now().Add(month)))
		f.equal("due", row.DispatchDueAt, row.RunAfter.Add(-queue.ArmWithin))
	},
	"a plain retry allows for the queue's backoff": func(f *fixture) {
		row := f.retried(f.insert(), queue.Retry{In: time.Hour, WillDispatch: true})
		f.equal("due", row.DispatchDueAt, row.RetryAt.Add(-time.Hour+queue.LongestBackoff+queue.DispatchGrace))
	},
	"a retry at a time, armed": func(f *fixture) {
		row := f.retried(f.insert(), queue.Retry{RunIn: time.Hour, WillDispatch: true})
		f.equal("due", row.DispatchDueAt, row.RunAfter.Add(queue.DispatchGrace))
		row = f.retried(f.insert(), queue.Retry{RunIn: time.Second, WillDispatch: true})
		f.equal("due soon", row.DispatchDueAt, row.RunAfter.Add(-time.Second+queue.LongestBackoff+queue.DispatchGrace))
	},
	"a retry that is not armed": func(f *fixture) {
		row := f.retried(f.insert(), queue.Retry{In: time.Hour})
		f.equal("due", row.DispatchDueAt, row.RetryAt.Add(-time.Hour))
		row = f.retried(f.insert(), queue.Retry{RunIn: month})
		f.equal("parked", row.DispatchDueAt, row.RunAfter.Add(-queue.ArmWithin))
		row = f.retried(f.insert(delay(month)), queue.Retry{In: time.Hour})
		f.equal("still parked", row.DispatchDueAt, row.RunAfter.Add(-queue.ArmWithin))
	},
	"a release gives the usual grace": func(f *fixture) {
		row := f.claimed(lease)
		before := f.now()
		f.must(f.store.Release(f.ctx, row.Claim()))
		f.between("due", f.get(row.ID).DispatchDueAt.Sub(before), queue.DispatchGrace, queue.DispatchGrace+time.Minute)
	},
	"a failed dispatch is noted, and due now": func(f *fixture) {
		one, two, running := f.insert(armed), f.insert(armed, delay(time.Hour)), f.claimed(lease)
		before := f.now()
		f.must(f.store.DispatchFailed(f.ctx, "queue \"emails\" is missing", false, one.ID, running.ID, two.ID))
		for _, row := range []*queue.Row{one, two} {
			got := f.get(row.ID)
			f.between("due", got.DispatchDueAt.Sub(before), 0, time.Minute)
			want := *row
			want.DispatchError, want.DispatchDueAt = `queue "emails" is missing`, got.DispatchDueAt
			f.equal("row", *got, want)
		}
		f.unchanged(running)
		f.must(f.store.DispatchFailed(f.ctx, "nothing", false))
	},
}
