package admin

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

// How long what the dispatcher's service has said of a queue is shown, how long it may
// take to say it, and of how many queues it is kept.
const (
	keepInspection = 30 * time.Second
	inspectWithin  = 5 * time.Second
	maxInspections = 200
)

// inspections keeps what the dispatchers' services say about queues. Pages never wait for
// them: the first one starts to ask, and a later one shows the answer.
type inspections struct {
	ask func(ctx context.Context, backend, queue string) ([]queue.DispatchQueue, error)

	mu    sync.Mutex
	known map[inspectedQueue]*inspection
}

type inspectedQueue struct{ backend, queue string }

// inspection is what is known of one queue.
type inspection struct {
	Backend string
	Queues  []queue.DispatchQueue
	At      time.Time // zero: nothing is known yet
	Asking  bool
}

// look returns what is known of a queue, and asks again if that is old.
func (c *inspections) look(backend, name string, now time.Time) inspection {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := inspectedQueue{backend, name}
	of := c.known[key]
	if of == nil {
		if len(c.known) >= maxInspections {
			clear(c.known) // those that are being asked for are answered to no one
		}
		of = &inspection{Backend: backend}
		c.known[key] = of
	}
	if !of.Asking && now.Sub(of.At) > keepInspection {
		of.Asking = true
		go c.refresh(key, of)
	}
	return *of
}

// refresh asks a service. The page that wanted it may be gone.
func (c *inspections) refresh(key inspectedQueue, of *inspection) {
	ctx, cancel := context.WithTimeout(context.Background(), inspectWithin)
	defer cancel()
	queues, err := c.guarded(ctx, key)
	if err != nil {
		queues = []queue.DispatchQueue{{Name: key.queue, Err: err}}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	of.Queues, of.At, of.Asking = queues, time.Now(), false
}

// guarded asks, and returns a panic of the dispatcher as an error: here it would end the
// process.
func (c *inspections) guarded(ctx context.Context, key inspectedQueue) (queues []queue.DispatchQueue, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the dispatcher panicked: %v", p)
		}
	}()
	return c.ask(ctx, key.backend, key.queue)
}
