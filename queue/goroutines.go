package queue

import "sync"

// goroutines runs functions on goroutines that live on afterwards and run others: a
// fresh goroutine for each task grows its stack for each task. A function that does
// not return keeps its goroutine, and one that ends it (runtime.Goexit) costs no
// other function its turn. The zero value is ready; it is safe for concurrent use.
type goroutines struct {
	mu   sync.Mutex
	keep bool          // else a goroutine ends when it has nothing to run
	idle []chan func() // of goroutines that wait; closed to end them
}

// run calls f on another goroutine. It does not block.
func (g *goroutines) run(f func()) {
	g.mu.Lock()
	last := len(g.idle) - 1
	if last < 0 {
		g.mu.Unlock()
		go g.live(f)
		return
	}
	next := g.idle[last]
	g.idle = g.idle[:last]
	g.mu.Unlock()
	next <- f
}

// live calls f, and then what run sends.
func (g *goroutines) live(f func()) {
	next := make(chan func(), 1)
	for more := true; more; {
		f()
		f = nil // an idle goroutine does not keep what it refers to
		if more = g.park(next); more {
			f, more = <-next
		}
	}
}

// park reports whether an idle goroutine is to wait for more.
func (g *goroutines) park(next chan func()) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.keep {
		g.idle = append(g.idle, next)
	}
	return g.keep
}

// keepIdle keeps idle goroutines from now on, or ends them: an executor that nobody
// uses any more has none.
func (g *goroutines) keepIdle(keep bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.keep = keep; keep {
		return
	}
	for _, next := range g.idle {
		close(next)
	}
	g.idle = nil
}
