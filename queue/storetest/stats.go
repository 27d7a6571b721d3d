package storetest

import (
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

// stats returns the Stats without stranded rows, which outboxTests are about.
func (f *fixture) stats(filter queue.Filter) queue.Stats {
	f.Helper()
	stats, err := f.operator.Stats(f.ctx, filter)
	f.must(err)
	stats.Stranded, stats.OldestStrandedSince = 0, time.Time{}
	return stats
}

// counts are stats without the times.
func counts(stats queue.Stats) queue.Stats {
	stats.OldestPendingSince, stats.NewestPendingSince = time.Time{}, time.Time{}
	return stats
}

// oneOfEach puts a row of each state where changes say: two that are pending
// and two that are delayed, one of each because of its retry.
func (f *fixture) oneOfEach(changes ...func(*queue.NewRow)) {
	f.Helper()
	f.insert(changes...)
	f.must(f.store.Retry(f.ctx, f.claimed(lease, changes...).Claim(), queue.Retry{}))
	f.must(f.store.Retry(f.ctx, f.claimed(lease, changes...).Claim(), queue.Retry{In: time.Hour}))
	f.insert(append(changes, delay(time.Hour))...)
	f.claimed(lease, changes...)
	f.claimed(expired, changes...)
	f.finish(f.claimed(lease, changes...).Claim())
	f.fail(f.claimed(lease, changes...).Claim())
	f.cancel(f.insert(changes...).ID)
}

var each = queue.Stats{Pending: 2, Delayed: 2, Running: 2, Successful: 1, Failed: 1, Cancelled: 1}

// times are the stats of n times as many rows.
func times(n int, f queue.Stats) queue.Stats {
	return queue.Stats{Pending: n * f.Pending, Delayed: n * f.Delayed, Running: n * f.Running,
		Successful: n * f.Successful, Failed: n * f.Failed, Cancelled: n * f.Cancelled}
}

var statsTests = map[string]func(*fixture){
	"with nothing there, all is zero": func(f *fixture) {
		f.equal("stats", f.stats(queue.Filter{}), queue.Stats{})
	},
	"each state is counted": func(f *fixture) {
		f.oneOfEach()
		f.equal("stats", counts(f.stats(queue.Filter{})), each)
	},
	"only what the filter chooses is counted": func(f *fixture) {
		f.oneOfEach(onQueue("a"), onBackend("one"))
		f.oneOfEach(onQueue("a"), onBackend("two"))
		f.oneOfEach(onQueue("b"), onBackend("two"))
		for filter, want := range map[queue.Filter]queue.Stats{
			{}:                           times(3, each),
			{Queue: "a"}:                 times(2, each),
			{Backend: "one"}:             each,
			{Queue: "b", Backend: "two"}: each,
			{Queue: "b", Backend: "one"}: {},
			{Queue: "'"}:                 {},
		} {
			f.equal("stats", counts(f.stats(filter)), want)
		}
	},
	"a delayed row is pending when its time has come, promoted or not": func(f *fixture) {
		row := f.insert(delay(20 * time.Millisecond))
		for f.stats(queue.Filter{}).Pending == 0 {
			f.must(f.ctx.Err())
		}
		want := queue.Stats{Pending: 1, OldestPendingSince: row.RunAfter, NewestPendingSince: row.RunAfter}
		f.equal("due", f.stats(queue.Filter{}), want)
		f.equal("elsewhere", f.stats(queue.Filter{Queue: "other"}), queue.Stats{})
		f.equal("promotion", f.promote(), queue.PromoteResult{Released: 1, Claimable: true})
		f.equal("promoted", f.stats(queue.Filter{}), want)
	},
	"a retried row is pending when its retry is due": func(f *fixture) {
		row := f.claimed(lease)
		f.must(f.store.Retry(f.ctx, row.Claim(), queue.Retry{In: 20 * time.Millisecond}))
		due := f.get(row.ID).RetryAt
		for f.stats(queue.Filter{}).Pending == 0 {
			f.must(f.ctx.Err())
		}
		f.equal("due", f.stats(queue.Filter{}), queue.Stats{Pending: 1, OldestPendingSince: due, NewestPendingSince: due})
	},
	"a row waits since it was enqueued, or was due later": func(f *fixture) {
		first := f.insert(runAfter(time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC))) // due long before it came
		one := f.stats(queue.Filter{})
		f.equal("oldest of one", one.OldestPendingSince, first.EnqueuedAt)
		f.equal("newest of one", one.NewestPendingSince, first.EnqueuedAt)
		f.insert()
		last := f.insert(onQueue("other"))
		f.insert(delay(time.Hour))
		f.claimed(lease)
		stats := f.stats(queue.Filter{})
		f.equal("oldest", stats.OldestPendingSince, first.EnqueuedAt)
		f.equal("newest", stats.NewestPendingSince, last.EnqueuedAt)
		f.equal("oldest there", f.stats(queue.Filter{Queue: "other"}).OldestPendingSince, last.EnqueuedAt)
	},
	"nothing pending waits since no time": func(f *fixture) {
		f.insert(delay(time.Hour))
		f.claimed(lease)
		f.equal("stats", f.stats(queue.Filter{}), queue.Stats{Delayed: 1, Running: 1})
	},
	"stranded rows are counted": func(f *fixture) {
		f.insert(armed)
		first := f.insert()
		f.insert(onQueue("other"))
		stats, err := f.operator.Stats(f.ctx, queue.Filter{})
		f.must(err)
		f.equal("stranded", stats.Stranded, 2)
		f.equal("since", stats.OldestStrandedSince, first.EnqueuedAt)
		stats, err = f.operator.Stats(f.ctx, queue.Filter{Queue: "other"})
		f.must(err)
		f.equal("stranded of a queue", stats.Stranded, 1)
	},
}
