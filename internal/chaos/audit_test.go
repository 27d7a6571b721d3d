package chaos

import (
	"context"
	"database/sql"
	"encoding/json"
)

// entry is one transition of a row, as the database's trigger recorded it. A pair is the
// value before and after; an empty text or zero is NULL. Times are microseconds of the
// database's clock.
type entry struct {
	seq, at       int64
	id, task      string
	status        [2]string // empty: no row
	attempts      [2]int
	claim         [2]string
	lease         [2]int64
	interruptions [2]int
	maxAttempts   int
	runAfter      int64
	workers       string // JSON
	value         string
	failures      string // JSON
}

// auditColumns are the audit table's columns after seq, in the order of fields.
const auditColumns = `at_us, task_id, task, old_status, new_status, old_attempts, new_attempts, old_claim, new_claim,
	old_lease, new_lease, old_interruptions, new_interruptions, max_attempts, run_after, workers, value, failures`

func (e *entry) fields() []any {
	return []any{
		&e.seq, &e.at, &e.id, &e.task, &e.status[0], &e.status[1], &e.attempts[0], &e.attempts[1], &e.claim[0], &e.claim[1],
		&e.lease[0], &e.lease[1], &e.interruptions[0], &e.interruptions[1], &e.maxAttempts, &e.runAfter, &e.workers, &e.value, &e.failures,
	}
}

// readAudit reads all entries in their order.
func readAudit(ctx context.Context, db *sql.DB) ([]entry, error) {
	rows, err := db.QueryContext(ctx, `SELECT seq, `+auditColumns+` FROM chaos_audit ORDER BY seq`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []entry
	for rows.Next() {
		var e entry
		if err := rows.Scan(e.fields()...); err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	return all, rows.Err()
}

// claimed reports whether this is a claim: a new fence.
func (e *entry) claimed() bool { return e.status[1] == "RUNNING" && e.claim[1] != e.claim[0] }

// worker returns the process of the row's last attempt.
func (e *entry) worker() string {
	var all []string
	_ = json.Unmarshal([]byte(e.workers), &all) // a value that is no list has no last element
	if len(all) == 0 {
		return ""
	}
	return all[len(all)-1]
}

// failure returns the latest error record of the row.
func (e *entry) failure() (last struct {
	Attempt int
	Message string
}) {
	var all []json.RawMessage
	_ = json.Unmarshal([]byte(e.failures), &all) // a value that is no list has no last element
	if len(all) > 0 {
		_ = json.Unmarshal(all[len(all)-1], &last)
	}
	return last
}
