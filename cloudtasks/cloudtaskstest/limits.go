package cloudtaskstest

import (
	"math"
	"time"

	"cloud.google.com/go/cloudtasks/apiv2/cloudtaskspb"
	"golang.org/x/time/rate"
)

// limits is a queue's token bucket, and how far the service has slowed the
// queue down by itself.
type limits struct {
	bucket   *rate.Limiter
	settings *cloudtaskspb.RateLimits
	factor   float64 // of the configured rate: 1 is full speed
}

// slowest is the smallest share of its configured rate that a queue is slowed
// down to.
const slowest = 1.0 / 64

// newLimits returns limits whose bucket is full.
func newLimits(settings *cloudtaskspb.RateLimits) limits {
	return limits{
		bucket:   rate.NewLimiter(rate.Limit(settings.GetMaxDispatchesPerSecond()), int(settings.GetMaxBurstSize())),
		settings: settings,
		factor:   1,
	}
}

// set takes over new settings.
func (l *limits) set(now time.Time, settings *cloudtaskspb.RateLimits) {
	l.settings = settings
	l.bucket.SetLimitAt(now, rate.Limit(settings.GetMaxDispatchesPerSecond()*l.factor))
	l.bucket.SetBurstAt(now, max(1, int(float64(settings.GetMaxBurstSize())*l.factor)))
}

// take takes a token, or says how long it is until there is one.
func (l *limits) take(now time.Time) time.Duration {
	if l.bucket.AllowN(now, 1) {
		return 0
	}
	seconds := (1 - l.bucket.TokensAt(now)) / float64(l.bucket.Limit())
	return time.Duration(math.Ceil(seconds*1e6))*time.Microsecond + time.Microsecond
}

// answered adjusts the queue's speed to an answer. The service slows a queue
// down on 429 and 503 (App Engine: 503 only) and on many errors, and speeds it
// up again.
//
// Assumed: by half at each such answer, and back by twice at each success;
// other errors leave the speed alone.
func (l *limits) answered(now time.Time, slowDown, ok bool) {
	switch {
	case slowDown:
		l.factor = max(slowest, l.factor/2)
	case ok && l.factor < 1:
		l.factor = min(1, l.factor*2)
	default:
		return
	}
	l.set(now, l.settings)
}
