// Package rowlock retries calls of a store that met a row which another
// transaction has locked. The stores never wait for such a row inside the
// database, where the wait would hold a connection; they skip it, and try again
// from here.
package rowlock

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

// How long a call is retried. A claim is answered soon, since its caller is a
// delivery that comes again; a person who cancels a task waits a little longer.
const (
	Claim  = time.Second
	Finish = time.Second
	Cancel = 2 * time.Second
)

// RetryAfter is the wait that is suggested to a caller whose claim met a locked
// row.
const RetryAfter = time.Second

const (
	firstPause   = 5 * time.Millisecond
	longestPause = 200 * time.Millisecond
)

// Retry calls try until its error is not [queue.ErrLocked], patience is over, or
// ctx ends. It returns the last error.
func Retry(ctx context.Context, patience time.Duration, try func() error) error {
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
