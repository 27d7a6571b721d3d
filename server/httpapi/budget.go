package httpapi

import (
	"context"
	"net/http"
	"time"

	"golang.org/x/sync/semaphore"
)

// Limits of the bodies that are read before their sender is authenticated.
const (
	largeBodies = 12 << 20 // bytes of all bodies larger than smallBody
	smallBodies = 4 << 20  // reserved for smaller ones, which large ones must not keep out
	smallBody   = 64 << 10
	budgetWait  = 2 * time.Second
)

// bodyBudget bounds the memory of all such bodies together. It is safe for
// concurrent use.
type bodyBudget struct {
	all, large *semaphore.Weighted
	most       int64 // memory of one body
}

// newBodyBudget returns a budget for bodies of at most maxBody bytes; at least one
// fits.
func newBodyBudget(maxBody int64) *bodyBudget {
	most := 2 * (maxBody + 1) // one of unknown length is copied as it grows
	large := max(largeBodies, most)
	return &bodyBudget{all: semaphore.NewWeighted(large + smallBodies), large: semaphore.NewWeighted(large), most: most}
}

// acquire reserves the memory of a body, whose length is -1 if it was not announced,
// and waits up to budgetWait for it. The error is an [*authError] with 429.
func (b *bodyBudget) acquire(ctx context.Context, length int64) (release func(), err error) {
	if length == 0 {
		return func() {}, nil
	}
	if length < 0 {
		length = b.most
	}
	ctx, cancel := context.WithTimeout(ctx, budgetWait)
	defer cancel()
	isLarge := length > smallBody
	if isLarge {
		if err := b.large.Acquire(ctx, length); err != nil {
			return nil, errBudget
		}
	}
	if err := b.all.Acquire(ctx, length); err != nil {
		if isLarge {
			b.large.Release(length)
		}
		return nil, errBudget
	}
	return func() {
		b.all.Release(length)
		if isLarge {
			b.large.Release(length)
		}
	}, nil
}

var errBudget = &authError{http.StatusTooManyRequests, "too many signed requests are being read: retry in a moment"}
