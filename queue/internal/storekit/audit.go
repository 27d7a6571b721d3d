package storekit

import "github.com/claimcheck-go/claimcheck/queue"

// AuditPage returns the page of up to limit entries, one of which more were read.
func AuditPage(entries []queue.AuditEntry, limit int) queue.AuditPage {
	page := queue.AuditPage{Entries: entries}
	if len(entries) > limit {
		page.Entries = entries[:limit]
		last := entries[limit-1]
		page.Next = queue.Cursor{ID: last.ID, At: last.At}.String()
	}
	return page
}
