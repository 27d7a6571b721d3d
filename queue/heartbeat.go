package queue

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// heartbeater renews the leases of all claims that a process holds, with one
// statement at each third of the lease while there are any. When a claim turns
// out to be lost, or could not be renewed until its lease expired, the context of
// its function is cancelled with ErrLeaseLost.
type heartbeater struct {
	store        Store
	reporter     Reporter // the store, if it is one
	lease        time.Duration
	log          *slog.Logger
	availability *availability

	mu       sync.Mutex
	leases   map[Claim]*lease
	renewing bool // renew is scheduled or under way
	expiring bool // expire is scheduled
}

// lease is the heartbeater's view of one claim.
type lease struct {
	lost      context.CancelCauseFunc
	expiresAt time.Time // by this process's monotonic clock, from before the renewal was sent
	failure   string    // why the last renewal did not renew it; empty: it did, or none was answered yet
	reports   *atomic.Pointer[reporting]
}

// sentReport is a report that a renewal carries.
type sentReport struct {
	reporting *reporting
	version   int
}

// add begins to renew a claim whose lease began no earlier than since; l is for its
// own use until remove. reports has what the function reports, once it does.
func (h *heartbeater) add(c Claim, l *lease, since time.Time, lost context.CancelCauseFunc, reports *atomic.Pointer[reporting]) {
	h.mu.Lock()
	defer h.mu.Unlock()
	*l = lease{lost: lost, expiresAt: since.Add(h.lease), reports: reports}
	h.leases[c] = l
	if !h.renewing {
		h.renewing = true
		time.AfterFunc(h.lease/3, h.renew)
	}
	if !h.expiring {
		h.expiring = true
		time.AfterFunc(h.lease, h.expire)
	}
}

// remove stops renewing a claim.
func (h *heartbeater) remove(c Claim) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.leases, c)
}

// pending returns what the functions have reported since it was last stored. h.mu is
// held.
func (h *heartbeater) pending() (reports map[Claim]Report, sent map[Claim]sentReport) {
	if h.reporter == nil {
		return nil, nil
	}
	for c, l := range h.leases {
		reporting := l.reports.Load()
		if reporting == nil {
			continue
		}
		report, version, pending := reporting.pending()
		if !pending {
			continue
		}
		if reports == nil {
			reports, sent = make(map[Claim]Report), make(map[Claim]sentReport)
		}
		reports[c], sent[c] = report, sentReport{reporting, version}
	}
	return reports, sent
}

// renew renews all claims, and schedules itself again while there are any.
func (h *heartbeater) renew() {
	h.mu.Lock()
	claims := make([]Claim, 0, len(h.leases))
	for c := range h.leases {
		claims = append(claims, c)
	}
	if len(claims) == 0 {
		h.renewing = false
		h.mu.Unlock()
		return
	}
	reports, carried := h.pending()
	h.mu.Unlock()

	sent := time.Now()
	var renewed, lost []Claim
	err := within(context.Background(), h.lease/3, func(ctx context.Context) (err error) {
		if len(reports) > 0 {
			renewed, lost, err = h.reporter.HeartbeatReports(ctx, h.lease, reports, claims...)
		} else {
			renewed, lost, err = h.store.Heartbeat(ctx, h.lease, claims...)
		}
		return err
	})
	for _, c := range renewed {
		if report, ok := carried[c]; ok {
			report.reporting.saved(report.version)
		}
	}
	h.availability.observe(err)
	h.recordRenewal(claims, renewed, lost, sent, err)
	time.AfterFunc(max(h.lease/3-time.Since(sent), h.lease/10), h.renew)
}

// recordRenewal records how a renewal of claims ended, and cancels the functions whose
// claims are lost.
func (h *heartbeater) recordRenewal(claims, renewed, lost []Claim, sent time.Time, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	failure := "its row stayed locked" // a claim that is neither renewed nor lost
	if err != nil {
		failure = err.Error()
	}
	for _, c := range claims {
		if l := h.leases[c]; l != nil {
			l.failure = failure
		}
	}
	for _, c := range renewed {
		if l := h.leases[c]; l != nil {
			l.expiresAt, l.failure = sent.Add(h.lease), ""
		}
	}
	for _, c := range lost {
		if l := h.leases[c]; l != nil {
			l.lost(ErrLeaseLost)
			delete(h.leases, c)
		}
	}
}

// errNotRenewed is why a lease expired of which no renewal was answered in its time.
const errNotRenewed = "no renewal was answered in time: this process was stopped or had no CPU, or the database did not answer"

// expire cancels the functions whose leases have expired without a renewal, and
// schedules itself for the next expiry while there are any. It runs apart from
// renew, which may be waiting for an answer.
func (h *heartbeater) expire() {
	h.mu.Lock()
	defer h.mu.Unlock()
	next := h.lease
	for c, l := range h.leases {
		if left := time.Until(l.expiresAt); left > 0 {
			next = min(next, left)
			continue
		}
		h.log.Warn("lease expired: it could not be renewed", "task_id", c.ID, "error", cmp.Or(l.failure, errNotRenewed))
		l.lost(ErrLeaseLost)
		delete(h.leases, c)
	}
	if h.expiring = len(h.leases) > 0; h.expiring {
		time.AfterFunc(next, h.expire)
	}
}
