package queue

import "sync"

// gang runs functions in goroutines, and keeps those that have become idle as
// long as any other is busy: a new goroutine has to grow its stack for each
// task, which costs more than to run many of them. A gang that nobody uses has
// no goroutine. The zero gang is ready for use.
type gang struct {
	mu   sync.Mutex
	busy int
	idle []chan func()
}

// run calls f in a goroutine.
func (g *gang) run(f func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.busy++
	if last := len(g.idle) - 1; last >= 0 {
		next := g.idle[last]
		g.idle = g.idle[:last]
		next <- f // it has room for one
		return
	}
	go g.member(f)
}

// member calls functions, one after the other, until the gang disbands.
func (g *gang) member(f func()) {
	next := make(chan func(), 1)
	for ok := true; ok; f, ok = <-next {
		g.call(f, next)
	}
}

// call calls f and then waits for more in next; but not if f ends the goroutine.
func (g *gang) call(f func(), next chan func()) {
	returned := false
	defer func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.busy--
		if returned {
			g.idle = append(g.idle, next)
		}
		if g.busy == 0 {
			for _, next := range g.idle {
				close(next)
			}
			g.idle = nil
		}
	}()
	f()
	returned = true
}
