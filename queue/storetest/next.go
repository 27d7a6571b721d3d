package storetest

import (
	"bytes"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// sorted sorts IDs.
func sorted(list []uuid.UUID) []uuid.UUID {
	slices.SortFunc(list, func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) })
	return list
}

func ids(rows []*queue.Row) []uuid.UUID {
	var list []uuid.UUID
	for _, row := range rows {
		list = append(list, row.ID)
	}
	return list
}

func fromQueues(names ...string) func(*queue.ClaimNextRequest) {
	return func(r *queue.ClaimNextRequest) { r.Queues = names }
}

var nextTests = map[string]func(*fixture){
	"nothing is an empty answer": func(f *fixture) {
		f.equal("rows", f.claimNext(10), []*queue.Row{})
	},
	"priority comes first, then age": func(f *fixture) {
		low, first, high, second := f.insert(priority(-5)), f.insert(), f.insert(priority(100)), f.insert()
		want := []uuid.UUID{high.ID, first.ID, second.ID, low.ID}
		f.equal("order", ids(f.claimNext(10)), want)
	},
	"rows of one time go by ID": func(f *fixture) {
		rows := make([]*queue.NewRow, 50)
		for i := range rows {
			rows[len(rows)-1-i] = request()
		}
		f.must(f.store.Insert(f.ctx, rows...))
		var want []uuid.UUID
		for i := range rows {
			want = append(want, rows[len(rows)-1-i].ID)
		}
		f.equal("order", ids(f.claimNext(50)), want)
	},
	"the limit holds": func(f *fixture) {
		first, second, third := f.insert(), f.insert(), f.insert()
		f.equal("two", ids(f.claimNext(2)), []uuid.UUID{first.ID, second.ID})
		f.equal("none", ids(f.claimNext(0)), []uuid.UUID{})
		f.equal("one", ids(f.claimNext(2)), []uuid.UUID{third.ID})
	},
	"a claimed row is as it is stored, under a claim of its own": func(f *fixture) {
		f.insert(args(`[1]`))
		f.insert(timeout(time.Second))
		rows := f.claimNext(2)
		if len(rows) != 2 || rows[0].ClaimID == rows[1].ClaimID || rows[0].ClaimID == uuid.Nil {
			f.Fatalf("%+v", rows)
		}
		for _, row := range rows {
			f.unchanged(row)
			f.equal("lease", row.LeaseExpiresAt, row.StartedAt.Add(lease))
			f.equal("workers", row.WorkerIDs, []string{"w"})
			f.finish(row.Claim())
		}
	},
	"only known names are taken": func(f *fixture) {
		f.insert(withTask("other"))
		f.equal("rows", ids(f.claimNext(10)), []uuid.UUID{})
		f.equal("rows", ids(f.claimNext(10, func(r *queue.ClaimNextRequest) { r.Tasks = nil })), []uuid.UUID{})
	},
	"only the queues asked for are served": func(f *fixture) {
		a, b, c := f.insert(onQueue("a")), f.insert(onQueue("b")), f.insert(onQueue("c"))
		f.equal("b", ids(f.claimNext(10, fromQueues("b"))), []uuid.UUID{b.ID})
		f.equal("a and c", ids(f.claimNext(10, fromQueues("c", "a"))), []uuid.UUID{a.ID, c.ID})
	},
	"only the backend asked for is served": func(f *fixture) {
		f.insert()
		bulk := f.insert(onBackend("bulk mail"))
		f.equal("bulk", ids(f.claimNext(10, func(r *queue.ClaimNextRequest) { r.Backend = "bulk mail" })), []uuid.UUID{bulk.ID})
	},
	"running, finished and expired rows are not taken": func(f *fixture) {
		f.claimed(lease)
		f.claimed(expired)
		f.finish(f.claimed(lease).Claim())
		f.equal("rows", ids(f.claimNext(10)), []uuid.UUID{})
	},
	"rows without attempts are not taken": func(f *fixture) {
		row := f.claimed(lease, maxAttempts(1))
		f.must(f.store.Retry(f.ctx, row.Claim(), queue.Retry{}))
		f.equal("rows", ids(f.claimNext(10)), []uuid.UUID{})
		if f.promote().Claimable {
			f.Error("Promote says that a row is claimable")
		}
	},
	"a row waits for its hard time": func(f *fixture) {
		f.insert(delay(time.Hour), priority(100))
		due := f.insert()
		f.insert(runAfter(f.now().Add(time.Hour)))
		past := f.insert(runAfter(f.now().Add(-time.Hour)))
		f.equal("rows", ids(f.claimNext(10)), []uuid.UUID{due.ID, past.ID})
	},
	"a row waits for its soft time, which a delivery does not": func(f *fixture) {
		row := f.claimed(lease)
		f.must(f.store.Retry(f.ctx, row.Claim(), queue.Retry{In: time.Hour}))
		f.promote()
		f.equal("rows", ids(f.claimNext(10)), []uuid.UUID{})
		if got := f.claim(row.ID, lease); !got.RetryAt.IsZero() {
			f.Errorf("a running row waits until %v", got.RetryAt)
		}
	},
	"a row is taken once its time has come": func(f *fixture) {
		hard := f.insert(delay(20 * time.Millisecond))
		soft := f.claimed(lease)
		f.must(f.store.Retry(f.ctx, soft.Claim(), queue.Retry{In: 20 * time.Millisecond}))
		for released := 0; released < 2; released += f.promote().Released {
			f.must(f.ctx.Err())
		}
		rows := f.claimNext(10)
		f.equal("rows", ids(rows), []uuid.UUID{hard.ID, soft.ID})
		if rows[0].LastAttemptedAt.Before(hard.RunAfter) {
			f.Error("taken too early")
		}
	},
}
