package queue

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// heart renews the leases of all claims that a process holds, with one
// statement at each third of the lease while there are any. A claim that turns
// out lost, or that could not be renewed until its lease was over, has its
// function's context cancelled with ErrLeaseLost.
type heartbeater struct {
	store        Store
	lease        time.Duration
	log          *slog.Logger
	availability *availability

	mu          sync.Mutex
	claims      map[Claim]*lease
	renewing    bool
	expiring    bool
	lastFailure string // the last renewal did not renew all
}

// pulse is what the heart knows of one claim.
type lease struct {
	lost  context.CancelCauseFunc
	until time.Time // by this process's monotonic clock, from before the renewal was sent
}

// add begins to renew a claim whose lease began no earlier than since.
func (h *heartbeater) add(c Claim, since time.Time, lost context.CancelCauseFunc) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.claims[c] = &lease{lost: lost, until: since.Add(h.lease)}
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
	delete(h.claims, c)
}

// beat renews all claims, and comes again while there are any.
func (h *heartbeater) renew() {
	h.mu.Lock()
	claims := make([]Claim, 0, len(h.claims))
	for c := range h.claims {
		claims = append(claims, c)
	}
	if len(claims) == 0 {
		h.renewing = false
		h.mu.Unlock()
		return
	}
	h.mu.Unlock()

	sent := time.Now()
	var renewed, lost []Claim
	err := within(context.Background(), h.lease/3, func(ctx context.Context) (err error) {
		renewed, lost, err = h.store.Heartbeat(ctx, h.lease, claims...)
		return err
	})
	h.availability.observe(err)
	h.recordRenewal(renewed, lost, sent, err)
	time.AfterFunc(max(h.lease/3-time.Since(sent), h.lease/10), h.renew)
}

// note keeps how a renewal ended, and tells those that have lost their claims.
func (h *heartbeater) recordRenewal(renewed, lost []Claim, sent time.Time, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range renewed {
		if p := h.claims[c]; p != nil {
			p.until = sent.Add(h.lease)
		}
	}
	for _, c := range lost {
		if p := h.claims[c]; p != nil {
			p.lost(ErrLeaseLost)
			delete(h.claims, c)
		}
	}
	h.lastFailure = "its row stayed locked"
	if err != nil {
		h.lastFailure = err.Error()
	}
}

// watch tells those whose leases are over without having been renewed, and comes
// again when the next one is, while there are any. It does so apart from beat,
// which may be waiting for an answer.
func (h *heartbeater) expire() {
	h.mu.Lock()
	defer h.mu.Unlock()
	next := h.lease
	for c, p := range h.claims {
		if left := time.Until(p.until); left > 0 {
			next = min(next, left)
			continue
		}
		h.log.Warn("lease ran out: it could not be renewed", "task_id", c.ID, "error", h.lastFailure)
		p.lost(ErrLeaseLost)
		delete(h.claims, c)
	}
	if h.expiring = len(h.claims) > 0; h.expiring {
		time.AfterFunc(next, h.expire)
	}
}
