package queuetest

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// group is a stored group with the states of its members, which stay when their rows are
// deleted.
type group struct {
	queue.Group
	members map[uuid.UUID]queue.MemberState
}

// countMembers writes what the groups count their members as, after a call that may have
// changed rows.
func (s *Store) countMembers() {
	if len(s.groups) == 0 {
		return
	}
	for id, r := range s.rows {
		if r.Group != uuid.Nil {
			s.groups[r.Group].count(id, queue.MemberStateOf(r.Status))
		}
	}
	for _, g := range s.groups {
		for id, state := range g.members {
			if s.rows[id] == nil && (state == queue.MemberUnfinished || state == queue.MemberUnfinishedAgain) {
				g.count(id, queue.MemberCancelled) // deleted before its end
			}
		}
	}
}

// count sets the state of a member to one of those of [queue.MemberStateOf].
func (g *group) count(id uuid.UUID, state queue.MemberState) {
	ended := state == queue.MemberFailed || state == queue.MemberCancelled
	if before := g.members[id]; !ended && before >= queue.MemberFailed {
		state += queue.MemberUnfinishedAgain - queue.MemberUnfinished
	}
	g.members[id] = state
}

// checkGroup returns the error of a new row that cannot be a member of its group.
func (s *Store) checkGroup(r *queue.NewRow) error {
	if r.Group == uuid.Nil {
		return nil
	}
	g := s.groups[r.Group]
	switch {
	case g == nil:
		return fmt.Errorf("task %s: group %s: %w", r.Task, r.Group, queue.ErrGroupNotFound)
	case !g.ClosedAt.IsZero():
		return fmt.Errorf("task %s: group %s: %w", r.Task, r.Group, queue.ErrGroupClosed)
	case r.UnlessSucceeded && g.succeeded(r.ID):
		return queue.ErrMemberSucceeded
	}
	return nil
}

// CreateGroup stores a group.
func (s *Store) CreateGroup(ctx context.Context, t queue.Tx, g *queue.Group) error {
	return s.withOrIn(ctx, "create group", t, func(now time.Time) error {
		stored := s.groups[g.ID]
		existed := stored != nil
		if !existed {
			stored = &group{queue.Group{ID: g.ID, Name: g.Name, CreatedAt: now, OnSuccess: g.OnSuccess, OnFailure: g.OnFailure}, make(map[uuid.UUID]queue.MemberState)}
			s.groups[g.ID] = stored
		}
		*g = stored.Group
		g.Existed = existed
		return nil
	})
}

// CloseGroup closes a group.
func (s *Store) CloseGroup(ctx context.Context, t queue.Tx, id uuid.UUID) error {
	return s.withOrIn(ctx, "close group", t, func(now time.Time) error {
		g := s.groups[id]
		if g == nil {
			return queue.ErrGroupNotFound
		}
		if g.ClosedAt.IsZero() {
			g.ClosedAt = now
		}
		return nil
	})
}

// Groups returns a page of groups with their counts.
func (s *Store) Groups(ctx context.Context, r queue.GroupsRequest) (page queue.GroupsPage, err error) {
	var after queue.Cursor
	if r.After != "" {
		if after, err = queue.ParseCursor(r.After); err != nil {
			return page, err
		}
	}
	order := func(a, b queue.Cursor) int { return cmp.Or(b.At.Compare(a.At), bytes.Compare(b.ID[:], a.ID[:])) } // the latest first
	position := func(g *queue.Group) queue.Cursor { return queue.Cursor{ID: g.ID, At: g.CreatedAt} }
	err = s.with(ctx, "list groups", func(time.Time) error {
		for id, g := range s.groups {
			if len(r.IDs) > 0 && !slices.Contains(r.IDs, id) || r.After != "" && order(after, position(&g.Group)) >= 0 {
				continue
			}
			counted := g.Group
			counted.GroupCounts = s.counts(g)
			page.Groups = append(page.Groups, &counted)
		}
		slices.SortFunc(page.Groups, func(a, b *queue.Group) int { return order(position(a), position(b)) })
		if len(r.IDs) == 0 && len(page.Groups) > r.Limit {
			page.Groups = page.Groups[:r.Limit]
			page.Next = position(page.Groups[r.Limit-1]).String()
		}
		return nil
	})
	return page, err
}

func (s *Store) counts(g *group) (n queue.GroupCounts) {
	for id, state := range g.members {
		n.Add(state, 1)
		if r := s.rows[id]; r != nil && r.Status == queue.StatusRunning {
			n.Running, n.Ready = n.Running+1, n.Ready-1
		}
	}
	return n
}

