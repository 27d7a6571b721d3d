package storetest

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

func errorIs(err, target error) bool { return errors.Is(err, target) }

func isConflict(err error) bool { return errors.Is(err, queue.ErrIDConflict) }

// groupEndTests are about what groups enqueue.
var groupEndTests = map[string]func(*fixture){
	"a group succeeds when it is closed and all have succeeded": func(f *fixture) {
		g := f.createGroup()
		one, two := f.insert(inGroup(g.ID)), f.insert(inGroup(g.ID))
		f.finish(f.claim(one.ID, lease).Claim())
		f.completes("running", g.ID)
		f.finish(f.claim(two.ID, lease).Claim())
		f.completes("open", g.ID)
		f.equal("state", f.group(g.ID).State(), queue.GroupOpen)
		f.closeGroup(g.ID)
		f.completes("closed", g.ID, successTask)
		f.completes("again", g.ID)
		end := f.get(queue.CompletionID(g.ID, true))
		f.equal("the row", []any{string(end.Args), end.Queue, end.Priority, end.MaxAttempts, end.Status}, []any{`{"n":1}`, "ends", 3, 4, queue.StatusReady})
		stored := f.group(g.ID)
		f.equal("state", stored.State(), queue.GroupSucceeded)
		f.between("succeeded", f.now().Sub(stored.SucceededAt), 0, time.Minute)
		f.equal("failed", stored.FailedAt, time.Time{})
	},
	"a group that is closed before its tasks end": func(f *fixture) {
		g := f.createGroup()
		row := f.claimed(lease, inGroup(g.ID))
		f.closeGroup(g.ID)
		f.equal("state", f.group(g.ID).State(), queue.GroupRunning)
		f.completes("closed", g.ID)
		f.finish(row.Claim())
		f.completes("ended", g.ID, successTask)
	},
	"an empty group succeeds when it is closed": func(f *fixture) {
		g := f.createGroup()
		f.completes("open", g.ID)
		f.closeGroup(g.ID)
		f.completes("closed", g.ID, successTask)
	},
	"the first failure counts, whether the group is closed or not": func(f *fixture) {
		for name, end := range f.ends() {
			g := f.createGroup()
			f.insert(inGroup(g.ID), delay(time.Hour))
			_, status := end(inGroup(g.ID))
			var want []string
			if status != queue.StatusSuccessful {
				want = []string{failureTask}
			}
			f.completes(name, g.ID, want...)
			f.completes(name+", again", g.ID)
		}
	},
	"a failure is not forgotten when the task is retried": func(f *fixture) {
		g := f.createGroup()
		row := f.claimed(lease, inGroup(g.ID))
		f.fail(row.Claim())
		row = f.claim(row.ID, lease, allowRetry) // before any process has looked
		f.completes("retried", g.ID, failureTask)
		f.fail(row.Claim())
		f.completes("failed again", g.ID)
		f.closeGroup(g.ID)
		f.equal("state", f.group(g.ID).State(), queue.GroupFailed)
		f.completes("closed", g.ID)
		f.finish(f.claim(row.ID, lease, allowRetry).Claim())
		f.completes("succeeded after all", g.ID, successTask)
		f.completes("again", g.ID)
	},
	"a retry that succeeds before any process has looked enqueues both": func(f *fixture) {
		g := f.createGroup()
		row := f.claimed(lease, inGroup(g.ID))
		f.fail(row.Claim())
		f.finish(f.claim(row.ID, lease, allowRetry).Claim())
		f.closeGroup(g.ID)
		f.completes("both", g.ID, failureTask, successTask)
	},
	"a cancelled member keeps the group from succeeding": func(f *fixture) {
		g := f.createGroup()
		row, other := f.insert(inGroup(g.ID)), f.insert(inGroup(g.ID))
		f.closeGroup(g.ID)
		f.cancel(row.ID)
		f.completes("cancelled", g.ID, failureTask)
		f.finish(f.claim(other.ID, lease).Claim())
		f.completes("the rest", g.ID)
		f.equal("state", f.group(g.ID).State(), queue.GroupFailed)
	},
	"a group without tasks ends, too": func(f *fixture) {
		g := &queue.Group{ID: uuid.New()}
		f.must(f.grouper().CreateGroup(f.ctx, nil, g))
		f.cancel(f.insert(inGroup(g.ID)).ID)
		f.completes("failed", g.ID)
		f.equal("failed at", f.group(g.ID).FailedAt.IsZero(), false)
	},
	"a promotion reports groups that have not succeeded": func(f *fixture) {
		f.equal("none", f.promote().Groups, false)
		g := f.createGroup()
		f.equal("open", f.promote().Groups, true)
		f.closeGroup(g.ID)
		f.completes("closed", g.ID, successTask)
		f.equal("succeeded", f.promote().Groups, false)
	},
	"groups that are due are listed in pages": func(f *fixture) {
		var want, got []uuid.UUID
		for range 5 {
			g := f.createGroup()
			f.closeGroup(g.ID)
			want = append(want, g.ID) // their order is that of the IDs
		}
		f.createGroup()
		for after := uuid.Nil; ; after = got[len(got)-1] {
			ids, err := f.grouper().DueGroups(f.ctx, after, 2)
			f.must(err)
			if got = append(got, ids...); len(ids) < 2 {
				break
			}
		}
		f.equal("due", got, want)
	},
	"counts are the same before and after the upkeep, and those of FAILED tasks change with their retries": func(f *fixture) {
		upkeep, ok := f.store.(queue.GroupMaintainer)
		if !ok {
			return
		}
		maintain := func() {
			f.Helper()
			for after := uuid.Nil; ; {
				last, err := upkeep.MaintainGroups(f.ctx, after, 2)
				f.must(err)
				if after = last; last == uuid.Nil {
					return
				}
			}
		}
		want := make(map[uuid.UUID]queue.GroupCounts)
		check := func(what string) {
			f.Helper()
			for id, counts := range want {
				f.counted(what, id, counts)
			}
		}
		open, running, failed, cancelled := f.createGroup(), f.createGroup(), f.createGroup(), f.createGroup()
		var retried *queue.Row
		for _, g := range []*queue.Group{open, running, failed, cancelled} {
			f.finish(f.claimed(lease, inGroup(g.ID)).Claim())
			f.cancel(f.insert(inGroup(g.ID)).ID)
			want[g.ID] = queue.GroupCounts{Successful: 1, Cancelled: 1}
			if g == failed {
				retried = f.claimed(lease, inGroup(g.ID))
				f.fail(retried.Claim())
				want[g.ID] = queue.GroupCounts{Successful: 1, Cancelled: 1, Failed: 1}
			}
		}
		f.insert(inGroup(running.ID))
		f.claimed(lease, inGroup(running.ID))
		want[running.ID] = queue.GroupCounts{Successful: 1, Cancelled: 1, Ready: 1, Running: 1}
		for _, g := range []*queue.Group{running, failed, cancelled} {
			f.closeGroup(g.ID)
		}
		check("before")
		maintain()
		check("after")
		f.insert(inGroup(open.ID))
		want[open.ID] = queue.GroupCounts{Successful: 1, Cancelled: 1, Ready: 1}
		again := f.claim(retried.ID, lease, allowRetry)
		want[failed.ID] = queue.GroupCounts{Successful: 1, Cancelled: 1, Running: 1}
		check("a retry")
		maintain()
		f.cancel(again.ID)
		want[failed.ID] = queue.GroupCounts{Successful: 1, Cancelled: 2}
		check("cancelled")
		maintain()
		maintain()
		check("at the end")
	},
	"no such group": func(f *fixture) {
		rows, err := f.grouper().CompleteGroup(f.ctx, uuid.New(), func(*queue.NewRow) {})
		f.equal("completed", []any{len(rows), err}, []any{0, nil})
	},
	"of ends at once one completes the group": func(f *fixture) {
		for range 5 {
			g := f.createGroup()
			var claims []queue.Claim
			for range 40 {
				claims = append(claims, f.claimed(lease, inGroup(g.ID)).Claim())
			}
			f.closeGroup(g.ID)
			var enqueued atomic.Int64
			var workers sync.WaitGroup
			for _, claim := range claims {
				workers.Go(func() {
					f.finish(claim)
					rows, err := f.grouper().CompleteGroup(f.ctx, g.ID, func(*queue.NewRow) {})
					if err != nil && !errors.Is(err, queue.ErrLocked) {
						f.Errorf("CompleteGroup: %v", err)
					}
					enqueued.Add(int64(len(rows)))
				})
			}
			workers.Wait()
			f.equal("enqueued", enqueued.Load(), int64(1))
			f.counted("all", g.ID, queue.GroupCounts{Successful: 40})
		}
	},
	"what is left of an ended group is deleted": func(f *fixture) {
		if f.operator == nil {
			return
		}
		deleted := func(age time.Duration) int {
			n, err := f.grouper().DeleteGroups(f.ctx, age, 10)
			f.must(err)
			return n
		}
		open, running, done, failed := f.createGroup(), f.createGroup(), f.createGroup(), f.createGroup()
		f.finish(f.claimed(lease, inGroup(open.ID)).Claim())
		f.insert(inGroup(running.ID), delay(time.Hour))
		f.finish(f.claimed(lease, inGroup(done.ID)).Claim())
		f.fail(f.claimed(lease, inGroup(failed.ID)).Claim())
		for _, g := range []*queue.Group{running, done, failed} {
			f.closeGroup(g.ID)
		}
		f.completes("done", done.ID, successTask)
		f.completes("failed", failed.ID, failureTask)
		f.equal("its tasks are there", deleted(0), 0)
		f.purge(purgeRequest(finalStatuses...))
		f.equal("not old enough", deleted(time.Hour), 0)
		f.equal("what they have enqueued is there", deleted(0), 0)
		f.cancel(queue.CompletionID(failed.ID, false))
		f.equal("purged", f.purge(purgeRequest(finalStatuses...)), 1)
		n, err := f.grouper().DeleteGroups(f.ctx, 0, 1) // and the group before it is kept
		f.must(err)
		f.equal("one", n, 1)
		f.cancel(queue.CompletionID(done.ID, true))
		f.purge(purgeRequest(finalStatuses...))
		f.equal("the other", deleted(0), 1)
		page, err := f.grouper().Groups(f.ctx, queue.GroupsRequest{Limit: 10})
		f.must(err)
		f.equal("left", len(page.Groups), 2)
		f.counted("open", open.ID, queue.GroupCounts{Successful: 1})
		f.counted("running", running.ID, queue.GroupCounts{Ready: 1})
		members, err := f.grouper().GroupMembers(f.ctx, queue.MembersRequest{Group: done.ID, Limit: 10})
		f.must(err)
		f.equal("members", len(members), 0)
	},
}
