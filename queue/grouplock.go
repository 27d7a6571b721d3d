package queue

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/google/uuid"
)

// The end of a group may find the group locked: a caller's transaction adds tasks to it, or
// closes it. Neither the end of a task nor a promotion waits for that, because tasks of
// other groups, and of none, would wait with it: the group is remembered, and looked at
// again beside all else until its lock is gone. What a process that ends has remembered is
// left to promotions and sweeps.

const (
	// endPatience is after which time a lock is logged, and for how long a worker that has
	// nothing left to run waits for one that it has met: most last for milliseconds.
	endPatience = time.Second
	// A locked group is looked at again after a twentieth of the time for which it has been
	// locked, within these.
	firstLockPause   = 20 * time.Millisecond
	longestLockPause = dueInterval
	// mostLocked is how many locked groups a process remembers.
	mostLocked = 1000
)

// lockedGroups are the groups of a process whose ends wait for locks.
type lockedGroups struct {
	mu     sync.Mutex
	groups map[uuid.UUID]*lockedGroup
	looks  bool          // a goroutine looks at them
	full   bool          // there were more than mostLocked, which was logged
	added  chan struct{} // receives a value when a group is added
	looked chan struct{} // closed after the next look; nil: nobody waits for it
}

// lockedGroup is one of them.
type lockedGroup struct {
	since, next time.Time
	awaited     bool // a task of this process has ended
	ended       bool // one has since the last look began
	logged      bool
}

// ended reports whether the group is remembered: a later look then sees what has just
// ended.
func (l *lockedGroups) ended(id uuid.UUID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := l.groups[id]
	if g == nil {
		return false
	}
	g.ended, g.awaited = true, true
	return true
}

// add remembers a group. start: the caller is to start a goroutine that looks at it. full:
// it is the first one for which there is no room.
func (l *lockedGroups) add(id uuid.UUID, awaited bool) (start, full bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if g := l.groups[id]; g != nil {
		g.awaited = g.awaited || awaited
		return false, false
	}
	if len(l.groups) == mostLocked {
		full, l.full = !l.full, true
		return false, full
	}
	if l.groups == nil {
		l.groups, l.added = make(map[uuid.UUID]*lockedGroup), make(chan struct{}, 1)
	}
	now := time.Now()
	l.groups[id] = &lockedGroup{since: now, next: now.Add(firstLockPause), awaited: awaited}
	select {
	case l.added <- struct{}{}:
	default:
	}
	start, l.looks = !l.looks, true
	return start, false
}

// due returns the groups that are to be looked at now, or else how long that is. none: no
// group is left, and the caller no longer looks at them.
func (l *lockedGroups) due() (ids []uuid.UUID, wait time.Duration, none bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.groups) == 0 {
		l.looks, l.full = false, false
		return nil, 0, true
	}
	wait = longestLockPause
	for id, g := range l.groups {
		if until := time.Until(g.next); until > 0 {
			wait = min(wait, until)
			continue
		}
		g.ended = false
		ids = append(ids, id)
	}
	return ids, wait, false
}

// lookedAt records the end of a look at a group. It returns for how long the group has been
// locked if that is news: because it is for endPatience, or is no more after that was
// logged.
func (l *lockedGroups) lookedAt(id uuid.UUID, err error) (locked time.Duration, news bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.looked != nil {
		close(l.looked)
		l.looked = nil
	}
	g := l.groups[id]
	now := time.Now()
	locked = now.Sub(g.since)
	switch {
	case errors.Is(err, ErrLocked):
		g.next = now.Add(min(max(locked/20, firstLockPause), longestLockPause))
		news = !g.logged && locked >= endPatience
		g.logged = g.logged || news
	case err == nil && g.ended:
		g.next = now
	default:
		delete(l.groups, id)
		news = err == nil && g.logged
	}
	return locked, news
}

// awaited returns a channel that is closed after the next look if a group in which a task
// of this process has ended is locked for less than endPatience; nil: there is none.
func (l *lockedGroups) awaited() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, g := range l.groups {
		if g.awaited && !g.logged {
			if l.looked == nil {
				l.looked = make(chan struct{})
			}
			return l.looked
		}
	}
	return nil
}

// endsLater leaves the end of a locked group to later looks. awaited: a task of this
// process has ended.
func (c *Client) endsLater(id uuid.UUID, awaited bool) {
	start, full := c.groups.locked.add(id, awaited)
	if full {
		c.cfg.Logger.Warn("more groups are locked by other transactions than are remembered; the ends of the others are left to the looks of workers and to sweeps",
			"remembered", mostLocked, "group_id", id)
	}
	if start {
		go c.completeLocked()
	}
}

// completeLocked looks at the groups that are remembered until none is left. It uses at
// most a tenth of the time of one connection.
func (c *Client) completeLocked() {
	l := &c.groups.locked
	for {
		ids, wait, none := l.due()
		if none {
			return
		}
		if len(ids) == 0 {
			select {
			case <-time.After(wait):
			case <-l.added:
			}
			continue
		}
		began := time.Now()
		for _, id := range ids {
			c.completeOneLocked(id)
		}
		time.Sleep(min(9*time.Since(began), longestLockPause))
	}
}

func (c *Client) completeOneLocked(id uuid.UUID) {
	enqueued, err := c.lookAtGroup(context.Background(), id)
	if enqueued > 0 {
		c.groups.enqueuedBeside(enqueued)
		c.ticker.wake()
	}
	locked, news := c.groups.locked.lookedAt(id, err)
	after := locked.Round(time.Millisecond).String()
	switch {
	case news && err != nil:
		c.cfg.Logger.Warn("the end of a group waits for another transaction, which has locked the group", "group_id", id, "for", after)
	case news:
		c.cfg.Logger.Info("the end of a group was handled, which another transaction had locked", "group_id", id, "after", after)
	}
}
