package admin

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

// maxListings is how many listings are kept.
const maxListings = 200

// listingBudget is for how long one reading of tasks of all states searches; the next one goes
// on from there.
const listingBudget = time.Second

// listings are short lists that pages show beside other things. A list of what is rare among
// many tasks takes a moment: it is read beside requests, and a page shows what is known.
type listings struct {
	list     func(context.Context, queue.ListRequest) (queue.ListPage, error)
	patience func() time.Duration // how long a page waits

	mu    sync.Mutex
	known map[listing]*listed
}

// listing is what is listed: the latest tasks of a name or a queue.
type listing struct {
	View        queue.View
	Task, Queue string
}

// listed is what is known of a listing.
type listed struct {
	page queue.ListPage
	at   time.Time     // zero: it is unknown
	err  error         // of the last reading; the next page shows it
	done chan struct{} // closed when the reading that is under way has ended; nil: none is
}

// look reads a list again, unless that is under way, and waits for it for what is left of
// the patience of a page that was begun at some time. It returns what is known then, and as of when; zero: nothing is.
func (l *listings) look(ctx context.Context, key listing, limit int, now, begun time.Time) (queue.ListPage, time.Time, error) {
	of, done := l.reading(ctx, key, limit, now)
	patience := time.NewTimer(l.patience() - time.Since(begun))
	defer patience.Stop()
	select {
	case <-done:
	case <-patience.C:
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	err := of.err
	of.err = nil
	if p, ok := errors.AsType[panicked](err); ok {
		panic(p.value) // it ends the request only
	}
	if now.Sub(of.at) > tooOld {
		of.page, of.at = queue.ListPage{}, time.Time{}
	}
	return of.page, of.at, err
}

// reading starts to read a list, unless that is under way.
func (l *listings) reading(ctx context.Context, key listing, limit int, now time.Time) (*listed, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	of := l.known[key]
	if of == nil {
		if len(l.known) >= maxListings {
			clear(l.known) // pages that wait for one have it
		}
		of = &listed{}
		l.known[key] = of
	}
	if of.done == nil {
		of.done = make(chan struct{})
		// Other pages wait for it, or show it later, so it outlives the request.
		r := queue.ListRequest{Selection: queue.Selection{View: key.View, Task: key.Task, Queue: key.Queue}, Limit: limit}
		if key.View == queue.ViewAll { // whether there is any task decides, however old it is
			r.Budget = listingBudget
			if len(of.page.Rows) == 0 {
				r.After = of.page.Next
			}
		}
		go l.read(context.WithoutCancel(ctx), of, r, now)
	}
	return of, of.done
}

// read reads a list.
func (l *listings) read(ctx context.Context, of *listed, r queue.ListRequest, now time.Time) {
	ctx, cancel := context.WithTimeout(ctx, statsTimeout)
	defer cancel()
	started := time.Now()
	page, err := l.guarded(ctx, r)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		of.page, of.at = page, now
	}
	// A process that was frozen meanwhile, as between two requests on Cloud Run, knows nothing
	// of the database.
	if frozen := time.Since(started) > statsTimeout+5*time.Second; !frozen {
		of.err = err
	}
	close(of.done)
	of.done = nil
}

// guarded returns a panic as an error: here it would end the process.
func (l *listings) guarded(ctx context.Context, r queue.ListRequest) (page queue.ListPage, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = panicked{p}
		}
	}()
	return l.list(ctx, r)
}
