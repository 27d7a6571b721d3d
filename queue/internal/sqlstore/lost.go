package sqlstore

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// loseWorker fails a row whose lease has expired with no attempt left. It clears the
// claim ID, so that the lost worker, if it returns, does not take this end for its
// own.
func loseWorker(row *queue.Row, now time.Time) {
	row.Errors = row.LostErrors(now)
	end(row, queue.StatusFailed, now)
	row.ClaimID = uuid.Nil
}

// loseWorkers is loseWorker of up to n rows.
func loseWorkers(ctx context.Context, tx querier, now time.Time, n int) (int, error) {
	rows, err := list(ctx, tx, tx.store.dialect.workerLost(), micros(now), n)
	if err != nil {
		return 0, err
	}
	var some lostRows
	for _, row := range rows {
		loseWorker(row, now)
		if row.Keep != nil || row.OnFailed != nil || row.Group != uuid.Nil { // which the statement for many does not know
			if err := saveLost(ctx, tx, row, now); err != nil {
				return 0, err
			}
			continue
		}
		history, err := json.Marshal(row.Errors)
		if err != nil {
			return 0, err
		}
		if len(some.ids) > 0 && some.size+len(history) > batchBytes {
			if err := some.save(ctx, tx, now); err != nil {
				return 0, err
			}
			some = lostRows{}
		}
		some.add(row, string(history))
	}
	return len(rows), some.save(ctx, tx, now)
}

// saveLost writes a row that loseWorker has failed, which may have been read without its
// arguments, and inserts what that enqueues.
func saveLost(ctx context.Context, tx querier, row *queue.Row, now time.Time) error {
	if row.OnFailed == nil {
		return save(ctx, tx, row, now)
	}
	whole := *row
	var args string
	if err := tx.QueryRowContext(ctx, `SELECT args FROM claimcheck_tasks WHERE id = ?`, row.ID).Scan(&args); err != nil {
		return err
	}
	whole.Args = []byte(args)
	if err := save(ctx, tx, row, now); err != nil {
		return err
	}
	_, err := insert(ctx, tx, now, []*queue.NewRow{whole.Letter()})
	return err
}

// lostRows are rows that one statement fails.
type lostRows struct {
	ids                      []any
	histories, groups, texts []any // pairs of an ID and a value, for byRow
	size                     int   // of the histories, in bytes
}

func (l *lostRows) add(row *queue.Row, history string) {
	group, text := queue.LastError(row.Errors)
	l.ids = append(l.ids, row.ID)
	l.histories = append(l.histories, row.ID, history)
	l.groups = append(l.groups, row.ID, nonZero(group))
	l.texts = append(l.texts, row.ID, nonZero(text))
	l.size += len(history)
}

func (l *lostRows) save(ctx context.Context, tx querier, now time.Time) error {
	if len(l.ids) == 0 {
		return nil
	}
	args := slices.Concat([]any{micros(now)}, l.histories, l.groups, l.texts)
	return update(ctx, tx, l.ids, setLost(len(l.ids)), args...)
}

// setLost is what loseWorker makes of n rows.
func setLost(n int) string {
	return `status = 'FAILED', finished_at = ?, lease_expires_at = NULL, claim_id = NULL,
		errors = ` + byRow(n) + `, error_group = ` + byRow(n) + `, error_text = ` + byRow(n)
}
