package storetest

import (
	"errors"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// groupTxTests are about groups within a caller's transaction.
var groupTxTests = map[string]func(*fixture){
	"a group and its members exist after the commit": func(f *fixture) {
		for _, commit := range []bool{true, false} {
			tx, g := f.begin(f.T, f.store), newGroup()
			f.must(f.grouper().CreateGroup(f.ctx, tx, g))
			row := request(inGroup(g.ID))
			f.must(f.store.InsertTx(f.ctx, tx, row, request(inGroup(g.ID))))
			f.must(f.grouper().CloseGroup(f.ctx, tx, g.ID))
			if err := f.store.InsertTx(f.ctx, tx, request(inGroup(g.ID))); !errors.Is(err, queue.ErrGroupClosed) {
				f.Errorf("closed: %v", err)
			}
			if !commit {
				f.must(tx.Rollback(f.ctx))
				f.absent(row.ID)
				page, err := f.grouper().Groups(f.ctx, queue.GroupsRequest{IDs: []uuid.UUID{g.ID}, Limit: 1})
				f.must(err)
				f.equal("rolled back", len(page.Groups), 0)
				continue
			}
			f.must(tx.Rollback(f.ctx)) // the refused insert has failed: all of it is repeated without
			tx = f.begin(f.T, f.store)
			f.must(f.grouper().CreateGroup(f.ctx, tx, g))
			f.must(f.store.InsertTx(f.ctx, tx, row, request(inGroup(g.ID))))
			f.must(f.grouper().CloseGroup(f.ctx, tx, g.ID))
			f.must(tx.Commit(f.ctx))
			f.counted("committed", g.ID, queue.GroupCounts{Ready: 2})
			f.equal("state", f.group(g.ID).State(), queue.GroupRunning)
		}
	},
	"members that are rolled back do not count": func(f *fixture) {
		g := f.createGroup()
		tx := f.begin(f.T, f.store)
		f.must(f.store.InsertTx(f.ctx, tx, request(inGroup(g.ID))))
		f.must(tx.Rollback(f.ctx))
		f.counted("rolled back", g.ID, queue.GroupCounts{})
	},
	"a finish that is rolled back does not count": func(f *fixture) {
		g := f.createGroup()
		row := f.claimed(lease, inGroup(g.ID))
		f.closeGroup(g.ID)
		tx := f.begin(f.T, f.store)
		_, err := f.store.FinishTx(f.ctx, tx, row.Claim(), queue.Finish{Status: queue.StatusSuccessful})
		f.must(err)
		if !f.oneWriter {
			f.completes("not committed", g.ID)
		}
		f.must(tx.Rollback(f.ctx))
		f.counted("rolled back", g.ID, queue.GroupCounts{Running: 1})
		tx = f.begin(f.T, f.store)
		_, err = f.store.FinishTx(f.ctx, tx, row.Claim(), queue.Finish{Status: queue.StatusSuccessful})
		f.must(err)
		f.must(tx.Commit(f.ctx))
		f.completes("committed", g.ID, successTask)
	},
	"a group is not closed while members are added": func(f *fixture) {
		if f.oneWriter {
			return
		}
		g := f.createGroup()
		tx := f.begin(f.T, f.store)
		f.must(f.store.InsertTx(f.ctx, tx, request(inGroup(g.ID))))
		if err := f.grouper().CloseGroup(f.ctx, nil, g.ID); !errors.Is(err, queue.ErrLocked) {
			f.Errorf("CloseGroup: %v", err)
		}
		f.insert(inGroup(g.ID)) // which others may do meanwhile
		f.must(tx.Commit(f.ctx))
		f.closeGroup(g.ID)
		f.counted("closed", g.ID, queue.GroupCounts{Ready: 2})
	},
	"a locked group is completed after its lock": func(f *fixture) {
		if f.oneWriter {
			return
		}
		g := f.createGroup()
		f.fail(f.claimed(lease, inGroup(g.ID)).Claim())
		last := f.claimed(lease, inGroup(g.ID))
		tx := f.begin(f.T, f.store)
		f.must(f.grouper().CloseGroup(f.ctx, tx, g.ID))
		rows, err := f.grouper().CompleteGroup(f.ctx, g.ID, func(*queue.NewRow) { f.Error("prepared") })
		if !errors.Is(err, queue.ErrLocked) || len(rows) > 0 {
			f.Errorf("CompleteGroup: %v, %v", rows, err)
		}
		f.finish(last.Claim()) // for which the lock does not matter
		f.must(tx.Commit(f.ctx))
		f.completes("after the lock", g.ID, failureTask)
		f.completes("again", g.ID)
	},
	"members are not added while the group is being closed": func(f *fixture) {
		if f.oneWriter {
			return
		}
		g := f.createGroup()
		tx := f.begin(f.T, f.store)
		f.must(f.grouper().CloseGroup(f.ctx, tx, g.ID))
		f.refusesMember(request(inGroup(g.ID)), queue.ErrLocked)
		f.must(tx.Commit(f.ctx))
		f.refusesMember(request(inGroup(g.ID)), queue.ErrGroupClosed)
	},
}
