package storetest

import (
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// groupTests are about the members of groups and how they are counted.
var groupTests = map[string]func(*fixture){
	"a group is stored": func(f *fixture) {
		g := f.createGroup()
		stored := f.group(g.ID)
		f.equal("stored", []any{stored.ID, stored.Name, stored.CreatedAt, stored.OnSuccess, stored.OnFailure}, []any{g.ID, g.Name, g.CreatedAt, g.OnSuccess, g.OnFailure})
		f.between("created", f.now().Sub(g.CreatedAt), 0, time.Minute)
		f.equal("state", stored.State(), queue.GroupOpen)
		again := &queue.Group{ID: g.ID, Name: "another"}
		f.must(f.grouper().CreateGroup(f.ctx, nil, again))
		f.equal("again", []any{again.Existed, again.Name, g.Existed}, []any{true, g.Name, false})
		plain := &queue.Group{ID: uuid.New()}
		f.must(f.grouper().CreateGroup(f.ctx, nil, plain))
		f.equal("without tasks", []any{plain.OnSuccess, plain.OnFailure}, []any{(*queue.Completion)(nil), (*queue.Completion)(nil)})
	},
	"rows know their groups": func(f *fixture) {
		g := f.createGroup()
		row := f.insert(inGroup(g.ID))
		f.equal("inserted", row.Group, g.ID)
		f.unchanged(row)
		f.equal("claimed", f.claim(row.ID, lease).Group, g.ID)
		f.equal("pulled", f.insert(inGroup(g.ID)).ID, f.claimNext(1)[0].ID)
	},
	"members are counted by state": func(f *fixture) {
		g, other := f.createGroup(), f.createGroup()
		f.counted("empty", g.ID, queue.GroupCounts{})
		f.insert(inGroup(other.ID))
		f.insert()
		rows := []*queue.Row{f.insert(inGroup(g.ID)), f.insert(inGroup(g.ID)), f.insert(inGroup(g.ID), delay(time.Hour)), f.insert(inGroup(g.ID))}
		f.counted("inserted", g.ID, queue.GroupCounts{Ready: 4})
		for i, row := range rows[:2] {
			rows[i] = f.claim(row.ID, lease)
		}
		f.counted("claimed", g.ID, queue.GroupCounts{Ready: 2, Running: 2})
		f.finish(rows[0].Claim())
		f.fail(rows[1].Claim())
		f.cancel(rows[2].ID)
		f.counted("ended", g.ID, queue.GroupCounts{Ready: 1, Successful: 1, Failed: 1, Cancelled: 1})
		f.counted("the other", other.ID, queue.GroupCounts{Ready: 1})
	},
	"many rows are stored with and without groups": func(f *fixture) {
		g, other := f.createGroup(), f.createGroup()
		var rows []*queue.NewRow
		for i := range 250 {
			rows = append(rows, request(), request(inGroup(g.ID)))
			if i%5 == 0 {
				rows = append(rows, request(inGroup(other.ID), keyed(uuid.NewString())))
			}
		}
		f.must(f.store.Insert(f.ctx, rows...))
		f.counted("one", g.ID, queue.GroupCounts{Ready: 250})
		f.counted("the other", other.ID, queue.GroupCounts{Ready: 50})
	},
	"every end is counted": func(f *fixture) {
		for name, end := range f.ends() {
			for kept, changes := range map[string][]func(*queue.NewRow){"": nil, ", not kept": {keep(0, 0)}, ", with a letter": {withLetter}} {
				g := f.createGroup()
				_, status := end(append(changes, inGroup(g.ID))...)
				var want queue.GroupCounts
				want.Add(queue.MemberStateOf(status), 1)
				f.counted(name+kept, g.ID, want)
			}
		}
		g := f.createGroup()
		f.insert(inGroup(g.ID), past)
		f.equal("expired", f.promote().Expired, 1)
		f.refused(f.insert(inGroup(g.ID), past).ID, queue.ErrExpired)
		f.counted("expired", g.ID, queue.GroupCounts{Cancelled: 2})
	},
	"what does not end a row changes nothing": func(f *fixture) {
		g := f.createGroup()
		row := f.claimed(lease, inGroup(g.ID))
		f.must(f.store.Retry(f.ctx, row.Claim(), queue.Retry{Errors: failures(1)}))
		f.counted("retry", g.ID, queue.GroupCounts{Ready: 1})
		f.must(f.store.Release(f.ctx, f.claim(row.ID, lease).Claim()))
		f.must(f.store.Unclaim(f.ctx, f.claim(row.ID, lease).Claim()))
		f.counted("release", g.ID, queue.GroupCounts{Ready: 1})
		f.claim(row.ID, expired)
		f.equal("reclaimed", f.promote().Reclaimed, 1)
		f.counted("reclaimed", g.ID, queue.GroupCounts{Ready: 1})
	},
	"a finish under a lost claim changes nothing": func(f *fixture) {
		g := f.createGroup()
		lost := f.claimed(expired, inGroup(g.ID))
		f.claim(lost.ID, lease)
		f.refusesAll(lost.Claim())
		f.counted("lost", g.ID, queue.GroupCounts{Running: 1})
	},
	"a retry moves the count back": func(f *fixture) {
		g := f.createGroup()
		row := f.claimed(lease, inGroup(g.ID))
		f.fail(row.Claim())
		row = f.claim(row.ID, lease, allowRetry)
		f.counted("claimed again", g.ID, queue.GroupCounts{Running: 1})
		f.fail(row.Claim())
		f.counted("failed again", g.ID, queue.GroupCounts{Failed: 1})
		if f.operator != nil {
			f.act(queue.ActionRetry, queue.Selection{IDs: []uuid.UUID{row.ID}})
			f.counted("retried", g.ID, queue.GroupCounts{Ready: 1})
		}
		f.finish(f.claim(row.ID, lease, allowRetry).Claim())
		f.counted("successful", g.ID, queue.GroupCounts{Successful: 1})
	},
	"a repeated insert counts once": func(f *fixture) {
		g := f.createGroup()
		row := f.insert(inGroup(g.ID))
		again := request(inGroup(g.ID), withID(row.ID))
		again.FreshID = false
		f.must(f.store.Insert(f.ctx, again, again))
		f.equal("existed", again.Existed, true)
		f.counted("again", g.ID, queue.GroupCounts{Ready: 1})
		key := keyed("k")
		first := f.insert(inGroup(g.ID), key)
		second := request(inGroup(f.createGroup().ID), key)
		f.must(f.store.Insert(f.ctx, second))
		f.equal("the holder of the key", second.Row, first)
		f.counted("the other group", second.Group, queue.GroupCounts{Ready: 2})
	},
	"a task has one group": func(f *fixture) {
		row := f.insert(inGroup(f.createGroup().ID))
		for _, other := range []uuid.UUID{f.createGroup().ID, uuid.Nil} {
			again := request(inGroup(other), withID(row.ID))
			again.FreshID = false
			if err := f.store.Insert(f.ctx, again); !isConflict(err) {
				f.Errorf("group %s: %v", other, err)
			}
		}
	},
	"a closed group refuses members": func(f *fixture) {
		g := f.createGroup()
		row := f.insert(inGroup(g.ID))
		f.closeGroup(g.ID)
		f.refusesMember(request(inGroup(g.ID)), queue.ErrGroupClosed)
		f.refusesMember(request(inGroup(g.ID), keyed("k")), queue.ErrGroupClosed)
		f.refusesMember(request(inGroup(uuid.New())), queue.ErrGroupNotFound)
		again := request(inGroup(g.ID), withID(row.ID))
		again.FreshID = false
		f.must(f.store.Insert(f.ctx, again))
		f.equal("existed", again.Existed, true)
		f.counted("closed", g.ID, queue.GroupCounts{Ready: 1})
		closed := f.group(g.ID).ClosedAt
		f.closeGroup(g.ID)
		f.equal("closed again", f.group(g.ID).ClosedAt, closed)
		f.equal("another group", errorIs(f.grouper().CloseGroup(f.ctx, nil, uuid.New()), queue.ErrGroupNotFound), true)
	},
	"deleting ended members changes no count": func(f *fixture) {
		if f.operator == nil {
			return
		}
		g := f.createGroup()
		rows := f.finalRows(inGroup(g.ID))
		kept := f.claimed(lease, inGroup(g.ID), keep(time.Hour, time.Hour))
		f.finish(kept.Claim())
		f.overdue(kept.ID)
		f.equal("deleted", f.deleteKept(10), 1)
		f.deletes(rows[1].ID)
		f.purge(purgeRequest(finalStatuses...))
		f.equal("gone", []bool{f.gone(kept.ID), f.gone(rows[0].ID), f.gone(rows[1].ID), f.gone(rows[2].ID)}, []bool{true, true, true, true})
		f.counted("gone", g.ID, queue.GroupCounts{Successful: 2, Failed: 1, Cancelled: 1})
	},
	"a member that is deleted before its end counts as cancelled": func(f *fixture) {
		if f.operator == nil {
			return
		}
		g := f.createGroup()
		row := f.insert(inGroup(g.ID))
		f.deletes(row.ID)
		f.counted("deleted", g.ID, queue.GroupCounts{Cancelled: 1})
		again := f.insert(inGroup(g.ID), withID(row.ID))
		f.counted("stored again", g.ID, queue.GroupCounts{Ready: 1})
		f.finish(f.claim(again.ID, lease).Claim())
		f.counted("successful", g.ID, queue.GroupCounts{Successful: 1})
	},
	"a member that must run once is not stored again after its success": func(f *fixture) {
		if f.operator == nil {
			return
		}
		once := func(r *queue.NewRow) { r.FreshID, r.UnlessSucceeded = false, true }
		g := f.createGroup()
		for _, fails := range []bool{false, true} {
			row := f.insert(inGroup(g.ID), once)
			again := f.insertExisting(row.ID, inGroup(g.ID), once)
			f.equal("existed", again.Existed, true)
			if fails {
				f.fail(f.claim(row.ID, lease).Claim())
			}
			f.finish(f.claim(row.ID, lease, allowRetry).Claim())
			f.equal("existed, SUCCESSFUL", f.insertExisting(row.ID, inGroup(g.ID), once).Existed, true)
			f.deletes(row.ID)
			f.refusesMember(request(inGroup(g.ID), withID(row.ID), once), queue.ErrMemberSucceeded)
			f.absent(row.ID)
		}
		f.counted("successful", g.ID, queue.GroupCounts{Successful: 2})
		row := f.insert(inGroup(g.ID), once)
		f.deletes(row.ID)
		f.insert(inGroup(g.ID), once, withID(row.ID))
		f.counted("one that was deleted before its end", g.ID, queue.GroupCounts{Successful: 2, Ready: 1})
	},
	"members and groups are listed in pages": func(f *fixture) {
		var groups []uuid.UUID
		for range 5 {
			groups = append([]uuid.UUID{f.createGroup().ID}, groups...)
		}
		var listed []uuid.UUID
		for r := (queue.GroupsRequest{Limit: 2}); ; {
			page, err := f.grouper().Groups(f.ctx, r)
			f.must(err)
			for _, g := range page.Groups {
				listed = append(listed, g.ID)
			}
			if r.After = page.Next; r.After == "" {
				break
			}
		}
		f.equal("groups", listed, groups)
		var members []uuid.UUID
		for range 5 {
			members = append(members, f.insert(inGroup(groups[0])).ID)
		}
		f.finish(f.claim(members[1], lease).Claim())
		read := func(states ...queue.MemberState) (all []uuid.UUID) {
			for r := (queue.MembersRequest{Group: groups[0], States: states, Limit: 2}); ; {
				ids, err := f.grouper().GroupMembers(f.ctx, r)
				f.must(err)
				if all = append(all, ids...); len(ids) < 2 {
					return all
				}
				r.After = ids[1]
			}
		}
		f.equal("members", read(), members)
		f.equal("unfinished", read(queue.MemberUnfinished, queue.MemberUnfinishedAgain), []uuid.UUID{members[0], members[2], members[3], members[4]})
		f.equal("successful", read(queue.MemberSuccessful), members[1:2])
		some := queue.MembersRequest{Group: groups[0], IDs: []uuid.UUID{members[1], members[3], uuid.New()}, Limit: 3}
		for want, states := range map[int][]queue.MemberState{2: nil, 1: {queue.MemberSuccessful, queue.MemberSuccessfulAgain}} {
			some.States = states
			ids, err := f.grouper().GroupMembers(f.ctx, some)
			f.must(err)
			f.equal("some", ids, []uuid.UUID{members[1], members[3]}[:want])
		}
	},
}
