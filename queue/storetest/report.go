package storetest

import (
	"errors"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

// said is a report of everything.
func said(done, total int, note string) *queue.Report {
	return &queue.Report{Progress: &queue.TaskProgress{Done: done, Total: total}, Note: &note}
}

func (f *fixture) reporter() queue.Reporter { return f.store.(queue.Reporter) }

// shows checks what a row shows of the reports. total < 0: no progress.
func (f *fixture) shows(what string, row *queue.Row, done, total int, note string) {
	f.Helper()
	want := &queue.TaskProgress{Done: done, Total: total}
	if total < 0 {
		want = nil
	}
	f.equal(what+": progress", row.Progress, want)
	f.equal(what+": note", row.Note, note)
}

// heartbeat renews a claim with a report.
func (f *fixture) heartbeat(claim queue.Claim, report *queue.Report) {
	f.Helper()
	renewed, lost, err := f.reporter().HeartbeatReports(f.ctx, lease, map[queue.Claim]queue.Report{claim: *report}, claim)
	f.must(err)
	f.equal("renewed", renewed, []queue.Claim{claim})
	f.equal("lost", lost, []queue.Claim(nil))
}

// reportingEnds are the statements that end a claim with a report.
func (f *fixture) reportingEnds() map[string]func(queue.Claim, *queue.Report) error {
	finish := func(status queue.Status) func(queue.Claim, *queue.Report) error {
		return func(claim queue.Claim, report *queue.Report) error {
			_, err := f.store.Finish(f.ctx, claim, queue.Finish{Status: status, Report: report})
			return err
		}
	}
	ends := map[string]func(queue.Claim, *queue.Report) error{
		"Finish":            finish(queue.StatusSuccessful),
		"Finish, FAILED":    finish(queue.StatusFailed),
		"Finish, CANCELLED": finish(queue.StatusCancelled),
		"Finish with errors": func(claim queue.Claim, report *queue.Report) error {
			_, err := f.store.Finish(f.ctx, claim, queue.Finish{Status: queue.StatusFailed, Errors: failures(1), Report: report})
			return err
		},
		"FinishTx": func(claim queue.Claim, report *queue.Report) error {
			tx := f.begin(f.T, f.store)
			_, err := f.store.FinishTx(f.ctx, tx, claim, queue.Finish{Status: queue.StatusSuccessful, Report: report})
			if err != nil {
				return errors.Join(err, tx.Rollback(f.ctx))
			}
			return tx.Commit(f.ctx)
		},
		"Retry": func(claim queue.Claim, report *queue.Report) error {
			return f.store.Retry(f.ctx, claim, queue.Retry{Errors: failures(1), In: time.Hour, Report: report})
		},
		"ReleaseReport": func(claim queue.Claim, report *queue.Report) error {
			if report == nil {
				return f.store.Release(f.ctx, claim)
			}
			return f.reporter().ReleaseReport(f.ctx, claim, *report)
		},
	}
	if async, ok := f.store.(queue.AsyncFinisher); ok {
		ends["FinishAsync"] = func(claim queue.Claim, report *queue.Report) error {
			done := make(chan error, 1)
			async.FinishAsync(claim, queue.Finish{Status: queue.StatusSuccessful, Report: report}, func(_ time.Time, err error) { done <- err })
			return <-done
		}
	}
	return ends
}

// reportTests are about a queue.Reporter.
var reportTests = map[string]func(*fixture){
	"a heartbeat stores reports": func(f *fixture) {
		row := f.claimed(lease)
		f.shows("at first", f.get(row.ID), 0, -1, "")
		f.heartbeat(row.Claim(), said(1, 3, "first \"<&>\" é"))
		f.shows("then", f.get(row.ID), 1, 3, "first \"<&>\" é")
		f.heartbeat(row.Claim(), said(2, 0, ""))
		f.shows("and then", f.get(row.ID), 2, 0, "")
	},
	"what is not reported stays": func(f *fixture) {
		row := f.claimed(lease)
		note := "only a note"
		f.heartbeat(row.Claim(), &queue.Report{Note: &note})
		f.shows("a note", f.get(row.ID), 0, -1, note)
		f.heartbeat(row.Claim(), &queue.Report{Progress: &queue.TaskProgress{Done: 1}})
		f.shows("progress", f.get(row.ID), 1, 0, note)
		_, _, err := f.store.Heartbeat(f.ctx, lease, row.Claim())
		f.must(err)
		f.finish(row.Claim())
		f.shows("after the end", f.get(row.ID), 1, 0, note)
	},
	"one heartbeat renews claims with reports and without": func(f *fixture) {
		silent, one, two := f.claimed(lease), f.claimed(lease), f.claimed(lease)
		lost := f.claimed(lease)
		f.finish(lost.Claim())
		reports := map[queue.Claim]queue.Report{one.Claim(): *said(1, 2, "one"), two.Claim(): {Note: said(0, 0, "two").Note}, lost.Claim(): *said(9, 9, "lost")}
		renewed, gone, err := f.reporter().HeartbeatReports(f.ctx, time.Hour, reports, silent.Claim(), lost.Claim(), one.Claim(), two.Claim())
		f.must(err)
		f.equal("lost", gone, []queue.Claim{lost.Claim()})
		if len(renewed) != 3 {
			f.Errorf("renewed %v", renewed)
		}
		f.shows("silent", f.get(silent.ID), 0, -1, "")
		f.shows("one", f.get(one.ID), 1, 2, "one")
		f.shows("two", f.get(two.ID), 0, -1, "two")
		f.shows("lost", f.get(lost.ID), 0, -1, "")
		for _, row := range []*queue.Row{silent, one, two} {
			if left := f.get(row.ID).LeaseExpiresAt.Sub(f.now()); left < 50*time.Minute {
				f.Errorf("the lease expires in %s", left)
			}
		}
	},
	"whatever ends a claim stores its report": func(f *fixture) {
		for name, end := range f.reportingEnds() {
			row := f.claimed(lease)
			f.heartbeat(row.Claim(), said(1, 3, "before"))
			f.must(end(row.Claim(), said(3, 3, name)))
			f.shows(name, f.get(row.ID), 3, 3, name)

			row = f.claimed(lease)
			f.heartbeat(row.Claim(), said(1, 3, "before"))
			f.must(end(row.Claim(), nil))
			f.shows(name+" without a report", f.get(row.ID), 1, 3, "before")
		}
	},
	"of a row with Keep, too": func(f *fixture) {
		if _, ok := f.store.(queue.Lifecycle); !ok {
			return
		}
		for name, end := range f.reportingEnds() {
			row := f.claimed(lease, keep(time.Hour, time.Hour))
			f.must(end(row.Claim(), said(3, 3, name)))
			got := f.get(row.ID)
			f.shows(name, got, 3, 3, name)
			if got.Status.Final() == got.DeleteAt.IsZero() {
				f.Errorf("%s: %s, deleted at %s", name, got.Status, got.DeleteAt)
			}
		}
	},
	"a lost claim stores nothing": func(f *fixture) {
		for name, end := range f.reportingEnds() {
			zombie := f.claimed(expired)
			f.claim(zombie.ID, lease)
			if err := end(zombie.Claim(), said(1, 2, "zombie")); !errors.Is(err, queue.ErrLeaseLost) {
				f.Errorf("%s: %v", name, err)
			}
			f.shows(name, f.get(zombie.ID), 0, -1, "")
		}
	},
	"the next claim has what was reported": func(f *fixture) {
		row := f.claimed(lease)
		f.must(f.store.Retry(f.ctx, row.Claim(), queue.Retry{Errors: failures(1), Report: said(1, 3, "once")}))
		rows := f.claimNext(1)
		f.shows("ClaimNext", rows[0], 1, 3, "once")
		f.must(f.store.Retry(f.ctx, rows[0].Claim(), queue.Retry{Errors: failures(1)}))
		f.shows("Claim", f.claim(row.ID, lease), 1, 3, "once")
	},
	"many claims end at once": func(f *fixture) {
		async, ok := f.store.(queue.AsyncFinisher)
		if !ok {
			return
		}
		var rows []*queue.Row
		for range 20 {
			rows = append(rows, f.claimed(lease))
		}
		done := make(chan error, len(rows))
		for i, row := range rows {
			finish := queue.Finish{Status: queue.StatusSuccessful}
			if i%3 == 1 {
				finish.Report = said(i, 20, "many")
			}
			async.FinishAsync(row.Claim(), finish, func(_ time.Time, err error) { done <- err })
		}
		for range rows {
			f.must(<-done)
		}
		for i, row := range rows {
			if i%3 == 1 {
				f.shows("reported", f.get(row.ID), i, 20, "many")
			} else {
				f.shows("silent", f.get(row.ID), 0, -1, "")
			}
		}
	},
	"a replacement begins without them": func(f *fixture) {
		key := "k"
		row := f.insert(keyed(key))
		claim := f.claim(row.ID, lease).Claim()
		f.must(f.store.Retry(f.ctx, claim, queue.Retry{Errors: failures(1), Report: said(1, 3, "once")}))
		again := request(keyed(key), onConflict(queue.ReplaceExisting), args(`{"a":2}`))
		f.must(f.store.Insert(f.ctx, again))
		f.shows("returned", again.Row, 0, -1, "")
		f.shows("stored", f.get(row.ID), 0, -1, "")
	},
}
