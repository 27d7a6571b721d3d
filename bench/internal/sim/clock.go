package sim

import "time"

// clock is the time of a simulation, and what is going to happen.
type clock struct {
	now    time.Duration
	events []event // a binary heap, the next event first
	count  uint64
}

// event is something that happens at a time. Of those at the same time the one
// that was planned first happens first, so that a run can be repeated.
type event struct {
	at    time.Duration
	order uint64
	do    func()
}

func (e event) before(other event) bool {
	return e.at < other.at || e.at == other.at && e.order < other.order
}

// after plans do for d from now.
func (c *clock) after(d time.Duration, do func()) {
	c.count++
	e := event{c.now + max(d, 0), c.count, do}
	c.events = append(c.events, e)
	i := len(c.events) - 1
	for i > 0 {
		parent := (i - 1) / 2
		if !e.before(c.events[parent]) {
			break
		}
		c.events[i] = c.events[parent]
		i = parent
	}
	c.events[i] = e
}

// run lets everything happen that is planned until then.
func (c *clock) run(until time.Duration) {
	for len(c.events) > 0 && c.events[0].at <= until {
		e := c.pop()
		c.now = e.at
		e.do()
	}
	c.now = until
}

func (c *clock) pop() event {
	first := c.events[0]
	last := len(c.events) - 1
	e := c.events[last]
	c.events[last] = event{}
	c.events = c.events[:last]
	i := 0
	for child := 1; child < last; child = 2*i + 1 {
		if child+1 < last && c.events[child+1].before(c.events[child]) {
			child++
		}
		if !c.events[child].before(e) {
			break
		}
		c.events[i] = c.events[child]
		i = child
	}
	if last > 0 {
		c.events[i] = e
	}
	return first
}
