package pgstore

import (
	"context"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/internal/storekit"
)

// insertGrouped is insertAny of rows some of which are members.
func (s *Store) insertGrouped(ctx context.Context, q querier, callers bool, rows []*queue.NewRow) ([]inserted, error) {
	groups := storekit.GroupsOf(rows)
	if len(groups) == 0 {
		return s.insertAny(ctx, q, callers, rows)
	}
	open, err := shareGroups(ctx, q, callers, groups)
	if err != nil {
		return nil, err
	}
	stored, err := s.insertAny(ctx, q, callers, rows)
	if err != nil {
		return nil, err
	}
	members, err := storekit.MembersOf(rows, func(i int) bool { return stored[i].existed }, open)
	if err != nil || len(members) == 0 {
		return stored, err
	}
	once, others := storekit.MembersOnce(members)
	if err := addMembers(ctx, q, addMembersQuery, others); err != nil {
		return nil, err
	}
	return stored, addMembers(ctx, q, addMembersOnceQuery, once)
}

// addMembers makes rows that were inserted members of their groups.
func addMembers(ctx context.Context, q querier, query string, members []*queue.NewRow) error {
	if len(members) == 0 {
		return nil
	}
	of, tasks := make([]uuid.UUID, len(members)), make([]uuid.UUID, len(members))
	for i, row := range members {
		of[i], tasks[i] = row.Group, row.ID
	}
	added, err := count(q.Exec(ctx, query, uuidValues(of), uuidValues(tasks)))
	if err == nil && added < len(members) {
		err = queue.ErrMemberSucceeded
	}
	return err
}

// addMembersQuery: a task that was a member before, and was deleted, is one again;
// addMembersOnceQuery adds none that has succeeded. Index: the primary key.
const (
	addMembersQuery = `
INSERT INTO claimcheck_group_members AS m (group_id, task_id, state) SELECT *, 0 FROM unnest($1::uuid[], $2::uuid[])
ON CONFLICT (group_id, task_id) DO UPDATE SET state = CASE WHEN m.state >= 2 THEN 4 ELSE 0 END`
	addMembersOnceQuery = addMembersQuery + ` WHERE m.state NOT IN (1, 5)`
)

// shareQuery locks groups against being closed. Index: the primary key.
const shareQuery = `SELECT id, closed_at IS NULL FROM claimcheck_groups WHERE id = ANY($1::uuid[]) ORDER BY id FOR KEY SHARE`

// shareGroups locks groups against being closed, and returns which are open. Only a
// caller's transaction waits for one that closes a group.
func shareGroups(ctx context.Context, q querier, callers bool, groups []uuid.UUID) (open map[uuid.UUID]bool, err error) {
	open = make(map[uuid.UUID]bool, len(groups))
	read := func(query string) error {
		result, err := q.Query(ctx, query, uuidValues(groups))
		if err != nil {
			return err
		}
		var group uuid.UUID
		var isOpen bool
		_, err = pgx.ForEachRow(result, []any{(*id)(&group), &isOpen}, func() error {
			open[group] = isOpen
			return nil
		})
		return err
	}
	if callers {
		return open, read(shareQuery)
	}
	if err := read(shareQuery + ` SKIP LOCKED`); err != nil || len(open) == len(groups) {
		return open, err
	}
	locked := slices.DeleteFunc(slices.Clone(groups), func(group uuid.UUID) bool { _, ok := open[group]; return ok })
	found, _, err := scanGroups(q.Query(ctx, groupsOfQuery, uuidValues(locked)))
	if err == nil && len(found) > 0 {
		err = storekit.GroupLocked(found[0].ID)
	}
	return open, err
}

// insertMembers is Insert of rows some of which are members.
func (s *Store) insertMembers(ctx context.Context, rows []*queue.NewRow) error {
	const op = "insert tasks"
	var stored []inserted
	err := storekit.RetryLocked(ctx, storekit.KeyPatience, func() error {
		return s.with(ctx, op, use{ownTransaction: true}, func(conn *pgx.Conn) error {
			return pgx.BeginTxFunc(ctx, conn, readCommitted, func(tx pgx.Tx) (err error) {
				stored, err = s.insertGrouped(ctx, tx, false, rows)
				return err
			})
		})
	})
	if slices.ContainsFunc(rows, func(r *queue.NewRow) bool { return r.OnConflict == queue.ReplaceExisting }) {
		s.hints.forget() // a row that was replaced may precede them
	}
	return copyBack(rows, storekit.KeyContended(op, err), stored...)
}
