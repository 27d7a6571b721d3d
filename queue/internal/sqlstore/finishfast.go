package sqlstore

import (
	"context"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

// finishQuery ends a claim that holds, of a row without queue.Keep and without a group. With history it
// replaces the row's errors, and more is what it sets besides. Index: the primary key (MySQL might prefer that of the status, and lock
// rows in another order than other statements do).
func (d *Dialect) finishQuery(history bool, more string) string {
	at := d.stamp
	if at == "" {
		at = "?"
	}
	set := `status = ?, return_value = ?, finished_at = ` + at + `, lease_expires_at = NULL`
	if history {
		set += `, errors = ?, error_group = ?, error_text = ?`
	}
	return `UPDATE claimcheck_tasks` + d.byID + ` SET ` + set + more + ` WHERE id = ? AND status = 'RUNNING' AND claim_id = ? AND keep_successful IS NULL AND group_id IS NULL`
}

// finishFast is Finish of a claim that holds; otherwise it does nothing.
func finishFast(ctx context.Context, conn querier, claim queue.Claim, f queue.Finish) (at time.Time, done bool, err error) {
	d := conn.store.dialect
	values := []any{f.Status, resultValue(f.ReturnValue)}
	if d.stamp == "" {
		at = conn.store.now()
		values = append(values, micros(at))
	}
	if f.Errors != nil {
		history, err := historyValue(f.Errors)
		if err != nil {
			return at, false, err
		}
		group, text := queue.LastError(f.Errors)
		values = append(values, history, nonZero(group), nonZero(text))
	}
	set, more := assigned(reported(f.Report))
	if endsForGood(f.Status) {
		set += dropCheckpoint
	}
	values = append(values, more...)
	result, err := conn.ExecContext(ctx, d.finishQuery(f.Errors != nil, set), append(values, claim.ID, claim.ClaimID)...)
	if err != nil {
		return at, false, err
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return at, false, err
	}
	if d.stamp != "" {
		at, err = stamped(result)
	}
	return at, err == nil, err
}
