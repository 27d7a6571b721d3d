package storetest

import (
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// auditLog stores some entries and returns them, the latest first.
func (f *fixture) auditLog(n int) []queue.AuditEntry {
	f.Helper()
	var log []queue.AuditEntry
	for i := range n {
		e := queue.AuditEntry{ID: uuid.Must(uuid.NewV7()), Actor: "ann", Action: "retry", Target: "task", Done: i, Ended: true}
		if i%2 == 1 {
			e.Task = uuid.New()
		}
		at, err := f.operator.RecordAudit(f.ctx, e)
		f.must(err)
		e.At = at
		log = append(log, e)
	}
	slices.Reverse(log)
	return log
}

// readAudit reads all pages of a request.
func (f *fixture) readAudit(r queue.AuditRequest) (entries []queue.AuditEntry, pages int) {
	f.Helper()
	for pages = 1; ; pages++ {
		page, err := f.store.(queue.AuditReader).ReadAudit(f.ctx, r)
		f.must(err)
		entries = append(entries, page.Entries...)
		if r.After = page.Next; r.After == "" {
			return entries, pages
		}
		f.equal("a page with more after it", len(page.Entries), r.Limit)
	}
}

var auditTests = map[string]func(*fixture){
	"pages have every entry once, the latest first": func(f *fixture) {
		log := f.auditLog(7)
		for limit, want := range map[int]int{1: 7, 3: 3, 6: 2, 7: 1, 1000: 1} {
			got, pages := f.readAudit(queue.AuditRequest{Limit: limit})
			f.equal("pages", pages, want)
			f.equal("entries", len(got), len(log))
			seen := make(map[uuid.UUID]bool)
			for i, e := range got {
				f.equal("in order", i == 0 || !e.At.After(got[i-1].At), true)
				i := slices.IndexFunc(log, func(want queue.AuditEntry) bool { return want.ID == e.ID })
				f.equal("entry", e, log[i])
				seen[e.ID] = true
			}
			f.equal("once each", len(seen), len(log))
		}
	},
	"times bound it": func(f *fixture) {
		log := f.auditLog(5)
		first, last := log[4].At, log[0].At
		in := func(since, until time.Time) (n int) {
			for _, e := range log {
				if !e.At.Before(since) && (until.IsZero() || e.At.Before(until)) {
					n++
				}
			}
			return n
		}
		for _, r := range []queue.AuditRequest{
			{Since: first}, {Since: last}, {Until: last}, {Until: first}, {Since: first, Until: last}, {Since: last.Add(time.Hour)}, {Until: last.Add(time.Hour)},
		} {
			r.Limit = 2
			got, _ := f.readAudit(r)
			f.equal("entries", len(got), in(r.Since, r.Until))
		}
	},
	"an entry that comes later changes no page": func(f *fixture) {
		log := f.auditLog(4)
		page, err := f.store.(queue.AuditReader).ReadAudit(f.ctx, queue.AuditRequest{Limit: 2})
		f.must(err)
		f.auditLog(3)
		rest, _ := f.readAudit(queue.AuditRequest{Limit: 2, After: page.Next})
		f.equal("entries", len(page.Entries)+len(rest), len(log))
	},
	"a bad cursor is invalid": func(f *fixture) {
		_, err := f.store.(queue.AuditReader).ReadAudit(f.ctx, queue.AuditRequest{Limit: 2, After: "x"})
		f.equal("invalid", errors.Is(err, queue.ErrInvalid), true)
	},
	"an empty log": func(f *fixture) {
		got, _ := f.readAudit(queue.AuditRequest{Limit: 2})
		f.equal("entries", len(got), 0)
	},
}
