package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/internal/storekit"
)

var _ queue.Grouper = (*Store)(nil)

// Whatever writes the state of a row that is a member of a group also writes the state of
// the member, which is a row of its own: ends of tasks of one group do not wait for each
// other. On MySQL the row of the group is locked, shared, while members are added, and
// alone to close or to complete it.

const groupColumns = `id, name, created_at, closed_at, succeeded_at, failed_at, on_success, on_failure, coalesce(total, -1), coalesce(cancelled, -1)`

func scanGroup(scan func(dest ...any) error) (g *queue.Group, kept storekit.KeptCounts, err error) {
	g = new(queue.Group)
	var success, failure sql.NullString
	err = scan(&g.ID, &g.Name, at(&g.CreatedAt), at(&g.ClosedAt), at(&g.SucceededAt), at(&g.FailedAt), &success, &failure, &kept.Total, &kept.Cancelled)
	if err != nil {
		return nil, kept, err
	}
	var failureErr error
	g.OnSuccess, err = queue.DecodeCompletion(success.String)
	g.OnFailure, failureErr = queue.DecodeCompletion(failure.String)
	if err = errors.Join(err, failureErr); err != nil {
		return nil, kept, fmt.Errorf("group %s: %w", g.ID, err)
	}
	return g, kept, nil
}

// Index: the primary key.
const groupQuery = `SELECT ` + groupColumns + ` FROM claimcheck_groups WHERE id = ?`

// loadGroup reads a group, locked as lock says. If it is not found, or skipped because it
// is locked, the error is queue.ErrGroupNotFound.
func loadGroup(ctx context.Context, q querier, id uuid.UUID, lock string) (*queue.Group, error) {
	g, _, err := scanGroup(q.QueryRowContext(ctx, groupQuery+lock, id).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, queue.ErrGroupNotFound
	}
	return g, err
}

// lockGroup reads a group and locks it. Only a caller's transaction waits for it: else the
// error is queue.ErrLocked.
func lockGroup(ctx context.Context, tx querier, id uuid.UUID) (*queue.Group, error) {
	if tx.callers {
		return loadGroup(ctx, tx, id, tx.store.dialect.lockRow)
	}
	g, err := loadGroup(ctx, tx, id, tx.store.dialect.lockRows)
	if errors.Is(err, queue.ErrGroupNotFound) && tx.store.dialect.lockRows != "" {
		if _, err := loadGroup(ctx, tx, id, ""); err != nil {
			return nil, err
		}
		return nil, storekit.GroupLocked(id)
	}
	return g, err
}

// CreateGroup stores a group.
func (s *Store) CreateGroup(ctx context.Context, tx queue.Tx, g *queue.Group) error {
	const op = "create group"
	create := func(ctx context.Context, q querier, now time.Time) error {
		result, err := q.ExecContext(ctx, `INSERT INTO claimcheck_groups (id, name, created_at, on_success, on_failure) VALUES (?, ?, ?, ?, ?)`+s.dialect.onDuplicate,
			g.ID, g.Name, micros(now), nonZero(queue.EncodeCompletion(g.OnSuccess)), nonZero(queue.EncodeCompletion(g.OnFailure)))
		if err != nil && !s.backend.Duplicate(err) {
			return err
		}
		lock, n := "", int64(0)
		if err != nil {
			lock = s.dialect.lockShared // a caller's transaction may have begun before it was created
		} else if n, err = result.RowsAffected(); err != nil {
			return err
		}
		stored, err := loadGroup(ctx, q, g.ID, lock)
		if err != nil {
			return err
		}
		*g, g.Existed = *stored, n == 0
		return nil
	}
	if tx != nil {
		return s.in(ctx, op, tx, atNow(create))
	}
	return s.write(ctx, op, create)
}

