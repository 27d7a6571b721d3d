package storetest

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// limitUseTests are about what is seen of limits, and about actions on rows that wait for
// one.
var limitUseTests = map[string]func(*fixture){
	"how much of each limit is used": func(f *fixture) {
		each := f.limit(queue.Limit{Kind: queue.LimitEach, Name: taskName, Running: 2})
		key := f.limit(queue.Limit{Kind: queue.LimitName, Name: "a", Running: 5})
		emails := f.limit(queue.Limit{Kind: queue.LimitQueue, Name: "emails", Running: 3, Starts: 4, Per: time.Hour})
		for _, key := range []string{"a", "a", "b"} {
			f.claimed(lease, onQueue("emails"), limitKey(key))
		}
		f.claimed(lease)
		f.equal("of all", f.limitUse(nil), []queue.LimitUse{{Limit: each, Active: 3}, {Limit: key, Active: 2}, {Limit: emails, Active: 3, Started: 3}})
		row := f.insert(onQueue("emails"), limitKey("a"))
		use := f.limitUse(row)
		f.equal("of a row", use, []queue.LimitUse{{Limit: each, Key: "a", Active: 2}, {Limit: key, Active: 2}, {Limit: emails, Active: 3, Started: 3}})
		f.equal("reached", []bool{use[0].Reached(), use[1].Reached(), use[2].Reached()}, []bool{true, false, true})
		f.equal("of a row without a key", f.limitUse(f.insert(withTask("other"))), []queue.LimitUse(nil))
	},
	"a refusal names the limits that are reached": func(f *fixture) {
		f.limit(queue.Limit{Kind: queue.LimitEach, Name: taskName, Running: 1})
		f.limit(queue.Limit{Kind: queue.LimitName, Name: taskName, Running: 5})
		f.limit(queue.Limit{Kind: queue.LimitQueue, Name: "emails", Starts: 1, Per: time.Hour})
		f.claimed(lease, onQueue("emails"), limitKey("a"))
		text := func(row *queue.Row) string {
			refused := f.refused(row.ID, queue.ErrLimited)
			return refused.Error()
		}
		f.equal("of a key", text(f.insert(limitKey("a"))), "the limit of key a of task "+taskName+" is reached: the task waits")
		f.equal("of a queue", text(f.insert(onQueue("emails"), limitKey("b"))), "the limit of queue emails is reached: the task waits")
		f.equal("of both", text(f.insert(onQueue("emails"), limitKey("a"))), "the limits of queue emails, key a of task "+taskName+" are reached: the task waits")
	},
	"the next start of a rate": func(f *fixture) {
		f.limit(queue.Limit{Kind: queue.LimitName, Name: taskName, Starts: 1, Per: time.Hour})
		f.finish(f.claimed(lease).Claim())
		use := f.limitUse(f.insert())
		f.equal("started", []any{len(use), use[0].Active, use[0].Started, use[0].Reached()}, []any{1, 0, 1, true})
		f.between("next", use[0].Next, 59*time.Minute, time.Hour)
	},
	"a row with a ticket on its way counts, except for itself": func(f *fixture) {
		f.limit(queue.Limit{Kind: queue.LimitQueue, Name: "emails", Running: 1})
		running, waiting := f.claimed(lease, onQueue("emails")), f.insert(onQueue("emails"))
		f.refusedLimited(waiting.ID, false)
		f.finish(running.Claim())
		f.admit(running, 1)
		other := f.limitUse(f.insert(onQueue("emails")))
		f.equal("for another row", []any{other[0].Active, other[0].Chosen, other[0].Reached()}, []any{0, 1, true})
		f.equal("for itself", f.limitUse(waiting)[0].Chosen, 0)
	},
	"rows that wait for a limit are listed, not run, and can be cancelled": func(f *fixture) {
		f.limit(queue.Limit{Kind: queue.LimitQueue, Name: "emails", Running: 1})
		running, waiting, other := f.claimed(lease, onQueue("emails")), f.insert(onQueue("emails")), f.insert()
		f.refusedLimited(waiting.ID, false)
		f.equal("waits", []bool{f.get(waiting.ID).WaitsForLimit(), f.get(other.ID).WaitsForLimit(), f.get(running.ID).WaitsForLimit()}, []bool{true, false, false})
		limited, except := queue.Selection{Limited: true}, queue.Selection{ExceptLimited: true}
		f.equal("limited", f.listed(queue.ListRequest{Selection: limited, Limit: 10}), []uuid.UUID{waiting.ID})
		f.equal("others", sorted(f.listed(queue.ListRequest{Selection: except, Limit: 10})), sorted([]uuid.UUID{running.ID, other.ID}))
		for want, selection := range map[int]queue.Selection{1: limited, 2: {}} {
			n, err := f.operator.CountMatching(f.ctx, queue.ActionRun, selection, time.Time{}, 10)
			f.must(err)
			f.equal("matching", n, want)
		}
		except.IDs = []uuid.UUID{waiting.ID, other.ID}
		rows, err := f.operator.Act(f.ctx, queue.ActionRun, except, f.now(), 10)
		f.must(err)
		f.equal("run", ids(rows), []uuid.UUID{other.ID})
		f.equal("it still waits", f.get(waiting.ID).WaitsForLimit(), true)
		rows, err = f.operator.Act(f.ctx, queue.ActionCancel, limited, f.now(), 10)
		f.must(err)
		f.equal("cancelled", ids(rows), []uuid.UUID{waiting.ID})
	},
}

