package pgstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/internal/storekit"
)

var _ queue.Grouper = (*Store)(nil)

// The states of members are kept by the triggers that count finished rows (00016), so that
// no statement that ends a task says anything about groups. Each member has its own row, and
// a transaction that changes it has locked the row of the task: ends of tasks of one group neither wait
// for each other nor deadlock.
//
// The row of the group is locked FOR KEY SHARE while members are added, FOR UPDATE to close
// it, and FOR NO KEY UPDATE to complete it, which excludes other completions only.

// groupColumns are the columns of a group, in the order of groupFields.
const groupColumns = `id, name, created_at, closed_at, succeeded_at, failed_at, coalesce(on_success, ''), coalesce(on_failure, ''), coalesce(total, -1), coalesce(cancelled, -1)`

// scannedGroup is a group while it is being read.
type scannedGroup struct {
	queue.Group
	success, failure string
	kept             storekit.KeptCounts
}

func (g *scannedGroup) fields() []any {
	return []any{(*id)(&g.ID), &g.Name, (*moment)(&g.CreatedAt), (*moment)(&g.ClosedAt), (*moment)(&g.SucceededAt), (*moment)(&g.FailedAt), &g.success, &g.failure, &g.kept.Total, &g.kept.Cancelled}
}

func (g *scannedGroup) group() (*queue.Group, error) {
	group := g.Group
	var err, failureErr error
	group.OnSuccess, err = queue.DecodeCompletion(g.success)
	group.OnFailure, failureErr = queue.DecodeCompletion(g.failure)
	if err = errors.Join(err, failureErr); err != nil {
		return nil, fmt.Errorf("group %s: %w", group.ID, err)
	}
	return &group, nil
}

// Indexes: the primary key.
const (
	createGroupQuery = `
INSERT INTO claimcheck_groups (id, name, created_at, on_success, on_failure) VALUES ($1::uuid, $2::text, now(), nullif($3::text, ''), nullif($4::text, ''))
ON CONFLICT (id) DO NOTHING
RETURNING ` + groupColumns
	groupQuery = `SELECT ` + groupColumns + ` FROM claimcheck_groups WHERE id = $1::uuid`
)

// CreateGroup stores a group.
func (s *Store) CreateGroup(ctx context.Context, tx queue.Tx, g *queue.Group) error {
	const op = "create group"
	create := func(q querier) error {
		var r scannedGroup
		err := q.QueryRow(ctx, createGroupQuery, uuidValue(g.ID), g.Name, queue.EncodeCompletion(g.OnSuccess), queue.EncodeCompletion(g.OnFailure)).Scan(r.fields()...)
		existed := errors.Is(err, pgx.ErrNoRows)
		if existed {
			err = q.QueryRow(ctx, groupQuery, uuidValue(g.ID)).Scan(r.fields()...)
		}
		if errors.Is(err, pgx.ErrNoRows) { // it is not visible to this transaction, or it was just deleted
			return fmt.Errorf("group %s: %w: another transaction is creating or deleting it", g.ID, queue.ErrContended)
		}
		if err != nil {
			return err
		}
		stored, err := r.group()
		if err == nil {
			*g, g.Existed = *stored, existed
		}
		return err
	}
	if tx != nil {
		return s.in(ctx, op, tx, func(tx pgx.Tx) error { return create(tx) })
	}
	return s.on(ctx, op, func(conn *pgx.Conn) error { return create(conn) })
}

// Indexes: the primary key.
const (
	closeGroup   = `UPDATE claimcheck_groups SET closed_at = now() WHERE closed_at IS NULL AND id = `
	lockToClose  = `(SELECT id FROM claimcheck_groups WHERE id = $1::uuid FOR UPDATE`
	closeTxQuery = closeGroup + lockToClose + `)`
	closeQuery   = closeGroup + lockToClose + ` SKIP LOCKED)`
	isOpenQuery  = `SELECT closed_at IS NULL FROM claimcheck_groups WHERE id = $1::uuid`
)

// CloseGroup closes a group.
func (s *Store) CloseGroup(ctx context.Context, tx queue.Tx, groupID uuid.UUID) error {
	const op = "close group"
	closing := func(q querier, query string) error {
		n, err := count(q.Exec(ctx, query, uuidValue(groupID)))
		if err != nil || n > 0 {
			return err
		}
		var open bool
		err = q.QueryRow(ctx, isOpenQuery, uuidValue(groupID)).Scan(&open)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			return queue.ErrGroupNotFound
		case err == nil && open:
			return storekit.GroupLocked(groupID)
		}
		return err
	}
	if tx != nil {
		return s.in(ctx, op, tx, func(tx pgx.Tx) error { return closing(tx, closeTxQuery) })
	}
	return storekit.RetryLocked(ctx, storekit.CancelPatience, func() error {
		return s.on(ctx, op, func(conn *pgx.Conn) error { return closing(conn, closeQuery) })
	})
}

