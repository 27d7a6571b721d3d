package queue

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"
)

// lostClaim is a claim that may have been made although its answer did not
// arrive. No goroutine of this process runs what it claimed, so the claims are undone.
type lostClaim struct {
	sent  time.Time // the request, the last one if it was repeated
	claim Claim     // of a row known by its ID, or else
	fence uuid.UUID // of a pull,
	known []Claim   // of which these were answered
}

// lostBudget is how long lost claims are looked for in vain.
const lostBudget = 10 * time.Minute

// effectUnknown reports whether a claim that ended with err may have been made.
func effectUnknown(err error) bool {
	if err == nil {
		return false
	}
	for _, certain := range []error{ErrNoEffect, ErrNotFound, ErrSchema, ErrClosed, ErrInvalid} {
		if errors.Is(err, certain) {
			return false
		}
	}
	var refused *NotClaimedError
	return !errors.As(err, &refused)
}

// recoverLater gives back what a claim has claimed, in the background: until the
// database has answered, and until the request can no longer be on its way. The
// executor is drained when that is over. All lost claims share one goroutine, and
// with that one connection.
func (e *Executor) recoverLater(l lostClaim) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.lostClaims = append(e.lostClaims, &l)
	if len(e.lostClaims) == 1 {
		go e.recoverAll()
	}
}

func (e *Executor) recoverAll() {
	const shortest, longest = 50 * time.Millisecond, time.Second
	for pause := shortest; ; pause = min(2*pause, longest) {
		last := false
		select {
		case <-e.hurry:
			last = true
		default:
		}
		e.mu.Lock()
		lost := slices.Clone(e.lostClaims)
		e.mu.Unlock()
		over := make(map[*lostClaim]bool)
		for _, l := range lost {
			over[l] = e.unclaimLost(l) || last
		}
		e.mu.Lock()
		e.lostClaims = slices.DeleteFunc(e.lostClaims, func(l *lostClaim) bool { return over[l] })
		ended := len(e.lostClaims) == 0
		e.mu.Unlock()
		if ended {
			return
		}
		select {
		case <-e.hurry:
		case <-time.After(pause):
		}
	}
}

// unclaimLost looks for a lost claim once, and reports whether it need not be
// looked for again.
func (e *Executor) unclaimLost(l *lostClaim) (over bool) {
	began := time.Now()
	claims := []Claim{l.claim}
	err := within(context.Background(), statementTimeout, func(ctx context.Context) (err error) {
		if l.fence != uuid.Nil {
			claims, err = e.store.Claimed(ctx, l.fence)
			claims = slices.DeleteFunc(claims, func(c Claim) bool { return slices.Contains(l.known, c) })
		}
		if err == nil && len(claims) > 0 {
			err = e.store.Unclaim(ctx, claims...)
		}
		return err
	})
	switch {
	case err != nil && time.Since(l.sent) > lostBudget:
		e.log.Error("a claim whose answer was lost could not be given back; what it holds expires with its lease", "task_id", l.claim.ID, "error", err)
		return true
	case err != nil:
		return false
	case l.fence != uuid.Nil && len(claims) > 0:
		e.log.Warn("tasks were claimed, but the answer was lost; given back", "tasks", len(claims))
		e.client.wake(context.Background())
		return true
	}
	return began.Sub(l.sent) >= statementTimeout
}
