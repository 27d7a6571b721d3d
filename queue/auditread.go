package queue

import (
	"context"
	"fmt"
	"time"
)

// AuditReader is an [Operator] that pages its whole audit log, for exports. Its method is
// as safe for concurrent use as those of [Store], and returns the same errors.
type AuditReader interface {
	// ReadAudit returns a page of the entries, the latest first, and by ID those of one
	// moment. ErrInvalid for an After that is no Next.
	ReadAudit(ctx context.Context, r AuditRequest) (AuditPage, error)
}

// AuditRequest requests a page of the audit log.
type AuditRequest struct {
	Since, Until time.Time // entries made at or after, and before; zero: no bound
	After        string    // AuditPage.Next of the page before; empty: from the start
	Limit        int       // entries in the page: 1 to 1000
}

// AuditPage is a page of the audit log.
type AuditPage struct {
	Entries []AuditEntry
	Next    string // After of the next page; empty: this is the last
}

// ReadAudit returns a page of the audit log, the latest entries first. [ErrUnsupported] if
// the store is no [AuditReader], and [ErrInvalid] for a limit out of range or an After
// that is no Next.
func (c *Client) ReadAudit(ctx context.Context, r AuditRequest) (page AuditPage, err error) {
	if err := c.check(); err != nil {
		return page, err
	}
	store, ok := c.cfg.Store.(AuditReader)
	switch {
	case !ok:
		return page, fmt.Errorf("%w: %T does not implement queue.AuditReader", ErrUnsupported, c.cfg.Store)
	case r.Limit < 1 || r.Limit > 1000:
		return page, invalidf("limit must be from 1 to 1000, not %d", r.Limit)
	}
	err = within(ctx, statementTimeout, func(ctx context.Context) (err error) {
		page, err = store.ReadAudit(ctx, r)
		return err
	})
	c.availability.observeRead(err)
	return page, err
}