func (f *fixture) limitUse(row *queue.Row) []queue.LimitUse {
	f.Helper()
	use, err := f.limiter().LimitUse(f.ctx, row)
	f.must(err)
	for i := range use {
		if row == nil || !use[i].Reached() || use[i].Starts == 0 {
			use[i].Next = 0
		}
	}
	return use
}

// limitChangeTests are about changes of parts of limits.
var limitChangeTests = map[string]func(*fixture){
	"changes of different parts at the same time are both kept": func(f *fixture) {
		for i := range 20 {
			name := fmt.Sprint("emails-", i/2) // which does not exist yet, and then does
			n, rate := 5+i, queue.Rate{Starts: 7 + i, Per: time.Minute}
			var group sync.WaitGroup
			for _, change := range []queue.LimitChange{{Running: &n}, {Rate: &rate}} {
				change.Kind, change.Name = queue.LimitQueue, name
				group.Go(func() {
					if _, err := f.limiter().SetLimit(f.ctx, change); err != nil {
						f.Errorf("SetLimit: %v", err)
					}
				})
			}
			group.Wait()
			limits := slices.DeleteFunc(f.limits(), func(l queue.Limit) bool { return l.Name != name })
			f.equal("limits", limits, []queue.Limit{{Kind: queue.LimitQueue, Name: name, Running: n, Starts: rate.Starts, Per: time.Minute}})
		}
	},
	"a part is taken away, and the last one ends the limit": func(f *fixture) {
		none := 0
		f.limit(queue.Limit{Kind: queue.LimitName, Name: taskName, Running: 3, Starts: 5, Per: time.Minute, Code: true})
		change := func(r queue.LimitChange) queue.Limit {
			r.Kind, r.Name = queue.LimitName, taskName
			now, err := f.limiter().SetLimit(f.ctx, r)
			f.must(err)
			return now
		}
		f.equal("the rest", change(queue.LimitChange{Rate: &queue.Rate{}}), queue.Limit{Kind: queue.LimitName, Name: taskName, Running: 3})
		f.equal("of the code", change(queue.LimitChange{Running: &none, Code: true}), queue.Limit{Kind: queue.LimitName, Name: taskName, Running: 3})
		f.equal("nothing", change(queue.LimitChange{Running: &none}), queue.Limit{Kind: queue.LimitName, Name: taskName})
		f.equal("limits", f.limits(), []queue.Limit(nil))
		back := queue.Limit{Kind: queue.LimitName, Name: taskName, Running: 4, Code: true}
		f.equal("of the code again", f.limit(back), queue.Limit{Kind: queue.LimitName, Name: taskName})
		reset := back.Change()
		reset.Reset = true
		f.equal("given back", change(reset), back)
		back.Running = 6
		f.equal("changed by the code", f.limit(back), back)
	},
	"a queue that was paused gets a limit from the code": func(f *fixture) {
		f.pause("emails")
		f.resume("emails")
		code := queue.Limit{Kind: queue.LimitQueue, Name: "emails", Running: 3, Code: true}
		f.equal("of the code", f.limit(code), code)
	},
}
