package pgstore

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/internal/storekit"
)

// The conditions of a group g of which all members have succeeded, and of which any has
// FAILED or was CANCELLED. Index: claimcheck_group_members_state, the first entry.
const (
	allSucceeded = `NOT EXISTS (SELECT FROM claimcheck_group_members AS m WHERE m.group_id = g.id AND m.state IN (0, 2, 3, 4))`
	anyFailed    = `EXISTS (SELECT FROM claimcheck_group_members AS m WHERE m.group_id = g.id AND m.state >= 2)`
	// groupDue is the condition of the groups that CompleteGroup changes.
	groupDue = `succeeded_at IS NULL AND (closed_at IS NOT NULL AND ` + allSucceeded + ` OR failed_at IS NULL AND ` + anyFailed + `)`
)

// groupsWait reports, for probeQuery, whether there are groups that have not succeeded.
// Index: claimcheck_groups_unfinished, its first entry.
const groupsWait = `EXISTS (SELECT FROM claimcheck_groups WHERE succeeded_at IS NULL)`

// Indexes: the primary key, or claimcheck_groups_unfinished.
const (
	isDueQuery     = `SELECT EXISTS (SELECT FROM claimcheck_groups AS g WHERE id = $1::uuid AND ` + groupDue + `)`
	dueGroupsQuery = `SELECT id FROM claimcheck_groups AS g WHERE ` + groupDue + ` AND id > $2::uuid ORDER BY id LIMIT $1::int8`

	lockGroupQuery = groupQuery + ` FOR NO KEY UPDATE SKIP LOCKED`
	// groupEndQuery sees what was committed before the lock.
	groupEndQuery = `SELECT now(), ` + allSucceeded + `, ` + anyFailed + ` FROM claimcheck_groups AS g WHERE id = $1::uuid`
	endGroupQuery = `UPDATE claimcheck_groups SET succeeded_at = $2::timestamptz, failed_at = $3::timestamptz,
	total = CASE WHEN $2::timestamptz IS NULL THEN total ELSE coalesce(total, (SELECT count(*) FROM claimcheck_group_members WHERE group_id = $1::uuid)) END,
	cancelled = CASE WHEN $2::timestamptz IS NULL THEN cancelled ELSE 0 END
	WHERE id = $1::uuid`
)

// DueGroups returns groups that CompleteGroup changes.
func (s *Store) DueGroups(ctx context.Context, after uuid.UUID, limit int) (ids []uuid.UUID, err error) {
	err = s.on(ctx, "find groups to complete", func(conn *pgx.Conn) error {
		ids = nil
		result, err := conn.Query(ctx, dueGroupsQuery, limit, pgtype.UUID{Bytes: after, Valid: true})
		if err != nil {
			return err
		}
		var found id
		_, err = pgx.ForEachRow(result, []any{&found}, func() error {
			ids = append(ids, uuid.UUID(found))
			return nil
		})
		return err
	})
	return ids, err
}

// CompleteGroup inserts what a group enqueues now.
func (s *Store) CompleteGroup(ctx context.Context, groupID uuid.UUID, prepare func(*queue.NewRow)) (rows []*queue.NewRow, err error) {
	const op = "complete group"
	due := false
	err = s.on(ctx, op, func(conn *pgx.Conn) error { return conn.QueryRow(ctx, isDueQuery, uuidValue(groupID)).Scan(&due) })
	if err != nil || !due {
		return nil, err
	}
	var stored []inserted
	err = s.with(ctx, op, use{ownTransaction: true}, func(conn *pgx.Conn) error {
		return pgx.BeginTxFunc(ctx, conn, readCommitted, func(tx pgx.Tx) (err error) {
			rows, stored, err = completeGroup(ctx, tx, groupID, prepare)
			return err
		})
	})
	return rows, copyBack(rows, err, stored...)
}

func completeGroup(ctx context.Context, tx pgx.Tx, groupID uuid.UUID, prepare func(*queue.NewRow)) ([]*queue.NewRow, []inserted, error) {
	var r scannedGroup
	err := tx.QueryRow(ctx, lockGroupQuery, uuidValue(groupID)).Scan(r.fields()...)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil, storekit.GroupLocked(groupID) // or it was just deleted
	}
	if err != nil {
		return nil, nil, err
	}
	g, err := r.group()
	if err != nil {
		return nil, nil, err
	}
	var now moment
	var succeeded, failed bool
	if err := tx.QueryRow(ctx, groupEndQuery, uuidValue(groupID)).Scan(&now, &succeeded, &failed); err != nil {
		return nil, nil, err
	}
	before := [2]bool{g.SucceededAt.IsZero(), g.FailedAt.IsZero()}
	rows := g.Due(succeeded, failed, time.Time(now))
	if before == [2]bool{g.SucceededAt.IsZero(), g.FailedAt.IsZero()} {
		return nil, nil, nil
	}
	for _, row := range rows {
		prepare(row)
	}
	stored, err := insert(ctx, tx, rows)
	if err != nil {
		return nil, nil, err
	}
	_, err = tx.Exec(ctx, endGroupQuery, uuidValue(groupID), timeValue(g.SucceededAt), timeValue(g.FailedAt))
	return rows, stored, err
}
