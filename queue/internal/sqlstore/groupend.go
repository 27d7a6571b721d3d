package sqlstore

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// The conditions of a group g of which all members have succeeded, and of which any has
// FAILED or was CANCELLED. Index: claimcheck_group_members_state.
const (
	allSucceeded = `NOT EXISTS (SELECT 1 FROM claimcheck_group_members AS m WHERE m.group_id = g.id AND m.state IN (0, 2, 3, 4))`
	anyFailed    = `EXISTS (SELECT 1 FROM claimcheck_group_members AS m WHERE m.group_id = g.id AND m.state >= 2)`
	// groupDue is the condition of the groups that CompleteGroup changes.
	groupDue = `g.succeeded_at IS NULL AND (g.closed_at IS NOT NULL AND ` + allSucceeded + ` OR g.failed_at IS NULL AND ` + anyFailed + `)`
)

// groupsWait reports, for probe, whether there are groups that have not succeeded. Index:
// claimcheck_groups_unfinished, its first entry.
const groupsWait = `EXISTS (SELECT 1 FROM claimcheck_groups WHERE succeeded_at IS NULL)`

const dueGroupsQuery = `SELECT g.id FROM claimcheck_groups AS g WHERE ` + groupDue + ` AND g.id > ? ORDER BY g.id LIMIT ?`

// DueGroups returns groups that CompleteGroup changes. Index: claimcheck_groups_unfinished,
// from a position.
func (s *Store) DueGroups(ctx context.Context, after uuid.UUID, limit int) (ids []uuid.UUID, err error) {
	err = s.read(ctx, "find groups to complete", func(conn querier) error {
		ids = nil
		return each(ctx, conn, func(scan func(...any) error) error {
			var id uuid.UUID
			err := scan(&id)
			ids = append(ids, id)
			return err
		}, dueGroupsQuery, after, limit)
	})
	return ids, err
}

// CompleteGroup inserts what a group enqueues now.
func (s *Store) CompleteGroup(ctx context.Context, id uuid.UUID, prepare func(*queue.NewRow)) (rows []*queue.NewRow, err error) {
	const op = "complete group"
	due := false
	err = s.read(ctx, op, func(conn querier) error {
		return conn.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM claimcheck_groups AS g WHERE g.id = ? AND `+groupDue+`)`, id).Scan(&due)
	})
	if err != nil || !due {
		return nil, err
	}
	var stored []inserted
	err = s.transaction(ctx, op, func(ctx context.Context, tx querier) (err error) {
		rows, stored, err = completeGroup(ctx, tx, id, prepare)
		return err
	})
	if err != nil {
		return nil, err
	}
	copyBack(rows, stored)
	return rows, nil
}

func completeGroup(ctx context.Context, tx querier, id uuid.UUID, prepare func(*queue.NewRow)) (rows []*queue.NewRow, stored []inserted, err error) {
	g, err := lockGroup(ctx, tx, id)
	if err != nil {
		return nil, nil, err
	}
	now, err := tx.now(ctx)
	if err != nil {
		return nil, nil, err
	}
	var succeeded, failed bool // by what was committed before the lock
	err = tx.QueryRowContext(ctx, `SELECT `+allSucceeded+`, `+anyFailed+` FROM claimcheck_groups AS g WHERE g.id = ?`, id).Scan(&succeeded, &failed)
	if err != nil {
		return nil, nil, err
	}
	before := [2]time.Time{g.SucceededAt, g.FailedAt}
	rows = g.Due(succeeded, failed, now)
	if before == [2]time.Time{g.SucceededAt, g.FailedAt} {
		return nil, nil, nil
	}
	for _, row := range rows {
		prepare(row)
	}
	if stored, err = insert(ctx, tx, now, rows); err != nil {
		return nil, nil, err
	}
	_, err = tx.ExecContext(ctx, `UPDATE claimcheck_groups SET succeeded_at = ?, failed_at = ? WHERE id = ?`, micros(g.SucceededAt), micros(g.FailedAt), id)
	if err == nil && !g.SucceededAt.IsZero() {
		err = keepSuccess(ctx, tx, id)
	}
	return rows, stored, err
}

// keepSuccess records the counts of a group that has succeeded, which cannot change any
// more. Index: the primary key.
func keepSuccess(ctx context.Context, tx querier, id uuid.UUID) error {
	var total int
	if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM claimcheck_group_members WHERE group_id = ?`, id).Scan(&total); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `UPDATE claimcheck_groups SET total = ?, cancelled = 0 WHERE id = ?`, total, id)
	return err
}
