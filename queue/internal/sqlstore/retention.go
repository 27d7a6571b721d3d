package sqlstore

import (
	"cmp"
	"context"
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// end ends a row with a final status. save then writes it, and drops what queue.Keep says.
func end(row *queue.Row, status queue.Status, now time.Time) {
	row.DeleteAt = row.KeptUntil(status, now)
	row.Status = status
	row.FinishedAt = now
	row.LeaseExpiresAt = time.Time{}
	if row.Dropped() {
		row.ReturnValue = nil
	}
}

// expire cancels a row that has expired.
func expire(row *queue.Row, now time.Time) {
	cancel(row, now)
	row.Errors = queue.ExpiredErrors(now)
}

// dropArgs replaces the arguments of a row that has ended with a Keep of 0, and removes its
// checkpoint. They may not
// have been read with the row.
func dropArgs(ctx context.Context, q querier, row *queue.Row) (dropped json.RawMessage, err error) {
	var args string
	if err := q.QueryRowContext(ctx, `SELECT args FROM claimcheck_tasks WHERE id = ?`, row.ID).Scan(&args); err != nil {
		return nil, err
	}
	dropped = queue.DroppedArgs([]byte(args))
	_, err = q.ExecContext(ctx, `UPDATE claimcheck_tasks`+q.store.dialect.byID+` SET args = ?, return_value = NULL`+dropCheckpoint+` WHERE id = ?`, string(dropped), row.ID)
	return dropped, err
}

// expiryDue selects the rows that have expired, and deleteDue ended rows whose Keep is
// over, up to a limit.

// Index: claimcheck_tasks_expiry or _retention.
func (d *Dialect) expiryDue() string {
	return `SELECT ` + lightColumns + ` FROM claimcheck_tasks` + d.useIndex(d.expiryIndex) + `
		WHERE ` + d.expiring + ` AND ` + d.expiryAt + ` <= ?
		ORDER BY ` + d.expiryAt + ` LIMIT ?`
}

// Index: claimcheck_tasks_delete or _retention.
func (d *Dialect) deleteDue() string {
	return `SELECT id, delete_at IS NULL FROM claimcheck_tasks` + d.useIndex(d.deleteIndex) + `
		WHERE ` + d.deletable + ` AND ` + d.deleteReached + ` AND status IN ('SUCCESSFUL', 'FAILED', 'CANCELLED')
		ORDER BY ` + d.deleteOrder + ` LIMIT ?`
}

// deleteTime is the parameter of deleteReached and deleteAhead.
func (d *Dialect) deleteTime(now time.Time) int64 { return d.deleteSign * now.UnixMicro() }

// expireAll is expire of up to n rows.
func expireAll(ctx context.Context, tx querier, now time.Time, n int) (int, error) {
	rows, err := list(ctx, tx, tx.store.dialect.expiryDue(), micros(now), n)
	if err != nil {
		return 0, err
	}
	for _, row := range rows {
		expire(row, now)
		if err := save(ctx, tx, row, now); err != nil {
			return 0, err
		}
	}
	return len(rows), nil
}

// expireBatch is how many rows one transaction expires: each is one statement.
const expireBatch = 100

// DeleteKept deletes at most limit ended rows whose Keep is over. Rows that an old program
// has ended have no DeleteAt yet: it sets that first.
func (s *Store) DeleteKept(ctx context.Context, limit int) (deleted int, err error) {
	for deleted < limit {
		batch := min(purgeBatch, limit-deleted)
		n, set := 0, 0
		err := s.write(ctx, "delete tasks", func(ctx context.Context, tx querier, now time.Time) error {
			over, unset, err := lockKept(ctx, tx, now, batch)
			if n, set = 0, len(unset); err == nil && len(over) > 0 {
				n, err = deleteFinal(ctx, tx, over)
			}
			for _, id := range unset {
				err = cmp.Or(err, setDeleteAt(ctx, tx, id, now))
			}
			return err
		})
		if err != nil {
			return deleted, err
		}
		if deleted += n; n < batch && set == 0 {
			break
		}
	}
	return deleted, nil
}

// lockKept locks ended rows that are to be deleted now, and those without a DeleteAt.
func lockKept(ctx context.Context, tx querier, now time.Time, limit int) (over []any, unset []uuid.UUID, err error) {
	err = each(ctx, tx, func(scan func(...any) error) error {
		var id uuid.UUID
		var isUnset bool
		err := scan(&id, &isUnset)
		if isUnset {
			unset = append(unset, id)
		} else {
			over = append(over, id)
		}
		return err
	}, tx.store.dialect.deleteDue()+tx.store.dialect.lockRows, tx.store.dialect.deleteTime(now), limit)
	return over, unset, err
}

// setDeleteAt sets when a row is deleted that has ended without it.
func setDeleteAt(ctx context.Context, tx querier, id uuid.UUID, now time.Time) error {
	row, err := loadBy(ctx, tx, loadQuery, id)
	if err != nil {
		return err
	}
	row.DeleteAt = row.KeptUntil(row.Status, row.FinishedAt)
	if row.Dropped() {
		row.ReturnValue = nil
	}
	return save(ctx, tx, row, now)
}
