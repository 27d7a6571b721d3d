package sqlstore

import (
	"context"
	"encoding/json"
	"time"

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

// dropArgs replaces the arguments of a row that has ended with a Keep of 0. They may not
// have been read with the row.
func dropArgs(ctx context.Context, q querier, row *queue.Row) (dropped json.RawMessage, err error) {
	var args string
	if err := q.QueryRowContext(ctx, `SELECT args FROM claimcheck_tasks WHERE id = ?`, row.ID).Scan(&args); err != nil {
		return nil, err
	}
	dropped = queue.DroppedArgs([]byte(args))
	_, err = q.ExecContext(ctx, `UPDATE claimcheck_tasks`+q.store.dialect.byID+` SET args = ?, return_value = NULL WHERE id = ?`, string(dropped), row.ID)
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
	return `SELECT id FROM claimcheck_tasks` + d.useIndex(d.deleteIndex) + `
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

// DeleteKept deletes at most limit ended rows whose Keep is over.
func (s *Store) DeleteKept(ctx context.Context, limit int) (deleted int, err error) {
	for deleted < limit {
		batch := min(purgeBatch, limit-deleted)
		n := 0
		err := s.write(ctx, "delete tasks", func(ctx context.Context, tx querier, now time.Time) error {
			ids, err := lockedIDs(ctx, tx, tx.store.dialect.deleteDue(), tx.store.dialect.deleteTime(now), batch)
			if n = 0; err == nil && len(ids) > 0 {
				n, err = deleteFinal(ctx, tx, ids)
			}
			return err
		})
		if err != nil {
			return deleted, err
		}
		if deleted += n; n < batch {
			break
		}
	}
	return deleted, nil
}
