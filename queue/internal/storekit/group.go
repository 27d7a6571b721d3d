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

// SetCounts fills in the counts of groups, which are by group and state, and by group.
func SetCounts(groups []*queue.Group, members map[uuid.UUID]map[queue.MemberState]int, running map[uuid.UUID]int) {
	for _, g := range groups {
		g.GroupCounts = queue.GroupCounts{}
		for state, n := range members[g.ID] {
			g.Add(state, n)
		}
		g.Running = min(running[g.ID], g.Ready)
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
