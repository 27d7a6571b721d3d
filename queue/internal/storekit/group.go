package storekit

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// HasGroup reports whether a new row is a member of a group.
func HasGroup(row *queue.NewRow) bool { return row.Group != uuid.Nil }

// GroupsOf returns the groups of new rows, each once and in the order of their IDs, so that
// transactions which lock several do so in one order.
func GroupsOf(rows []*queue.NewRow) []uuid.UUID {
	var ids []uuid.UUID
	for _, row := range rows {
		if HasGroup(row) {
			ids = append(ids, row.Group)
		}
	}
	slices.SortFunc(ids, func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) })
	return slices.Compact(ids)
}

// MembersOf returns the rows that an insert of rows has stored as members. open reports of
// each group whether it is open; others do not exist. The error is that of a row which must not be
// stored.
func MembersOf(rows []*queue.NewRow, existed func(i int) bool, open map[uuid.UUID]bool) (members []*queue.NewRow, err error) {
	for i, row := range rows {
		if !HasGroup(row) || existed(i) {
			continue
		}
		switch isOpen, found := open[row.Group]; {
		case !found:
			return nil, fmt.Errorf("task %s: group %s: %w", row.Task, row.Group, queue.ErrGroupNotFound)
		case !isOpen:
			return nil, fmt.Errorf("task %s: group %s: %w", row.Task, row.Group, queue.ErrGroupClosed)
		}
		members = append(members, row)
	}
	return members, nil
}

// MembersOnce returns the rows that must not have succeeded before, and the others.
func MembersOnce(rows []*queue.NewRow) (once, others []*queue.NewRow) {
	for _, row := range rows {
		if row.UnlessSucceeded {
			once = append(once, row)
		} else {
			others = append(others, row)
		}
	}
	return once, others
}

// GroupLocked is the error of a group that another transaction has locked.
func GroupLocked(id uuid.UUID) error {
	return fmt.Errorf("group %s: %w", id, queue.ErrLocked)
}

// GroupCursor is the position of a group in a list.
func GroupCursor(g *queue.Group) string {
	return queue.Cursor{ID: g.ID, At: g.CreatedAt}.String()
}

// GroupPage returns the page of up to limit groups, one of which more were read.
func GroupPage(groups []*queue.Group, limit int) queue.GroupsPage {
	page := queue.GroupsPage{Groups: groups}
	if len(groups) > limit {
		page.Groups = groups[:limit]
		page.Next = GroupCursor(groups[limit-1])
	}
	return page
}

// GroupsBefore returns where a page of groups begins: after this key, in descending order.
func GroupsBefore(after string) (at time.Time, id uuid.UUID, err error) {
	if after == "" {
		return Forever, uuid.Max, nil
	}
	cursor, err := queue.ParseCursor(after)
	return cursor.At, cursor.ID, err
}

// KeptCounts are what the row of a closed group has of its counts; -1 is not known.
type KeptCounts struct {
	Total     int // since the group was closed
	Cancelled int // since all members are SUCCESSFUL or CANCELLED, which nothing changes
}

// GroupCounts counts the members of some groups.
type GroupCounts struct {
	Kept    map[uuid.UUID]KeptCounts
	Members map[uuid.UUID]map[queue.MemberState]int
	Running map[uuid.UUID]int
}

// NewGroupCounts returns counts without members.
func NewGroupCounts() *GroupCounts {
	return &GroupCounts{make(map[uuid.UUID]KeptCounts), make(map[uuid.UUID]map[queue.MemberState]int), make(map[uuid.UUID]int)}
}

// ToCount returns the groups of which all members must be counted, and those of which only
// the members that are not SUCCESSFUL must be.
func (c *GroupCounts) ToCount(groups []*queue.Group) (all, some []uuid.UUID) {
	for _, g := range groups {
		switch kept := c.Kept[g.ID]; {
		case kept.Total < 0:
			all = append(all, g.ID)
		case kept.Cancelled < 0:
			some = append(some, g.ID)
		}
	}
	return all, some
}

// Add adds n members of a state.
func (c *GroupCounts) Add(group uuid.UUID, state queue.MemberState, n int) {
	if c.Members[group] == nil {
		c.Members[group] = make(map[queue.MemberState]int)
	}
	c.Members[group][state] += n
}

// Set fills in the counts of groups.
func (c *GroupCounts) Set(groups []*queue.Group) {
	for _, g := range groups {
		g.GroupCounts = queue.GroupCounts{}
		kept := c.Kept[g.ID]
		if kept.Cancelled > 0 {
			g.Add(queue.MemberCancelled, kept.Cancelled)
		}
		for state, n := range c.Members[g.ID] {
			g.Add(state, n)
		}
		if kept.Total >= 0 {
			g.Add(queue.MemberSuccessful, max(kept.Total-g.Total, 0))
		}
		g.Running = min(c.Running[g.ID], g.Ready)
		g.Ready -= g.Running
	}
}

// CompletionsOf returns the IDs of all tasks that groups may have enqueued.
func CompletionsOf(groups []uuid.UUID) []uuid.UUID {
	ids := make([]uuid.UUID, 0, 2*len(groups))
	for _, id := range groups {
		ids = append(ids, queue.CompletionID(id, true), queue.CompletionID(id, false))
	}
	return ids
}

// WithoutCompletions returns the groups none of whose tasks at their end exists. One that
// is created again under its ID enqueues such a task again only if the first is gone.
func WithoutCompletions(groups []uuid.UUID, existing map[uuid.UUID]bool) []uuid.UUID {
	return slices.DeleteFunc(slices.Clone(groups), func(id uuid.UUID) bool {
		return existing[queue.CompletionID(id, true)] || existing[queue.CompletionID(id, false)]
	})
}
