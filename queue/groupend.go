package queue

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/google/uuid"
)

// When a task of a group has ended, the process that has ended it looks whether the group
// is complete. Whichever of several looks after the last commit finds that, and the row of
// the group makes only one of them enqueue. A process that dies in between leaves it to the
// next promotion or sweep: [PromoteResult].Groups reports groups that are not complete.
// Promotions start that in the background, because claims of other tasks must not wait.

// dueGroups is how many groups a promotion or a sweep completes at a time, and groupSweep
// for how long.
const (
	dueGroups  = 100
	groupSweep = 10 * time.Second
)

// dueInterval is the least time between two promotions of a process that look for groups
// whose end no process has handled: that reads all groups that have not succeeded. Sweeps
// always look.
const dueInterval = 15 * time.Second

// beginDue reports whether a promotion is to look for such groups, which it then must end
// with endDue. ended says that it has ended tasks.
func (g *groupChecks) beginDue(ended bool) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.looking != nil || !ended && !g.looked.IsZero() && time.Since(g.looked) < dueInterval {
		return false
	}
	g.looked, g.looking = time.Now(), make(chan struct{})
	return true
}

func (g *groupChecks) endDue(enqueued int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.looking)
	g.looking = nil
	g.enqueued += enqueued
}

// enqueuedBeside counts tasks that a look at a locked group has enqueued.
func (g *groupChecks) enqueuedBeside(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.enqueued += n
}

// due returns how many tasks such looks have enqueued, and a channel that is closed when
// the one under way ends; nil if there is none.
func (g *groupChecks) due() (enqueued int, looking <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.enqueued, g.looking
}

// groupChecks lets the ends of tasks of one group that come at once share a look at it.
type groupChecks struct {
	mu       sync.Mutex
	looked   time.Time                   // when a promotion last looked for groups that are due
	looking  chan struct{}               // closed when that ends; nil: no promotion looks
	enqueued int                         // tasks, by such looks and those at locked groups
	locked   lockedGroups                // has a mutex of its own
	kept     groupUpkeep                 // of sweeps
	under    map[uuid.UUID]chan struct{} // the groups that are being looked at; a caller that needs the next look waits for the channel, which may be nil
}

// begin returns nil if the caller is to look at the group, and otherwise a channel that is
// closed after a look that began later than this call.
func (g *groupChecks) begin(id uuid.UUID) <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	next, busy := g.under[id]
	if !busy {
		if g.under == nil {
			g.under = make(map[uuid.UUID]chan struct{})
		}
		g.under[id] = nil
		return nil
	}
	if next == nil {
		next = make(chan struct{})
		g.under[id] = next
	}
	return next
}

// next ends a look, and returns the channel of those that wait for another one; nil if
// there are none.
func (g *groupChecks) next(id uuid.UUID) chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	waiting := g.under[id]
	if waiting == nil {
		delete(g.under, id)
	} else {
		g.under[id] = nil
	}
	return waiting
}

// memberEnded completes the group of a row, if it has one and the row has ended.
func (c *Client) memberEnded(ctx context.Context, row *Row) {
	if row != nil && row.Group != uuid.Nil && row.Status.Final() && !c.groups.locked.ended(row.Group) {
		c.completeGroup(ctx, row.Group)
	}
}

// membersEnded is memberEnded of many rows, all of which have ended or were deleted.
func (c *Client) membersEnded(ctx context.Context, rows []*Row) {
	seen := make(map[uuid.UUID]bool)
	for _, row := range rows {
		if row.Group != uuid.Nil && !seen[row.Group] {
			seen[row.Group] = true
			if !c.groups.locked.ended(row.Group) {
				c.completeGroup(ctx, row.Group)
			}
		}
	}
}

// completeGroup enqueues what is due of a group, unless the group is locked: then a later
// look does it. Errors are logged: the sweeper does it later.
func (c *Client) completeGroup(ctx context.Context, id uuid.UUID) {
	if looked := c.groups.begin(id); looked != nil {
		<-looked
		return
	}
	c.completeNow(ctx, id, true)
	if waiting := c.groups.next(id); waiting != nil {
		go func() { // the caller does not wait for what came later
			for ; waiting != nil; waiting = c.groups.next(id) {
				c.completeNow(ctx, id, true)
				close(waiting)
			}
		}()
	}
}

