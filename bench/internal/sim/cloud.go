package sim

import (
	"math"
	"time"
)

// cloudQueue is a Cloud Tasks queue: a line, a bucket of tokens that fills at its
// rate and holds a fifth of a second, and a bound on what runs at a time.
type cloudQueue struct {
	clock   *clock
	deliver func(*task)
	more    func() *task // the backlog that never ends, if there is one

	rate    float64
	running int
	most    int
	tokens  float64
	filled  time.Duration // when tokens was right
	waking  bool

	line       fifo[*task]
	dispatched int
	used       integral // of running
}

// burst is how much of a second's rate a queue may dispatch at once: what the
// service documents for its max_burst_size.
const burst = 0.2

func (q *cloudQueue) add(t *task) {
	q.line.push(t)
	q.dispatch()
}

func (q *cloudQueue) setRate(rate float64) {
	q.fill()
	q.rate = rate
}

func (q *cloudQueue) fill() {
	q.tokens = min(max(1, q.rate*burst), q.tokens+q.rate*(q.clock.now-q.filled).Seconds())
	q.filled = q.clock.now
}

// dispatch sends off what may go now, and comes back when more may.
func (q *cloudQueue) dispatch() {
	q.fill()
	for q.running < q.most && (q.line.len() > 0 || q.more != nil) {
		if q.tokens < 1 {
			q.wake()
			return
		}
		t, ok := q.line.pop()
		if !ok {
			t = q.more()
		}
		q.tokens--
		q.used.add(q.clock.now, q.running)
		q.running++
		q.dispatched++
		q.deliver(t)
	}
}

// wake comes back when the next token is there.
func (q *cloudQueue) wake() {
	if q.waking {
		return
	}
	q.waking = true
	// Rounded up, or the token might not be there yet.
	q.clock.after(time.Duration(math.Ceil((1-q.tokens)/q.rate*1e9))+1, func() {
		q.waking = false
		q.dispatch()
	})
}

// answered is called when a delivery has its answer.
func (q *cloudQueue) answered() {
	q.used.add(q.clock.now, q.running)
	q.running--
	q.dispatch()
}

// ramp raises the rates of a new group of queues as RampRate says, to what they
// are set to.
func ramp(c *clock, queues []*cloudQueue, most float64) {
	share := RampRate(c.now) / float64(len(queues))
	for _, q := range queues {
		q.setRate(min(most, share))
	}
	if share < most {
		c.after(rampEvery, func() { ramp(c, queues, most) })
	}
}