// CloseGroup closes a group.
func (s *Store) CloseGroup(ctx context.Context, tx queue.Tx, id uuid.UUID) error {
	const op = "close group"
	closing := func(ctx context.Context, q querier) error {
		g, err := lockGroup(ctx, q, id)
		if err != nil || !g.ClosedAt.IsZero() {
			return err
		}
		now, err := q.now(ctx)
		if err != nil {
			return err
		}
		_, err = q.ExecContext(ctx, `UPDATE claimcheck_groups SET closed_at = ? WHERE id = ?`, micros(now), id)
		return err
	}
	if tx != nil {
		return s.in(ctx, op, tx, closing)
	}
	return storekit.RetryLocked(ctx, storekit.CancelPatience, func() error { return s.transaction(ctx, op, closing) })
}

// Index: claimcheck_groups_created, from a position.
const groupsQuery = `SELECT ` + groupColumns + ` FROM claimcheck_groups WHERE created_at <= ? AND (created_at < ? OR id < ?) ORDER BY created_at DESC, id DESC LIMIT ?`

// Groups returns a page of groups with their counts.
func (s *Store) Groups(ctx context.Context, r queue.GroupsRequest) (page queue.GroupsPage, err error) {
	before, beforeID, err := storekit.GroupsBefore(r.After)
	if err != nil {
		return page, err
	}
	query, args := groupsQuery, []any{micros(before), micros(before), beforeID, r.Limit + 1}
	if len(r.IDs) > 0 {
		query = `SELECT ` + groupColumns + ` FROM claimcheck_groups WHERE id IN (` + marks(len(r.IDs)) + `) ORDER BY created_at DESC, id DESC`
		args = anys(r.IDs)
	}
	err = s.read(ctx, "list groups", func(conn querier) error {
		var groups []*queue.Group
		counts := storekit.NewGroupCounts()
		err := each(ctx, conn, func(scan func(...any) error) error {
			g, kept, err := scanGroup(scan)
			if err == nil {
				groups, counts.Kept[g.ID] = append(groups, g), kept
			}
			return err
		}, query, args...)
		if err != nil {
			return err
		}
		page = storekit.GroupPage(groups, r.Limit)
		return countMembers(ctx, conn, page.Groups, counts)
	})
	return page, err
}

// countMembers fills in the counts of groups, of which counts has those that are kept.
// Indexes: claimcheck_group_members_state, claimcheck_tasks_lease.
func countMembers(ctx context.Context, q querier, groups []*queue.Group, counts *storekit.GroupCounts) error {
	all, some := counts.ToCount(groups)
	read := func(ids []uuid.UUID, which string) error {
		if len(ids) == 0 {
			return nil
		}
		return each(ctx, q, func(scan func(...any) error) error {
			var group uuid.UUID
			var state queue.MemberState
			var n int
			err := scan(&group, &state, &n)
			counts.Add(group, state, n)
			return err
		}, `SELECT group_id, state, count(*) FROM claimcheck_group_members WHERE group_id IN (`+marks(len(ids))+`)`+which+` GROUP BY group_id, state`, anys(ids)...)
	}
	if err := cmp.Or(read(all, ``), read(some, ` AND state IN (0, 2, 3, 4)`)); err != nil {
		return err
	}
	err := error(nil)
	if live := slices.Concat(all, some); len(live) > 0 {
		err = each(ctx, q, func(scan func(...any) error) error {
			var group uuid.UUID
			var n int
			err := scan(&group, &n)
			counts.Running[group] = n
			return err
		}, `SELECT group_id, count(*) FROM claimcheck_tasks`+q.store.dialect.useIndex("claimcheck_tasks_lease")+`
		WHERE status = 'RUNNING' AND lease_expires_at IS NOT NULL AND group_id IN (`+marks(len(live))+`) GROUP BY group_id`, anys(live)...)
	}
	counts.Set(groups)
	return err
}