func inOrder(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) }

// GroupMembers returns members of a group in the order of their IDs.
func (s *Store) GroupMembers(ctx context.Context, r queue.MembersRequest) (ids []uuid.UUID, err error) {
	err = s.with(ctx, "list members of a group", func(time.Time) error {
		g := s.groups[r.Group]
		if g == nil {
			return nil
		}
		for _, id := range slices.SortedFunc(maps.Keys(g.members), inOrder) {
			wanted := (len(r.States) == 0 || slices.Contains(r.States, g.members[id])) && (len(r.IDs) == 0 || slices.Contains(r.IDs, id))
			if wanted && inOrder(id, r.After) > 0 && len(ids) < r.Limit {
				ids = append(ids, id)
			}
		}
		return nil
	})
	return ids, err
}

// succeeded reports whether the group counts a task as SUCCESSFUL.
func (g *group) succeeded(id uuid.UUID) bool {
	state := g.members[id]
	return state == queue.MemberSuccessful || state == queue.MemberSuccessfulAgain
}

// ends reports whether all members of a group have succeeded, and whether any has FAILED
// or was CANCELLED.
func (g *group) ends() (succeeded, failed bool) {
	succeeded = true
	for id, state := range g.members {
		succeeded = succeeded && g.succeeded(id)
		failed = failed || state >= queue.MemberFailed
	}
	return succeeded, failed
}

// isDue reports whether a group has something to enqueue.
func (g *group) isDue() bool {
	succeeded, failed := g.ends()
	return g.SucceededAt.IsZero() && (!g.ClosedAt.IsZero() && succeeded || g.FailedAt.IsZero() && failed)
}

// CompleteGroup inserts what a group enqueues now.
func (s *Store) CompleteGroup(ctx context.Context, id uuid.UUID, prepare func(*queue.NewRow)) (rows []*queue.NewRow, err error) {
	err = s.with(ctx, "complete group", func(now time.Time) error {
		g := s.groups[id]
		if g == nil || !g.isDue() {
			return nil
		}
		succeeded, failed := g.ends()
		ended := g.Group
		rows = ended.Due(succeeded, failed, now)
		for _, r := range rows {
			prepare(r)
		}
		if err := s.insert(ctx, rows, now); err != nil {
			return err
		}
		g.Group = ended
		return nil
	})
	if err != nil {
		return nil, err
	}
	return rows, nil
}

// DueGroups returns groups for which CompleteGroup has something to do.
func (s *Store) DueGroups(ctx context.Context, after uuid.UUID, limit int) (ids []uuid.UUID, err error) {
	err = s.with(ctx, "find groups to complete", func(time.Time) error {
		for _, id := range slices.SortedFunc(maps.Keys(s.groups), inOrder) {
			if len(ids) < limit && inOrder(id, after) > 0 && s.groups[id].isDue() {
				ids = append(ids, id)
			}
		}
		return nil
	})
	return ids, err
}

// groupsWait reports whether there are groups that have not succeeded.
func (s *Store) groupsWait() bool {
	for _, g := range s.groups {
		if g.SucceededAt.IsZero() {
			return true
		}
	}
	return false
}

// DeleteGroups deletes groups of which nothing else is left.
func (s *Store) DeleteGroups(ctx context.Context, age time.Duration, limit int) (deleted int, err error) {
	err = s.with(ctx, "delete groups", func(now time.Time) error {
		for id, g := range s.groups {
			if deleted < limit && s.isOver(g, now.Add(-age)) {
				delete(s.groups, id)
				deleted++
			}
		}
		return nil
	})
	return deleted, err
}

// isOver reports whether all members of a group have ended, these and what it has enqueued
// are deleted, and nothing has changed since a time.
func (s *Store) isOver(g *group, before time.Time) bool {
	last := later(g.SucceededAt, g.FailedAt)
	if g.ClosedAt.IsZero() || last.IsZero() || later(later(g.CreatedAt, g.ClosedAt), last).After(before) {
		return false
	}
	for id := range g.members {
		if s.rows[id] != nil {
			return false
		}
	}
	return s.rows[queue.CompletionID(g.ID, true)] == nil && s.rows[queue.CompletionID(g.ID, false)] == nil
}

// copiedGroups are the groups as they are now, for a transaction that is rolled back.
func (s *Store) copiedGroups() map[uuid.UUID]*group {
	groups := make(map[uuid.UUID]*group, len(s.groups))
	for id, g := range s.groups {
		groups[id] = &group{g.Group, maps.Clone(g.members)}
	}
	return groups
}
