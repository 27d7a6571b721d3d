package sqlstore

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

var _ queue.GroupMaintainer = (*Store)(nil)

// unfinishedGroups: index: claimcheck_groups_unfinished, from a position.
const unfinishedGroups = `SELECT id FROM claimcheck_groups WHERE succeeded_at IS NULL AND id > ? ORDER BY id LIMIT ?`

// MaintainGroups corrects the members of groups, and records the counts of closed ones that
// cannot change any more.
func (s *Store) MaintainGroups(ctx context.Context, after uuid.UUID, limit int) (last uuid.UUID, err error) {
	var ids []uuid.UUID
	err = s.read(ctx, "maintain groups", func(conn querier) error {
		ids = nil
		return each(ctx, conn, func(scan func(...any) error) error {
			var id uuid.UUID
			err := scan(&id)
			ids = append(ids, id)
			return err
		}, unfinishedGroups, after, limit)
	})
	if err != nil || len(ids) == 0 {
		return last, err
	}
	if err = s.repairMembers(ctx, ids); err == nil {
		err = s.keepCounts(ctx, ids)
	}
	if len(ids) == limit {
		last = ids[limit-1]
	}
	return last, err
}

// wrongMembers finds members of groups whose tasks have ended, or are gone, and that are
// counted as unfinished, and those counted as failed that are not: what older programs and
// statements by hand leave. Indexes: claimcheck_group_members_state, the primary key.
func wrongMembers(groups int) string {
	return `SELECT m.group_id, m.task_id, coalesce(t.status, 'CANCELLED')
	FROM claimcheck_group_members AS m LEFT JOIN claimcheck_tasks AS t ON t.id = m.task_id
	WHERE m.group_id IN (` + marks(groups) + `) AND m.state IN (0, 2, 4)
		AND (m.state <> 2 AND (t.id IS NULL OR t.status NOT IN ('READY', 'RUNNING')) OR m.state = 2 AND t.status <> 'FAILED')`
}

// repairMembers corrects the states of members of groups.
func (s *Store) repairMembers(ctx context.Context, groups []uuid.UUID) error {
	var wrong []*queue.Row
	err := s.read(ctx, "maintain groups", func(conn querier) error {
		wrong = nil
		return each(ctx, conn, func(scan func(...any) error) error {
			row := new(queue.Row)
			err := scan(&row.Group, &row.ID, &row.Status)
			wrong = append(wrong, row)
			return err
		}, wrongMembers(len(groups)), anys(groups)...)
	})
	for some := range slices.Chunk(wrong, manyRows) {
		if err != nil {
			return err
		}
		err = s.transaction(ctx, "maintain groups", func(ctx context.Context, tx querier) error {
			for _, row := range some {
				if err := repairMember(ctx, tx, row); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return err
}

// repairMember corrects the state of a member, unless its task is locked: then it is
// changing.
func repairMember(ctx context.Context, tx querier, seen *queue.Row) error {
	row, err := load(ctx, tx, seen.ID)
	switch {
	case errors.Is(err, queue.ErrLocked):
		return nil
	case errors.Is(err, queue.ErrNotFound):
		row = &queue.Row{ID: seen.ID, Group: seen.Group, Status: queue.StatusCancelled}
	case err != nil:
		return err
	}
	return saveMember(ctx, tx, row)
}

// mayChange is the condition of a group g whose counts can change: FAILED members can be
// retried. Index: claimcheck_group_members_state.
const mayChange = `EXISTS (SELECT 1 FROM claimcheck_group_members AS m WHERE m.group_id = g.id AND m.state IN (0, 2, 4))`

// countsToKeep counts the members of closed groups, which have all of them, and, where
// nothing can change, those that are CANCELLED. Indexes: the primary key,
// claimcheck_group_members_state.
func countsToKeep(groups int) string {
	return `SELECT g.id, (SELECT count(*) FROM claimcheck_group_members AS m WHERE m.group_id = g.id),
		CASE WHEN ` + mayChange + ` THEN NULL ELSE (SELECT count(*) FROM claimcheck_group_members AS m WHERE m.group_id = g.id AND m.state = 3) END
	FROM claimcheck_groups AS g
	WHERE g.id IN (` + marks(groups) + `) AND g.succeeded_at IS NULL AND g.closed_at IS NOT NULL AND g.cancelled IS NULL AND (g.total IS NULL OR NOT ` + mayChange + `)`
}

// keepCounts records the counts of groups that cannot change any more. A group that is locked
// is left to the next call.
func (s *Store) keepCounts(ctx context.Context, groups []uuid.UUID) error {
	type counts struct {
		id        uuid.UUID
		total     int
		cancelled *int
	}
	var known []counts
	err := s.read(ctx, "maintain groups", func(conn querier) error {
		known = nil
		return each(ctx, conn, func(scan func(...any) error) error {
			var c counts
			err := scan(&c.id, &c.total, &c.cancelled)
			known = append(known, c)
			return err
		}, countsToKeep(len(groups)), anys(groups)...)
	})
	if err != nil || len(known) == 0 {
		return err
	}
	return s.write(ctx, "maintain groups", func(ctx context.Context, tx querier, _ time.Time) error {
		for _, c := range known {
			g, err := lockGroup(ctx, tx, c.id)
			if errors.Is(err, queue.ErrLocked) || errors.Is(err, queue.ErrGroupNotFound) {
				continue
			}
			if err == nil && g.SucceededAt.IsZero() {
				_, err = tx.ExecContext(ctx, `UPDATE claimcheck_groups SET total = ?, cancelled = ? WHERE id = ?`, c.total, c.cancelled, c.id)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}