// completeNow enqueues what is due of a group, and returns how many tasks that are. A
// locked group is left to later looks; awaited: a task of this process has ended.
func (c *Client) completeNow(ctx context.Context, id uuid.UUID, awaited bool) int {
	enqueued, err := c.lookAtGroup(ctx, id)
	if errors.Is(err, ErrLocked) {
		c.endsLater(id, awaited)
	}
	return enqueued
}

// lookAtGroup enqueues what is due of a group, and returns how many tasks that are. It logs
// errors, but [ErrLocked].
func (c *Client) lookAtGroup(ctx context.Context, id uuid.UUID) (int, error) {
	store, err := c.grouper()
	if err != nil {
		return 0, err
	}
	ctx = context.WithoutCancel(ctx)
	var rows []*NewRow
	err = within(ctx, statementTimeout, func(ctx context.Context) (err error) {
		rows, err = store.CompleteGroup(ctx, id, func(row *NewRow) { row.WillDispatch = c.willDispatch(row.Backend, 0) })
		return err
	})
	c.availability.observe(err)
	if err != nil {
		if !errors.Is(err, ErrUnavailable) { // availability logs that; ErrLocked is one
			c.cfg.Logger.Error("the end of a group could not be handled; the next sweep does it", "group_id", id, "error", err)
		}
		return 0, err
	}
	handles := make([]*Handle, len(rows))
	for i, row := range rows {
		handles[i] = &Handle{ID: row.ID, Row: row.Row, Existed: row.Existed}
	}
	if len(handles) > 0 {
		c.dispatchInserted(ctx, handles)
	}
	return len(handles), nil
}

// startGroupWork completes groups whose end no process has handled in the background,
// unless that is under way or was done a moment ago. It ends with the executor; the next
// promotion or sweep anywhere continues what it leaves.
func (e *Executor) startGroupWork(p PromoteResult) {
	groups := &e.client.groups
	if !p.Groups || !groups.beginDue(p.Failed+p.Expired > 0) {
		return
	}
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), groupSweep)
		defer cancel()
		go func() {
			select {
			case <-e.stopping:
				cancel()
			case <-ctx.Done():
			}
		}()
		enqueued, err := e.client.completeDue(ctx)
		if err != nil && !errors.Is(err, ErrUnavailable) {
			e.log.Error("groups could not be completed; the next promotion does it", "error", err)
		}
		groups.endDue(enqueued)
	}()
}

// groupWork waits for the end of such work, if it is under way, and a moment for locked
// groups in which tasks of this process have ended. It reports whether more than *seen tasks
// were enqueued, which it sets.
func (e *Executor) groupWork(ctx context.Context, seen *int) bool {
	before := *seen
	_, looking := e.client.groups.due()
	if looking != nil {
		select {
		case <-looking:
		case <-e.stopping:
		case <-ctx.Done():
		}
	}
	for looked := e.client.groups.locked.awaited(); looked != nil; looked = e.client.groups.locked.awaited() {
		select {
		case <-looked:
			continue
		case <-e.stopping:
		case <-ctx.Done():
		}
		break
	}
	*seen, _ = e.client.groups.due()
	return *seen > before
}

// completeDue completes groups whose end no process has handled, until ctx ends, and
// returns how many tasks were enqueued.
func (c *Client) completeDue(ctx context.Context) (enqueued int, err error) {
	store, err := c.grouper()
	if errors.Is(err, ErrUnsupported) {
		return 0, nil
	}
	var after uuid.UUID // groups that cannot be completed do not keep others from it
	for more := err == nil; more && ctx.Err() == nil; {
		var ids []uuid.UUID
		err = within(ctx, statementTimeout, func(ctx context.Context) (err error) {
			ids, err = store.DueGroups(ctx, after, dueGroups)
			return err
		})
		if err != nil && ctx.Err() != nil {
			return enqueued, nil //nolint:nilerr // the next look continues
		}
		c.availability.observeRead(err)
		for _, id := range ids {
			if ctx.Err() != nil {
				return enqueued, nil //nolint:nilerr // likewise
			}
			enqueued += c.completeNow(ctx, id, false)
		}
		if more = err == nil && len(ids) == dueGroups; more {
			after = ids[len(ids)-1]
		}
	}
	return enqueued, err
}
