package queue

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// CountKeys counts the rows, schedules and groups that are encrypted, by their keys: a key
// that none has, and that no program uses for new rows, can be removed. Errors:
// [ErrUnsupported] if the store is no [KeyCounter], and the store's.
func (c *Client) CountKeys(ctx context.Context) ([]KeyCount, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	store, ok := c.cfg.Store.(KeyCounter)
	if !ok {
		return nil, fmt.Errorf("%w: %T does not implement queue.KeyCounter", ErrUnsupported, c.cfg.Store)
	}
	// Rows are counted last: what a schedule or a group enqueues meanwhile is counted twice
	// instead of never.
	counts := make(keyCounts)
	err := c.countSchedules(ctx, counts)
	if err == nil {
		err = c.countGroups(ctx, counts)
	}
	if err == nil {
		err = within(ctx, statementTimeout, func(ctx context.Context) error {
			rows, err := store.CountKeys(ctx)
			for _, n := range rows {
				of := counts.of(n.KeyID)
				of.Live, of.Ended = n.Live, n.Ended
			}
			return err
		})
	}
	c.availability.observeRead(err)
	if err != nil {
		return nil, err
	}
	return counts.sorted(), nil
}

// keyCounts are counts by the IDs of keys.
type keyCounts map[string]*KeyCount

func (counts keyCounts) of(key string) *KeyCount {
	if counts[key] == nil {
		counts[key] = &KeyCount{KeyID: key}
	}
	return counts[key]
}

func (counts keyCounts) sorted() (all []KeyCount) {
	for _, n := range counts {
		all = append(all, *n)
	}
	slices.SortFunc(all, func(a, b KeyCount) int { return strings.Compare(a.KeyID, b.KeyID) })
	return all
}

// countSchedules counts the schedules.
func (c *Client) countSchedules(ctx context.Context, counts keyCounts) error {
	store, ok := c.cfg.Store.(Scheduler)
	if !ok {
		return nil
	}
	return within(ctx, statementTimeout, func(ctx context.Context) error {
		all, err := store.Schedules(ctx)
		for _, s := range all {
			if key := keyOfSealed(s.Args); key != "" {
				counts.of(key).Schedules++
			}
		}
		return err
	})
}

// countGroups counts the groups that have still to enqueue something, which is stored in
// them until then.
func (c *Client) countGroups(ctx context.Context, counts keyCounts) error {
	store, ok := c.cfg.Store.(Grouper)
	if !ok {
		return nil
	}
	for r := (GroupsRequest{Limit: groupsPerCount}); ; {
		var page GroupsPage
		err := within(ctx, statementTimeout, func(ctx context.Context) (err error) {
			page, err = store.Groups(ctx, r)
			return err
		})
		if err != nil {
			return err
		}
		for _, g := range page.Groups {
			for _, key := range g.keys() {
				counts.of(key).Groups++
			}
		}
		if r.After = page.Next; r.After == "" {
			return nil
		}
	}
}

// groupsPerCount is how many groups are read at once: the members of each are counted, too.
const groupsPerCount = 100

// keys returns the keys of what the group may still enqueue, each once. A group that has
// succeeded cannot fail any more; one that has failed can succeed, once its tasks are retried.
func (g *Group) keys() (keys []string) {
	if !g.SucceededAt.IsZero() {
		return nil
	}
	pending := []*Completion{g.OnSuccess}
	if g.FailedAt.IsZero() {
		pending = append(pending, g.OnFailure)
	}
	for _, completion := range pending {
		if completion == nil {
			continue
		}
		if key := keyOfSealed(completion.Args); key != "" && !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	return keys
}