// Indexes: claimcheck_groups_created, from a position; the primary key.
const (
	groupsQuery   = `SELECT ` + groupColumns + ` FROM claimcheck_groups WHERE (created_at, id) < ($1::timestamptz, $2::uuid) ORDER BY created_at DESC, id DESC LIMIT $3::int8`
	groupsOfQuery = `SELECT ` + groupColumns + ` FROM claimcheck_groups WHERE id = ANY($1::uuid[]) ORDER BY created_at DESC, id DESC`
)

// Indexes: claimcheck_group_members_state, and nothing of the table;
// claimcheck_tasks_lease.
const (
	memberCountsQuery = `SELECT group_id, state, count(*) FROM claimcheck_group_members WHERE group_id = ANY($1::uuid[]) GROUP BY group_id, state`
	otherCountsQuery  = `SELECT group_id, state, count(*) FROM claimcheck_group_members WHERE group_id = ANY($1::uuid[]) AND state IN (0, 2, 3, 4) GROUP BY group_id, state`
	runningOfQuery    = `SELECT group_id, 0, count(*) FROM claimcheck_tasks WHERE status = 'RUNNING' AND group_id = ANY($1::uuid[]) GROUP BY group_id`
)

// Groups returns a page of groups with their counts.
func (s *Store) Groups(ctx context.Context, r queue.GroupsRequest) (page queue.GroupsPage, err error) {
	before, beforeID, err := storekit.GroupsBefore(r.After)
	if err != nil {
		return page, err
	}
	err = s.with(ctx, "list groups", use{ownTransaction: true}, func(conn *pgx.Conn) error {
		return pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
			query, args := groupsQuery, []any{timeValue(before), uuidValue(beforeID), r.Limit + 1}
			if len(r.IDs) > 0 {
				query, args = groupsOfQuery, []any{uuidValues(r.IDs)}
			}
			groups, kept, err := scanGroups(tx.Query(ctx, query, args...))
			if err != nil {
				return err
			}
			page = storekit.GroupPage(groups, r.Limit)
			return countMembers(ctx, tx, page.Groups, kept)
		})
	})
	return page, err
}

func scanGroups(result pgx.Rows, err error) (groups []*queue.Group, kept map[uuid.UUID]storekit.KeptCounts, _ error) {
	if err != nil {
		return nil, nil, err
	}
	var r scannedGroup
	kept = make(map[uuid.UUID]storekit.KeptCounts)
	_, err = pgx.ForEachRow(result, r.fields(), func() error {
		g, err := r.group()
		groups, kept[r.ID] = append(groups, g), r.kept
		return err
	})
	return groups, kept, err
}

// countMembers fills in the counts of groups.
func countMembers(ctx context.Context, q querier, groups []*queue.Group, kept map[uuid.UUID]storekit.KeptCounts) error {
	counts := storekit.NewGroupCounts()
	counts.Kept = kept
	all, some := counts.ToCount(groups)
	read := func(query string, ids []uuid.UUID, add func(group uuid.UUID, state queue.MemberState, n int)) error {
		if len(ids) == 0 {
			return nil
		}
		result, err := q.Query(ctx, query, uuidValues(ids))
		if err != nil {
			return err
		}
		var group uuid.UUID
		var state, n int
		_, err = pgx.ForEachRow(result, []any{(*id)(&group), &state, &n}, func() error {
			add(group, queue.MemberState(state), n)
			return nil
		})
		return err
	}
	err := read(memberCountsQuery, all, counts.Add)
	if err == nil {
		err = read(otherCountsQuery, some, counts.Add)
	}
	if err == nil {
		err = read(runningOfQuery, slices.Concat(all, some), func(group uuid.UUID, _ queue.MemberState, n int) { counts.Running[group] = n })
	}
	counts.Set(groups)
	return err
}

