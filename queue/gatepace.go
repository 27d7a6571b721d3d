package queue

import (
	"context"
	"math"
	"sync"
	"time"
)

// firstPace is for how much time at once a process makes rows of a resumed queue
// claimable, if it has not done so before: sweepers come once a minute.
const firstPace = time.Minute

// paces are when this process last made rows of resumed queues claimable whose rate has a
// limit. Their tickets come no faster than that rate allows.
type paces struct {
	mu   sync.Mutex
	last map[string]time.Time
}

// gateBudget returns how many rows of a gate may be changed now: any number, unless they
// are rows of a resumed queue whose starts are limited. No more are made claimable than
// may start in the time since the last ones; the others would only be refused.
func (c *Client) gateBudget(ctx context.Context, g Gate) int {
	if g.Paused() || c.limiter() == nil {
		return math.MaxInt
	}
	limits, err := c.Limits(ctx)
	if err != nil {
		return math.MaxInt // the store's next error is reported
	}
	for _, l := range limits {
		if l.Kind == LimitQueue && l.Name == g.Queue && l.Starts > 0 {
			return c.paces.budget(l, time.Now())
		}
	}
	return math.MaxInt
}

func (p *paces) budget(l Limit, now time.Time) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	longest := max(l.Per, firstPace)
	since := longest
	if last, known := p.last[l.Name]; known {
		since = min(now.Sub(last), longest)
	}
	n := int(float64(l.Starts) * float64(since) / float64(l.Per))
	if n > 0 {
		if p.last == nil {
			p.last = make(map[string]time.Time)
		}
		p.last[l.Name] = now
	}
	return n
}
