package storetest

import (
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

func expiresAt(at time.Time) func(*queue.NewRow) { return func(r *queue.NewRow) { r.ExpiresAt = at } }
func expiresIn(d time.Duration) func(*queue.NewRow) {
	return func(r *queue.NewRow) { r.ExpiresIn = d }
}

// past makes a row that has expired.
func past(r *queue.NewRow) { r.ExpiresAt = time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC) }

// expired checks that a row was cancelled because it has expired.
func (f *fixture) expired(id uuid.UUID) *queue.Row {
	f.Helper()
	row := f.get(id)
	if row.Status != queue.StatusCancelled || row.FinishedAt.IsZero() || row.Attempts != 0 || !row.StartedAt.IsZero() || len(row.Errors) != 1 {
		f.Fatalf("the expired row: %+v", *row)
	}
	f.equal("errors", row.Errors, queue.ExpiredErrors(row.Errors[0].At))
	f.between("its error", row.FinishedAt.Sub(row.Errors[0].At), 0, time.Minute)
	group, text := queue.LastError(row.Errors)
	f.equal("for lists", []string{row.ErrorGroup, row.ErrorText}, []string{group, text})
	return row
}

// claimedInTime claims a row that expires soon.
func (f *fixture) claimedInTime(lease time.Duration, changes ...func(*queue.NewRow)) *queue.Row {
	f.Helper()
	for soon := time.Millisecond; ; soon *= 2 {
		row, err := f.store.Claim(f.ctx, f.insert(append(changes, expiresIn(soon))...).ID, claimRequest(lease))
		if !errors.Is(err, queue.ErrExpired) {
			f.must(err)
			return row
		}
	}
}

// passed waits until the rows would have expired.
func (f *fixture) passed(rows ...*queue.Row) {
	f.Helper()
	for _, row := range rows {
		for f.now().Before(row.ExpiresAt) {
			f.must(f.ctx.Err())
		}
	}
}

var expiryTests = map[string]func(*fixture){
	"a row has its expiry": func(f *fixture) {
		at := time.Date(2040, 5, 6, 7, 8, 9, 123456789, time.FixedZone("", 3*3600))
		row := f.insert(expiresAt(at))
		f.equal("expires_at", row.ExpiresAt, at.UTC().Truncate(time.Microsecond))
		f.unchanged(row)
		row = f.insert(expiresIn(time.Hour))
		f.equal("expires in", row.ExpiresAt.Sub(row.EnqueuedAt), time.Hour)
		f.unchanged(row)
		f.equal("claimed", f.claim(row.ID, lease).ExpiresAt, row.ExpiresAt)
	},
	"a delivery cancels it": func(f *fixture) {
		row := f.insert(past)
		refused := f.refused(row.ID, queue.ErrExpired)
		f.equal("the row of the refusal", *refused.Row, *f.expired(row.ID))
		f.refused(row.ID, queue.ErrFinal)
		f.refused(row.ID, queue.ErrFinal, allowRetry)
	},
	"a delivery before its time cancels it, too": func(f *fixture) {
		row := f.insert(past, delay(time.Hour))
		f.refused(row.ID, queue.ErrExpired)
		f.expired(row.ID)
	},
	"a pull skips it": func(f *fixture) {
		f.insert(past, priority(100))
		row := f.insert(expiresIn(time.Hour))
		f.equal("claimed", ids(f.claimNext(10)), []uuid.UUID{row.ID})
	},
	"Promote cancels it": func(f *fixture) {
		due, delayed, unknown, later := f.insert(past), f.insert(past, delay(time.Hour)), f.insert(past, withTask("unknown")), f.insert(expiresIn(time.Hour), delay(2*time.Hour))
		p := f.promote()
		f.equal("expired", p.Expired, 3)
		f.between("next", p.Next, 59*time.Minute, time.Hour)
		for _, row := range []*queue.Row{due, delayed, unknown} {
			f.expired(row.ID)
		}
		f.unchanged(later)
		f.equal("again", f.promote().Expired, 0)
	},
	"Promote cancels at most as many as it is asked to": func(f *fixture) {
		for range 5 {
			f.insert(past)
		}
		p, err := f.store.Promote(f.ctx, 3)
		f.must(err)
		f.equal("expired", p.Expired, 3)
		f.between("next", p.Next, 0, time.Microsecond)
		f.equal("expired", f.promote().Expired, 2)
	},
	"what has started does not expire": func(f *fixture) {
		running, retried, lost := f.claimedInTime(lease), f.claimedInTime(lease), f.claimedInTime(expired)
		f.must(f.store.Retry(f.ctx, retried.Claim(), queue.Retry{}))
		f.passed(running, retried, lost)
		f.equal("expired", f.promote().Expired, 0)
		f.finish(running.Claim())
		f.finish(f.claim(retried.ID, lease).Claim())
		f.finish(f.claim(lost.ID, lease).Claim())
	},
	"what has started does not expire when its attempt does not count": func(f *fixture) {
		for how, end := range map[string]func(queue.Claim) error{
			"snoozed":     func(c queue.Claim) error { return f.store.Retry(f.ctx, c, queue.Retry{Refund: true}) },
			"interrupted": func(c queue.Claim) error { return f.store.Release(f.ctx, c) },
			"claimed again, and not begun": func(c queue.Claim) error {
				f.must(f.store.Release(f.ctx, c))
				return f.store.Unclaim(f.ctx, f.claim(c.ID, lease).Claim())
			},
		} {
			row := f.claimedInTime(lease, keyed(how))
			f.must(end(row.Claim()))
			f.passed(row)
			f.meets(row.ID, keyed(how))
			f.equal(how+": expired", f.promote().Expired, 0)
			got := f.get(row.ID)
			f.equal(how+": started, attempts", fmt.Sprint(got.StartedAt, got.Attempts), fmt.Sprint(row.StartedAt, 0))
			f.finish(f.claim(row.ID, lease).Claim())
		}
	},
	"a claim that was undone was no start": func(f *fixture) {
		row := f.claimedInTime(lease)
		f.passed(row)
		f.must(f.store.Unclaim(f.ctx, row.Claim()))
		f.refused(row.ID, queue.ErrExpired)
		f.expired(row.ID)
	},
	"its Keep is that of a cancelled row": func(f *fixture) {
		one, two := f.insert(past, keep(time.Hour, 0)), f.insert(past, keep(0, time.Hour), args(`{"a":1}`))
		f.equal("expired", f.promote().Expired, 2)
		f.keptFor("one", one.ID, queue.StatusCancelled, time.Hour)
		f.keptFor("two", two.ID, queue.StatusCancelled, queue.KeptForRepeats)
		f.equal("args", string(f.get(two.ID).Args), string(queue.DroppedArgs([]byte(`{"a":1}`))))
	},
}
