package sim

import "time"

// station is something of which there are so many, such as connections or CPUs,
// and a line of the requests for one, first come first served.
type station struct {
	clock   *clock
	servers int
	busy    int
	line    fifo[func()]
	used    integral // of busy
}

func newStation(c *clock, servers int) *station { return &station{clock: c, servers: servers} }

// acquire calls then as soon as there is a free one; release gives it back.
func (s *station) acquire(then func()) {
	if s.busy == s.servers {
		s.line.push(then)
		return
	}
	s.used.add(s.clock.now, s.busy)
	s.busy++
	then()
}

func (s *station) release() {
	if next, ok := s.line.pop(); ok {
		next()
		return
	}
	s.used.add(s.clock.now, s.busy)
	s.busy--
}

// serve keeps one busy for a time, and then continues.
func (s *station) serve(d time.Duration, then func()) {
	if d == 0 {
		then()
		return
	}
	s.acquire(func() {
		s.clock.after(d, func() {
			s.release()
			then()
		})
	})
}

// meanBusy is how many were busy since the measurement began.
func (s *station) meanBusy() float64 { return s.used.mean(s.clock.now, s.busy) }

// integral adds up a number over time.
type integral struct {
	from, last time.Duration
	sum        float64
}

// add says that the number has been n until now.
func (i *integral) add(now time.Duration, n int) {
	i.sum += float64(n) * (now - i.last).Seconds()
	i.last = now
}

// reset begins anew.
func (i *integral) reset(now time.Duration) { *i = integral{from: now, last: now} }

// mean is the mean since the beginning; the number is n now.
func (i *integral) mean(now time.Duration, n int) float64 {
	i.add(now, n)
	if now == i.from {
		return 0
	}
	return i.sum / (now - i.from).Seconds()
}

// fifo is a line.
type fifo[T any] struct {
	items []T
	head  int
}

func (f *fifo[T]) push(item T) { f.items = append(f.items, item) }

func (f *fifo[T]) len() int { return len(f.items) - f.head }

func (f *fifo[T]) pop() (item T, ok bool) {
	if f.head == len(f.items) {
		return item, false
	}
	var none T
	item, f.items[f.head] = f.items[f.head], none
	if f.head++; f.head > 1024 && f.head*2 > len(f.items) {
		f.items = append(f.items[:0], f.items[f.head:]...)
		f.head = 0
	}
	return item, true
}