// Indexes: the primary key; of a few states claimcheck_group_members_state.
const (
	selectMembers = `SELECT task_id FROM claimcheck_group_members
	WHERE group_id = $1::uuid AND task_id > $2::uuid AND ($3::int8[] = '{}' OR state = ANY($3::int8[]))`
	membersInOrder = `
	ORDER BY task_id LIMIT $4::int8`
	membersQuery     = selectMembers + membersInOrder
	someMembersQuery = selectMembers + ` AND task_id = ANY($5::uuid[])` + membersInOrder
)

// GroupMembers returns members of a group.
func (s *Store) GroupMembers(ctx context.Context, r queue.MembersRequest) (ids []uuid.UUID, err error) {
	states := []int64{}
	for _, state := range r.States {
		states = append(states, int64(state))
	}
	err = s.on(ctx, "list members of a group", func(conn *pgx.Conn) error {
		ids = nil
		query, args := membersQuery, []any{uuidValue(r.Group), pgtype.UUID{Bytes: r.After, Valid: true}, states, r.Limit}
		if len(r.IDs) > 0 {
			query, args = someMembersQuery, append(args, uuidValues(r.IDs))
		}
		result, err := conn.Query(ctx, query, args...)
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

// Indexes: claimcheck_groups_created, from a position; claimcheck_group_members_state, the
// primary keys.
const (
	overQuery = `
SELECT created_at, id FROM claimcheck_groups AS g
	WHERE (created_at, id) > ($3::timestamptz, $4::uuid)
		AND created_at <= now() - $1::interval AND greatest(closed_at, succeeded_at, failed_at) <= now() - $1::interval AND closed_at IS NOT NULL
		AND (succeeded_at IS NOT NULL OR failed_at IS NOT NULL)
		AND NOT EXISTS (SELECT FROM claimcheck_group_members AS m WHERE m.group_id = g.id AND m.state IN (0, 4))
		AND NOT EXISTS (SELECT FROM claimcheck_group_members AS m JOIN claimcheck_tasks AS t ON t.id = m.task_id WHERE m.group_id = g.id)
	ORDER BY created_at, id LIMIT $2::int8 FOR UPDATE SKIP LOCKED`
	completionsQuery  = `SELECT id FROM claimcheck_tasks WHERE id = ANY($1::uuid[])`
	deleteGroupsQuery = `
WITH members AS (DELETE FROM claimcheck_group_members WHERE group_id = ANY($1::uuid[]))
DELETE FROM claimcheck_groups WHERE id = ANY($1::uuid[])`
)

// DeleteGroups deletes groups of which nothing else is left.
func (s *Store) DeleteGroups(ctx context.Context, age time.Duration, limit int) (deleted int, err error) {
	var after queue.Cursor
	for more := true; more && err == nil && deleted < limit; {
		n, last := 0, after
		err = s.with(ctx, "delete groups", use{ownTransaction: true}, func(conn *pgx.Conn) error {
			return pgx.BeginTxFunc(ctx, conn, readCommitted, func(tx pgx.Tx) (err error) {
				n, last, more, err = deleteOver(ctx, tx, age, limit-deleted, after)
				return err
			})
		})
		if err == nil {
			deleted, after = deleted+n, last
		}
	}
	return deleted, err
}

// deleteOver deletes some groups of which nothing else is left, and returns where it
// stopped, and whether there may be more.
func deleteOver(ctx context.Context, tx pgx.Tx, age time.Duration, limit int, after queue.Cursor) (deleted int, last queue.Cursor, more bool, err error) {
	result, err := tx.Query(ctx, overQuery, age, limit, after.At, pgtype.UUID{Bytes: after.ID, Valid: true})
	if err != nil {
		return 0, after, false, err
	}
	var over []uuid.UUID
	last = after
	_, err = pgx.ForEachRow(result, []any{(*moment)(&last.At), (*id)(&last.ID)}, func() error {
		over = append(over, last.ID)
		return nil
	})
	if err != nil || len(over) == 0 {
		return 0, last, false, err
	}
	existing := make(map[uuid.UUID]bool)
	if result, err = tx.Query(ctx, completionsQuery, uuidValues(storekit.CompletionsOf(over))); err != nil {
		return 0, last, false, err
	}
	var found id
	_, err = pgx.ForEachRow(result, []any{&found}, func() error {
		existing[uuid.UUID(found)] = true
		return nil
	})
	if err != nil {
		return 0, last, false, err
	}
	deleted, err = count(tx.Exec(ctx, deleteGroupsQuery, uuidValues(storekit.WithoutCompletions(over, existing))))
	return deleted, last, len(over) == limit, err
}
