package pgstore

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/claimcheck-go/claimcheck/queue"
)

var _ queue.GroupMaintainer = (*Store)(nil)

// Indexes: claimcheck_groups_unfinished, from a position; then the primary key and
// claimcheck_group_members_state.
const (
	unfinishedGroupsQuery = `SELECT id FROM claimcheck_groups WHERE succeeded_at IS NULL AND id > $1::uuid ORDER BY id LIMIT $2::int8`
	// mayChange is the condition of a group g whose counts can change: FAILED members can be
	// retried.
	mayChange = `EXISTS (SELECT FROM claimcheck_group_members AS m WHERE m.group_id = g.id AND m.state IN (0, 2, 4))`
	// keepCountsQuery: a group that is closed has all of its members.
	keepCountsQuery = `
UPDATE claimcheck_groups AS g SET
	total = coalesce(total, (SELECT count(*) FROM claimcheck_group_members AS m WHERE m.group_id = g.id)),
	cancelled = CASE WHEN NOT ` + mayChange + ` THEN (SELECT count(*) FROM claimcheck_group_members AS m WHERE m.group_id = g.id AND m.state = 3) END
WHERE id = ANY(ARRAY(
	SELECT id FROM claimcheck_groups AS g
	WHERE id = ANY($1::uuid[]) AND succeeded_at IS NULL AND closed_at IS NOT NULL AND cancelled IS NULL AND (total IS NULL OR NOT ` + mayChange + `)
	ORDER BY id FOR NO KEY UPDATE SKIP LOCKED))`
)

// MaintainGroups records the counts of closed groups that cannot change any more.
func (s *Store) MaintainGroups(ctx context.Context, after uuid.UUID, limit int) (last uuid.UUID, err error) {
	var ids []uuid.UUID
	err = s.on(ctx, "maintain groups", func(conn *pgx.Conn) error {
		ids = nil
		result, err := conn.Query(ctx, unfinishedGroupsQuery, pgtype.UUID{Bytes: after, Valid: true}, limit)
		if err != nil {
			return err
		}
		var found id
		_, err = pgx.ForEachRow(result, []any{&found}, func() error {
			ids = append(ids, uuid.UUID(found))
			return nil
		})
		if err != nil || len(ids) == 0 {
			return err
		}
		_, err = conn.Exec(ctx, keepCountsQuery, uuidValues(ids))
		return err
	})
	if len(ids) == limit {
		last = ids[limit-1]
	}
	return last, err
}
