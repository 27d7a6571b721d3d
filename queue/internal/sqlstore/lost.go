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
	row.Status = queue.StatusFailed
	row.FinishedAt = now
	row.LeaseExpiresAt = time.Time{}
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
