package storetest

import (
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// untouched checks that a row is as if it had never been claimed, but for what
// stays of the claim: its ID, which the row keeps, and when the row is due.
func (f *fixture) untouched(row *queue.Row) {
	f.Helper()
	got := f.get(row.ID)
	want := *row
	want.ClaimID, want.DispatchDueAt = got.ClaimID, got.DispatchDueAt
	f.equal("row", *got, want)
}

var unclaimTests = map[string]func(*fixture){
	"a claim that never began leaves no trace, however often": func(f *fixture) {
		row := f.insert(maxAttempts(1))
		for range queue.MaxInterruptions + 5 {
			f.must(f.store.Unclaim(f.ctx, f.claim(row.ID, lease).Claim()))
			f.untouched(row)
		}
		if wait := f.get(row.ID).DispatchDueAt.Sub(f.now()); wait < queue.DispatchGrace-time.Minute || wait > queue.DispatchGrace {
			f.Errorf("dispatch_due_at is in %v", wait)
		}
		f.equal("claimable", ids(f.claimNext(10)), []uuid.UUID{row.ID})
	},
	"earlier attempts and interruptions stay": func(f *fixture) {
		row := f.claimed(lease)
		f.must(f.store.Release(f.ctx, row.Claim()))
		row = f.claim(row.ID, lease)
		f.must(f.store.Retry(f.ctx, row.Claim(), queue.Retry{Errors: failures(1)}))
		before := f.get(row.ID)
		again := f.claim(row.ID, lease, func(r *queue.ClaimRequest) { r.Worker = "other" })
		f.must(f.store.Unclaim(f.ctx, again.Claim()))
		got := f.get(row.ID)
		if got.Status != queue.StatusReady || got.Attempts != 1 || got.Interruptions != 1 || got.StartedAt != before.StartedAt || !got.LeaseExpiresAt.IsZero() {
			f.Errorf("%+v", got)
		}
		f.equal("workers", got.WorkerIDs, []string{"w"})
		f.equal("errors", got.Errors, failures(1))
	},
	"many claims at once, and those that are gone are skipped": func(f *fixture) {
		first, second := f.insert(), f.insert(delay(time.Hour))
		held := []queue.Claim{f.claim(first.ID, lease).Claim(), f.claim(second.ID, lease, early(2*time.Hour)).Claim()}
		ended, kept := f.claimed(lease), f.claimed(lease)
		f.finish(ended.Claim())
		finished := f.get(ended.ID)
		stolen := f.claimed(expired)
		owner := f.claim(stolen.ID, lease)
		gone := []queue.Claim{ended.Claim(), stolen.Claim(), {ID: kept.ID, ClaimID: ended.ClaimID}, {ID: uuid.New(), ClaimID: uuid.New()}, {ID: kept.ID}}
		f.must(f.store.Unclaim(f.ctx, append(gone, held...)...))
		f.untouched(first)
		f.untouched(second)
		for _, row := range []*queue.Row{finished, owner, kept} {
			f.unchanged(row)
		}
		f.must(f.store.Unclaim(f.ctx, held...))
		f.must(f.store.Unclaim(f.ctx))
		f.untouched(first)
		f.equal("due", ids(f.claimNext(10)), []uuid.UUID{first.ID})
	},
	"more claims than one statement takes": func(f *fixture) {
		rows := make([]*queue.NewRow, 1100)
		for i := range rows {
			rows[i] = request()
		}
		f.must(f.store.Insert(f.ctx, rows...))
		var claims []queue.Claim
		for _, row := range f.claimNext(len(rows)) {
			claims = append(claims, row.Claim())
		}
		f.must(f.store.Unclaim(f.ctx, claims...))
		f.equal("claimable again", len(f.claimNext(2000)), len(rows))
	},
}

func ahead(n int, not ...uuid.UUID) func(*queue.ClaimNextRequest) {
	return func(r *queue.ClaimNextRequest) { r.Prefetch, r.NotPrefetch = n, not }
}

// secondAttempt inserts a row that has used one attempt.
func (f *fixture) secondAttempt(changes ...func(*queue.NewRow)) *queue.Row {
	f.Helper()
	row := f.claimed(lease, changes...)
	f.must(f.store.Retry(f.ctx, row.Claim(), queue.Retry{}))
	return f.get(row.ID)
}

var prefetchTests = map[string]func(*fixture){
	"first attempts of several are claimed ahead": func(f *fixture) {
		a, b, c, d := f.insert(), f.insert(maxAttempts(2)), f.insert(), f.insert()
		f.equal("rows", ids(f.claimNext(3, ahead(2))), []uuid.UUID{a.ID, b.ID, c.ID})
		f.equal("rest", ids(f.claimNext(3, ahead(3))), []uuid.UUID{d.ID})
	},
	"a claim ahead ends before a row that must not wait": func(f *fixture) {
		for what, insert := range map[string]func() *queue.Row{
			"its only attempt":  func() *queue.Row { return f.insert(maxAttempts(1)) },
			"a second attempt":  func() *queue.Row { return f.secondAttempt() },
			"it waited already": func() *queue.Row { return f.insert() },
		} {
			stop := insert()
			var bounced []uuid.UUID
			if what == "it waited already" {
				bounced = []uuid.UUID{uuid.New(), stop.ID}
			}
			first, last := f.insert(priority(1)), f.insert(priority(-1))
			before := f.get(stop.ID)
			f.equal(what, ids(f.claimNext(3, ahead(3, bounced...))), []uuid.UUID{first.ID})
			f.equal(what+", none ahead of it", ids(f.claimNext(3, ahead(3, bounced...))), []uuid.UUID{})
			f.unchanged(before)
			f.equal(what+", for a free slot", ids(f.claimNext(3, ahead(2, bounced...))), []uuid.UUID{stop.ID, last.ID})
		}
	},
	"free slots take any row": func(f *fixture) {
		a, b, c := f.insert(maxAttempts(1)), f.insert(maxAttempts(1)), f.insert(maxAttempts(1))
		f.equal("rows", ids(f.claimNext(4, ahead(2, b.ID))), []uuid.UUID{a.ID, b.ID})
		f.equal("rest", ids(f.claimNext(4, ahead(2))), []uuid.UUID{c.ID})
	},
}

var lostAnswerTests = map[string]func(*fixture){
	"a claim that is repeated returns the row": func(f *fixture) {
		for _, length := range []time.Duration{lease, expired} {
			req := claimRequest(length)
			row, err := f.store.Claim(f.ctx, f.insert(maxAttempts(1)).ID, req)
			f.must(err)
			again, err := f.store.Claim(f.ctx, row.ID, req)
			f.must(err)
			f.equal("row", *again, *row)
			f.unchanged(row)
		}
	},
	"a claim whose answer was lost is found by a later request": func(f *fixture) {
		first, again := claimRequest(lease), claimRequest(lease)
		row, err := f.store.Claim(f.ctx, f.insert(maxAttempts(1)).ID, first)
		f.must(err)
		again.Unanswered = []uuid.UUID{uuid.New(), first.ClaimID}
		found, err := f.store.Claim(f.ctx, row.ID, again)
		f.must(err)
		f.equal("row", *found, *row)
		f.unchanged(row)
	},
	"a later request claims the row if the earlier claim was lost": func(f *fixture) {
		for what, lose := range map[string]func(*queue.Row){
			"never made": func(*queue.Row) {},
			"unclaimed":  func(row *queue.Row) { f.must(f.store.Unclaim(f.ctx, f.claim(row.ID, lease).Claim())) },
			"taken back": func(row *queue.Row) { f.claim(row.ID, expired); f.promote() },
			"retried":    func(row *queue.Row) { f.must(f.store.Retry(f.ctx, f.claim(row.ID, lease).Claim(), queue.Retry{})) },
			"had another": func(row *queue.Row) {
				f.claim(row.ID, expired)
				f.must(f.store.Retry(f.ctx, f.claim(row.ID, lease).Claim(), queue.Retry{}))
			},
		} {
			row := f.insert()
			lose(row)
			before := f.get(row.ID)
			req := claimRequest(lease)
			req.Unanswered = []uuid.UUID{before.ClaimID, uuid.New()}
			got, err := f.store.Claim(f.ctx, row.ID, req)
			f.must(err)
			f.equal(what, []any{got.ClaimID, got.Attempts}, []any{req.ClaimID, before.Attempts + 1})
		}
	},
	"a claim that has ended is not made again": func(f *fixture) {
		for what, end := range map[string]func(*queue.Row) error{
			"released":  func(row *queue.Row) error { return f.store.Release(f.ctx, row.Claim()) },
			"unclaimed": func(row *queue.Row) error { return f.store.Unclaim(f.ctx, row.Claim()) },
			"retried":   func(row *queue.Row) error { return f.store.Retry(f.ctx, row.Claim(), queue.Retry{}) },
			"failed":    func(row *queue.Row) error { f.fail(row.Claim()); return nil },
		} {
			req := claimRequest(lease, allowRetry)
			row, err := f.store.Claim(f.ctx, f.insert().ID, req)
			f.must(err)
			f.must(end(row))
			before := f.get(row.ID)
			if _, err := f.store.Claim(f.ctx, row.ID, req); !errors.Is(err, queue.ErrLeaseLost) {
				f.Errorf("%s, then claimed by a late copy of the request: %v", what, err)
			}
			f.unchanged(before)
		}
	},
	"a repeated claim of a row that another has is refused": func(f *fixture) {
		req := claimRequest(expired)
		row, err := f.store.Claim(f.ctx, f.insert().ID, req)
		f.must(err)
		owner := f.claim(row.ID, lease)
		if _, err := f.store.Claim(f.ctx, row.ID, req); !errors.Is(err, queue.ErrLeased) {
			f.Errorf("got %v, want %v", err, queue.ErrLeased)
		}
		f.unchanged(owner)
	},
	"what a pull claimed is found by its fence": func(f *fixture) {
		for range 12 { // often enough that a store may remember where to begin
			f.insert()
			f.claimNext(1)
		}
		var want []queue.Claim
		for range 4 {
			f.insert()
		}
		fence := queue.NewClaimID()
		rows := f.claimNext(3, func(r *queue.ClaimNextRequest) { r.Fence = fence })
		for _, row := range rows {
			want = append(want, row.Claim())
			if first, last := queue.PullClaimIDs(fence); row.ClaimID.String() < first.String() || row.ClaimID.String() > last.String() {
				f.Errorf("claim %s is not of fence %s", row.ClaimID, fence)
			}
		}
		f.claimNext(3)
		found := func() map[queue.Claim]bool {
			claims, err := f.store.Claimed(f.ctx, fence)
			f.must(err)
			set := make(map[queue.Claim]bool)
			for _, claim := range claims {
				set[claim] = true
			}
			return set
		}
		f.equal("claims", found(), map[queue.Claim]bool{want[0]: true, want[1]: true, want[2]: true})
		f.finish(want[0])
		f.must(f.store.Unclaim(f.ctx, want[1]))
		f.equal("after an end", found(), map[queue.Claim]bool{want[2]: true})
		none, err := f.store.Claimed(f.ctx, uuid.New())
		f.must(err)
		f.equal("another fence", none, []queue.Claim{})
	},
}

// history is a list of errors whose last is of an attempt.
func history(row *queue.Row) []queue.AttemptError {
	list := failures(2)
	list[1].Attempt, list[1].StartedAt = row.Attempts, row.LastAttemptedAt
	return list
}

var noteTests = map[string]func(*fixture){
	"a note changes the errors of a running row and nothing else": func(f *fixture) {
		row := f.claimed(lease)
		f.must(f.store.NoteErrors(f.ctx, row.Claim(), history(row)))
		want := *row
		want.Errors = history(row)
		want.ErrorGroup, want.ErrorText = queue.LastError(want.Errors)
		f.unchanged(&want)
		f.must(f.store.NoteErrors(f.ctx, row.Claim(), nil))
		f.unchanged(row)
	},
	"a noted row whose lease expires on its last attempt fails with the note": func(f *fixture) {
		lose := map[string]func(*queue.Row){
			"by promotion":  func(*queue.Row) { f.promote() },
			"by a delivery": func(row *queue.Row) { f.refused(row.ID, queue.ErrWorkerLost) },
		}
		if f.operator != nil {
			lose["by requeueing"] = func(*queue.Row) {
				_, err := f.operator.Requeue(f.ctx, queue.RequeueRequest{Limit: 10})
				f.must(err)
			}
		}
		for how, do := range lose {
			row := f.claimed(expired, maxAttempts(1))
			f.must(f.store.NoteErrors(f.ctx, row.Claim(), history(row)))
			do(row)
			if got := f.get(row.ID); !isLost(got) {
				f.Errorf("%s: %+v", how, got)
			} else {
				f.equal(how, got.Errors, history(row))
			}
		}
	},
	"a record of an earlier attempt does not hide a lost worker": func(f *fixture) {
		row := f.claimed(lease, maxAttempts(2))
		f.must(f.store.Retry(f.ctx, row.Claim(), queue.Retry{Errors: failures(1)}))
		f.claim(row.ID, expired)
		f.promote()
		if got := f.get(row.ID); !isLost(got) || len(got.Errors) != 2 || lastError(got).ExceptionClassPath != "WorkerLost" {
			f.Errorf("%+v", got)
		}
	},
	"a record under a number that was refunded does not hide a lost worker": func(f *fixture) {
		row := f.claimed(lease, maxAttempts(1))
		f.must(f.store.Retry(f.ctx, row.Claim(), queue.Retry{Errors: history(row), Refund: true}))
		f.claim(row.ID, expired)
		f.promote()
		if got := f.get(row.ID); !isLost(got) || len(got.Errors) != 3 || lastError(got).ExceptionClassPath != "WorkerLost" {
			f.Errorf("%+v", got)
		}
	},
	"a noted row with attempts left is READY again with the note": func(f *fixture) {
		row := f.claimed(expired)
		f.must(f.store.NoteErrors(f.ctx, row.Claim(), history(row)))
		f.equal("promotion", f.promote().Reclaimed, 1)
		f.equal("errors", f.get(row.ID).Errors, history(row))
	},
	"what ends the claim replaces the note, or removes it": func(f *fixture) {
		empty := []queue.AttemptError{}
		for what, end := range map[string]func(queue.Claim) error{
			"finish": func(c queue.Claim) error {
				_, err := f.store.Finish(f.ctx, c, queue.Finish{Status: queue.StatusSuccessful, Errors: empty})
				return err
			},
			"retry": func(c queue.Claim) error { return f.store.Retry(f.ctx, c, queue.Retry{Errors: empty}) },
			"finish in a transaction": func(c queue.Claim) error {
				tx := f.begin(f.T, f.store)
				_, err := f.store.FinishTx(f.ctx, tx, c, queue.Finish{Status: queue.StatusSuccessful, Errors: empty})
				f.must(tx.Commit(f.ctx))
				return err
			},
		} {
			row := f.claimed(lease)
			f.must(f.store.NoteErrors(f.ctx, row.Claim(), history(row)))
			f.must(end(row.Claim()))
			if got := f.get(row.ID); len(got.Errors) != 0 || got.ErrorGroup != "" || got.ErrorText != "" || got.Status == queue.StatusRunning {
				f.Errorf("%s: %+v", what, got)
			}
		}
	},
}
