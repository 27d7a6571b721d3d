package storetest

import (
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

// overview reads one with its failures divided at a time.
func (f *fixture) overview(since time.Time, groups int) queue.Overview {
	f.Helper()
	o, err := f.store.(queue.Overviewer).Overview(f.ctx, queue.OverviewRequest{Since: since, Groups: groups})
	f.must(err)
	return o
}

// overviewTests are about a queue.Overviewer.
var overviewTests = map[string]func(*fixture){
	"no rows": func(f *fixture) {
		f.equal("overview", f.overview(time.Now(), 10), queue.Overview{})
	},
	"queues and failures are those of Queues and Failures": func(f *fixture) {
		f.insert(onQueue("a"))
		f.insert(onQueue("a"), delay(time.Hour), armed)
		f.claimed(lease, onQueue("b"))
		f.claimed(time.Microsecond, onQueue("b"))
		f.finish(f.claimed(lease, onQueue("b")).Claim())
		f.failed("*x.E", "order 1 is gone", onQueue("c"), onBackend("z"))
		f.failed("*x.E", "order 2 is gone", onQueue("a"))
		f.failed("*x.E", "else", withTask("other"))
		o := f.overview(time.Unix(0, 0), 10)
		queues, err := f.operator.Queues(f.ctx)
		f.must(err)
		f.equal("queues", o.Queues, queues)
		failures, err := f.operator.Failures(f.ctx, time.Unix(0, 0), 10)
		f.must(err)
		f.equal("failures", o.Failures, failures)
		f.equal("b", [2]int{o.Queues[1].Running, o.Queues[1].Expired}, [2]int{2, 1})
		failed, lastHour := 0, 0
		for _, q := range o.Queues {
			failed += q.Failed
		}
		for _, g := range o.Failures {
			lastHour += g.LastHour
		}
		f.equal("failed in the last hour by queue and by group", [2]int{failed, lastHour}, [2]int{3, 3})
		f.equal("one group", len(f.overview(time.Unix(0, 0), 1).Failures), 1)
	},
	"older failures are counted apart": func(f *fixture) {
		f.failed("*x.E", "no")
		f.failed("*x.E", "no", maxAttempts(1))
		last := f.failed("*x.E", "no")
		o := f.overview(last.FinishedAt, 10)
		f.equal("failures", o.Failures, []queue.FailureGroup{
			{Task: taskName, Group: "*x.E: no", Count: 3, Recent: 1, LastHour: 3, Permanent: 2, Last: last.FinishedAt, Error: "*x.E: no"},
		})
		f.equal("later", f.overview(last.FinishedAt.Add(time.Microsecond), 10).Failures[0].Recent, 0)
	},
}
