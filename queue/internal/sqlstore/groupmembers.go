package sqlstore

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/internal/storekit"
)

// insertGrouped is insertAny of rows some of which are members.
func insertGrouped(ctx context.Context, tx querier, now time.Time, rows []*queue.NewRow) ([]inserted, error) {
	groups := storekit.GroupsOf(rows)
	if len(groups) == 0 {
		return insertAny(ctx, tx, now, rows)
	}
	open, err := shareGroups(ctx, tx, groups)
	if err != nil {
		return nil, err
	}
	stored, err := insertAny(ctx, tx, now, rows)
	if err != nil {
		return nil, err
	}
	members, err := storekit.MembersOf(rows, func(i int) bool { return stored[i].existed }, open)
	if err != nil {
		return nil, err
	}
	return stored, inChunks(members, func(some []*queue.NewRow) error { return addMembers(ctx, tx, some) })
}

// addMembers makes rows that were inserted members of their groups. A task that was one
// before, and was deleted, is one again. Index: the primary key.
func addMembers(ctx context.Context, tx querier, rows []*queue.NewRow) error {
	var values []any
	for _, row := range rows {
		values = append(values, row.Group, row.ID)
	}
	query := `INSERT INTO claimcheck_group_members (group_id, task_id, state) VALUES (?, ?, 0)`
	for range rows[1:] {
		query += `, (?, ?, 0)`
	}
	_, err := tx.ExecContext(ctx, query+tx.store.dialect.memberAgain, values...)
	return err
}

// shareGroups locks groups against being closed, and returns which are open. Only a
// caller's transaction waits for one that closes a group.
func shareGroups(ctx context.Context, tx querier, groups []uuid.UUID) (open map[uuid.UUID]bool, err error) {
	lock := tx.store.dialect.lockShared
	if !tx.callers {
		lock = tx.store.dialect.lockSharedFree
	}
	open = make(map[uuid.UUID]bool, len(groups))
	for _, id := range groups {
		g, err := loadGroup(ctx, tx, id, lock)
		if errors.Is(err, queue.ErrGroupNotFound) {
			if _, err := loadGroup(ctx, tx, id, ""); err == nil && lock != "" {
				return nil, storekit.GroupLocked(id)
			}
			continue
		}
		if err != nil {
			return nil, err
		}
		open[id] = g.ClosedAt.IsZero()
	}
	return open, nil
}

// memberQuery sets the state of a member to one of the first four states. Index: the
// primary key.
const memberQuery = `UPDATE claimcheck_group_members SET state = CASE WHEN ? IN (2, 3) OR state < 2 THEN ? ELSE ? + 4 END WHERE group_id = ? AND task_id = ?`

// saveMember writes what the group of a row counts it as, if it has one.
func saveMember(ctx context.Context, q querier, row *queue.Row) error {
	if row.Group == uuid.Nil {
		return nil
	}
	state := queue.MemberStateOf(row.Status)
	_, err := q.ExecContext(ctx, memberQuery, state, state, state, row.Group, row.ID)
	return err
}

// deleteMembers counts members as cancelled that are deleted before their end.
func deleteMembers(ctx context.Context, tx querier, rows []*queue.Row) error {
	for _, row := range rows {
		if row.Group == uuid.Nil || row.Status.Final() {
			continue
		}
		gone := *row
		gone.Status = queue.StatusCancelled
		if err := saveMember(ctx, tx, &gone); err != nil {
			return err
		}
	}
	return nil
}

// wrongMembers finds members whose tasks have ended, or are gone, and that are counted as
// unfinished, and those counted as failed that are not: what older programs and statements
// by hand leave. Indexes: claimcheck_groups_unfinished, claimcheck_group_members_state, the primary key.
const wrongMembers = `SELECT m.group_id, m.task_id, coalesce(t.status, 'CANCELLED')
	FROM claimcheck_groups AS g JOIN claimcheck_group_members AS m ON m.group_id = g.id AND m.state IN (0, 2, 4) LEFT JOIN claimcheck_tasks AS t ON t.id = m.task_id
	WHERE g.succeeded_at IS NULL AND (m.state <> 2 AND (t.id IS NULL OR t.status NOT IN ('READY', 'RUNNING')) OR m.state = 2 AND t.status <> 'FAILED')
	LIMIT ?`

// repairMembers corrects the states of up to limit members.
func (s *Store) repairMembers(ctx context.Context, limit int) error {
	var wrong []*queue.Row
	err := s.read(ctx, "find groups to complete", func(conn querier) error {
		wrong = nil
		return each(ctx, conn, func(scan func(...any) error) error {
			row := new(queue.Row)
			err := scan(&row.Group, &row.ID, &row.Status)
			wrong = append(wrong, row)
			return err
		}, wrongMembers, limit)
	})
	for some := range slices.Chunk(wrong, manyRows) {
		if err != nil {
			return err
		}
		err = s.transaction(ctx, "repair groups", func(ctx context.Context, tx querier) error {
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
