package sqlstore

import (
	"context"
	"errors"
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
	once, _ := storekit.MembersOnce(members)
	if err := inChunks(once, func(some []*queue.NewRow) error { return notSucceeded(ctx, tx, some) }); err != nil {
		return nil, err
	}
	return stored, inChunks(members, func(some []*queue.NewRow) error { return addMembers(ctx, tx, some) })
}

// notSucceeded returns queue.ErrMemberSucceeded if a group has counted any of these rows
// as SUCCESSFUL. They were inserted before, so that nothing else changes that meanwhile.
// Index: the primary key.
func notSucceeded(ctx context.Context, tx querier, rows []*queue.NewRow) error {
	for _, group := range storekit.GroupsOf(rows) {
		values := []any{group}
		for _, row := range rows {
			if row.Group == group {
				values = append(values, row.ID)
			}
		}
		var found bool
		err := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM claimcheck_group_members WHERE group_id = ? AND task_id IN (`+marks(len(values)-1)+`) AND state IN (1, 5))`, values...).Scan(&found)
		if err != nil {
			return err
		}
		if found {
			return queue.ErrMemberSucceeded
		}
	}
	return nil
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
