package queue

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// GroupMaintainer is a [Grouper] with work that can wait: the sweeper calls it every few
// minutes while there are groups that have not succeeded.
type GroupMaintainer interface {
	// MaintainGroups looks at up to limit groups that have not succeeded, with greater IDs
	// than after and in the order of their IDs, and returns the ID of the last one; zero:
	// there are no more. It may record of closed groups what cannot change any more, so
	// that Groups need not count it. A store whose database cannot see what older programs,
	// and statements by hand, do with members corrects these. It skips groups that another
	// transaction has locked.
	MaintainGroups(ctx context.Context, after uuid.UUID, limit int) (last uuid.UUID, err error)
}

// upkeepInterval is how often the background sweeps of a process look at all groups that
// have not succeeded, and upkeepBatch at how many at a time: that may read all of their
// unfinished and FAILED members.
const (
	upkeepInterval = 5 * time.Minute
	upkeepBatch    = 20
)

// groupUpkeep is how far the upkeep of groups has come. groupChecks.mu is held.
type groupUpkeep struct {
	begun time.Time // when a look at all groups last began
	after uuid.UUID // the last group of one whose time was over
}

// upkeepDue reports whether a sweep is to look at groups: one that a caller asked for always
// does.
func (g *groupChecks) upkeepDue(background bool) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return !background || g.kept.after != uuid.Nil || g.kept.begun.IsZero() || time.Since(g.kept.begun) >= upkeepInterval
}

// upkeepFrom returns where the upkeep begins or continues.
func (g *groupChecks) upkeepFrom() uuid.UUID {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.kept.after == uuid.Nil {
		g.kept.begun = time.Now()
	}
	return g.kept.after
}

func (g *groupChecks) upkeepTo(after uuid.UUID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.kept.after = after
}

// maintainGroups looks at all groups that have not succeeded, or until ctx ends: then the
// next sweep of this process continues.
func (c *Client) maintainGroups(ctx context.Context) error {
	store, ok := c.cfg.Store.(GroupMaintainer)
	if !ok {
		return nil
	}
	for after := c.groups.upkeepFrom(); ctx.Err() == nil; {
		var last uuid.UUID
		err := within(ctx, statementTimeout, func(ctx context.Context) (err error) {
			last, err = store.MaintainGroups(ctx, after, upkeepBatch)
			return err
		})
		if err != nil && ctx.Err() != nil {
			return nil //nolint:nilerr // the next sweep continues
		}
		c.availability.observeRead(err)
		if err != nil {
			return err
		}
		if after = last; after == uuid.Nil {
			c.groups.upkeepTo(uuid.Nil)
			return nil
		}
		c.groups.upkeepTo(after)
	}
	return nil
}
