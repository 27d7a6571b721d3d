package queue

import (
	"errors"
	"log/slog"
	"sync"
	"time"
)

// outage says once that the database has gone, and once that it is back,
// however many calls fail in between.
type outage struct {
	log   *slog.Logger
	mu    sync.Mutex
	since time.Time // zero while all is well
}

// observe takes note of how one call to the store ended.
func (o *outage) observe(err error) {
	down := errors.Is(err, ErrUnavailable)
	if err != nil && !down {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case down && o.since.IsZero():
		o.since = time.Now()
		o.log.Error("database unavailable; trying on", "error", err)
	case !down && !o.since.IsZero():
		o.log.Info("database is back", "after", time.Since(o.since).Round(time.Millisecond).String())
		o.since = time.Time{}
	}
}