// GroupMembers returns members of a group. Index: the primary key; of a few states
// claimcheck_group_members_state.
func (s *Store) GroupMembers(ctx context.Context, r queue.MembersRequest) (ids []uuid.UUID, err error) {
	query, args := `SELECT task_id FROM claimcheck_group_members WHERE group_id = ? AND task_id > ?`, []any{r.Group, r.After}
	if len(r.States) > 0 {
		query += ` AND state IN (` + marks(len(r.States)) + `)`
		args = append(args, anys(r.States)...)
	}
	if len(r.IDs) > 0 {
		query += ` AND task_id IN (` + marks(len(r.IDs)) + `)`
		args = append(args, anys(r.IDs)...)
	}
	err = s.read(ctx, "list members of a group", func(conn querier) error {
		ids = nil
		return each(ctx, conn, func(scan func(...any) error) error {
			var id uuid.UUID
			err := scan(&id)
			ids = append(ids, id)
			return err
		}, query+` ORDER BY task_id LIMIT ?`, append(args, r.Limit)...)
	})
	return ids, err
}

// overQuery finds groups whose members have ended and are deleted, from a position. Indexes:
// claimcheck_groups_created, claimcheck_group_members_state, the primary keys.
const overQuery = `SELECT created_at, id FROM claimcheck_groups
	WHERE created_at >= ? AND (created_at > ? OR id > ?)
		AND created_at <= ? AND closed_at <= ? AND coalesce(succeeded_at, failed_at) <= ? AND coalesce(failed_at, succeeded_at) <= ?
		AND NOT EXISTS (SELECT 1 FROM claimcheck_group_members AS m WHERE m.group_id = claimcheck_groups.id AND m.state IN (0, 4))
		AND NOT EXISTS (SELECT 1 FROM claimcheck_group_members AS m JOIN claimcheck_tasks AS t ON t.id = m.task_id WHERE m.group_id = claimcheck_groups.id)
	ORDER BY created_at, id LIMIT ?`

// groupPosition is the position of a group in the order of creation.
type groupPosition struct {
	createdAt int64
	id        uuid.UUID
}

// DeleteGroups deletes groups of which nothing else is left.
func (s *Store) DeleteGroups(ctx context.Context, age time.Duration, limit int) (deleted int, err error) {
	var after groupPosition
	for more := true; more && err == nil && deleted < limit; {
		n, last := 0, after
		err = s.write(ctx, "delete groups", func(ctx context.Context, tx querier, now time.Time) (err error) {
			n, last, more, err = deleteOver(ctx, tx, now.Add(-age), limit-deleted, after)
			return err
		})
		if err == nil {
			deleted, after = deleted+n, last
		}
	}
	return deleted, err
}

// deleteOver deletes some groups of which nothing else is left, and returns where it
// stopped, and whether there may be more. Index: the primary keys.
func deleteOver(ctx context.Context, tx querier, age time.Time, limit int, after groupPosition) (deleted int, last groupPosition, more bool, err error) {
	before := micros(age)
	var over []uuid.UUID
	last = after
	err = each(ctx, tx, func(scan func(...any) error) error {
		err := scan(&last.createdAt, &last.id)
		over = append(over, last.id)
		return err
	}, overQuery+tx.store.dialect.lockRows, after.createdAt, after.createdAt, after.id, before, before, before, before, limit)
	if err != nil || len(over) == 0 {
		return 0, last, false, err
	}
	existing := make(map[uuid.UUID]bool)
	err = inChunks(storekit.CompletionsOf(over), func(some []uuid.UUID) error {
		return each(ctx, tx, func(scan func(...any) error) error {
			var id uuid.UUID
			err := scan(&id)
			existing[id] = true
			return err
		}, `SELECT id FROM claimcheck_tasks WHERE id IN (`+marks(len(some))+`)`, anys(some)...)
	})
	if err != nil {
		return 0, last, false, err
	}
	gone := storekit.WithoutCompletions(over, existing)
	err = inChunks(gone, func(some []uuid.UUID) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM claimcheck_group_members WHERE group_id IN (`+marks(len(some))+`)`, anys(some)...); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `DELETE FROM claimcheck_groups WHERE id IN (`+marks(len(some))+`)`, anys(some)...)
		return err
	})
	return len(gone), last, len(over) == limit, err
}
