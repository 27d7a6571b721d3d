package storekit

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

// The stores never wait inside the database for a row that another transaction has
// locked, because the wait would hold a connection: they skip it, and retry from
// here.

// How long a call is retried while its row is locked. A claim is answered soon,
// because a delivery is repeated; an operator who cancels a task waits longer.
const (
	ClaimPatience  = time.Second
	FinishPatience = time.Second
	CancelPatience = 2 * time.Second
)

// LockedRetryAfter is the wait that is suggested to a caller whose claim met a
// locked row.
const LockedRetryAfter = time.Second

const (
	firstPause   = 5 * time.Millisecond
	longestPause = 200 * time.Millisecond
)

// RetryLocked calls try until its error is not [queue.ErrLocked], patience is over, or
// ctx ends. It returns the last error.
func RetryLocked(ctx context.Context, patience time.Duration, try func() error) error {
	giveUp := time.Now().Add(patience)
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		err := try()
		wait := pause/2 + rand.N(pause)
		if !errors.Is(err, queue.ErrLocked) || time.Now().Add(wait).After(giveUp) {
			return err
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}
