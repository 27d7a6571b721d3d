package demodata

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

// Dialect is a kind of database.
type Dialect int

// The databases. MySQL is MariaDB too.
const (
	SQLite Dialect = iota
	PostgreSQL
	MySQL
)

// analyze is the statement that makes the planner know the rows.
func (d Dialect) analyze() string {
	switch d {
	case PostgreSQL:
		return `VACUUM ANALYZE claimcheck_tasks` // and its pages visible to all, as autovacuum would
	case MySQL:
		return `ANALYZE TABLE claimcheck_tasks`
	default:
		return `ANALYZE`
	}
}

// time is a time as the table has it; zero is NULL.
func (d Dialect) time(t time.Time) any {
	switch {
	case t.IsZero():
		return nil
	case d == PostgreSQL:
		return t
	default:
		return t.UnixMicro()
	}
}

// hold is the column of the same name: 1 for a row that waits for its time.
func (d Dialect) hold(row *queue.Row, now time.Time) any {
	switch {
	case row.RunAfter.After(now) || row.RetryAt.After(now):
		return 1
	case d == PostgreSQL && row.Status != queue.StatusReady:
		return nil
	default:
		return 0
	}
}

// workers is the list of workers.
func (d Dialect) workers(ids []string) (any, error) {
	ids = append([]string{}, ids...)
	if d == PostgreSQL {
		return ids, nil
	}
	list, err := json.Marshal(ids)
	return string(list), err
}

// columns are those that are written.
var columns = []string{
	"id", "task_path", "queue_name", "backend_name", "priority", "args", "return_value", "enqueued_at", "status", "hold", "attempts", "max_attempts",
	"run_after", "retry_at", "started_at", "last_attempted_at", "finished_at", "errors", "error_group", "error_text", "worker_ids", "dispatch_error",
	"dispatch_due_at", "dispatch_tries", "lease_expires_at",
}

// batch is how many rows one statement inserts.
const batch = 1000

// writer inserts rows, many at a time.
type writer struct {
	ctx     context.Context
	tx      *sql.Tx
	dialect Dialect
	values  []any
}

// insert is a statement for n rows.
func (w *writer) insert(table string, columns []string, n int) string {
	var s strings.Builder
	fmt.Fprintf(&s, "INSERT INTO %s (%s) VALUES ", table, strings.Join(columns, ", "))
	for i := range n * len(columns) {
		switch {
		case i == 0:
			s.WriteByte('(')
		case i%len(columns) == 0:
			s.WriteString("), (")
		default:
			s.WriteByte(',')
		}
		if w.dialect == PostgreSQL {
			fmt.Fprintf(&s, "$%d", i+1)
		} else {
			s.WriteByte('?')
		}
	}
	return s.String() + ")"
}

// put writes a row with the batch that it fills.
func (d *data) put(row *queue.Row) error {
	workers, err := d.dialect.workers(row.WorkerIDs)
	if err != nil {
		return err
	}
	var group, text, errors, dispatchError, result any
	if len(row.Errors) > 0 {
		history, err := json.Marshal(row.Errors)
		if err != nil {
			return err
		}
		group, text = queue.LastError(row.Errors)
		errors = string(history)
	}
	if row.DispatchError != "" {
		dispatchError = row.DispatchError
	}
	if row.ReturnValue != nil {
		result = string(row.ReturnValue)
	}
	at := d.dialect.time
	d.values = append(d.values, row.ID.String(), row.Task, row.Queue, row.Backend, row.Priority, string(row.Args), result, at(row.EnqueuedAt),
		string(row.Status), d.dialect.hold(row, d.now), row.Attempts, row.MaxAttempts, at(row.RunAfter), at(row.RetryAt), at(row.StartedAt),
		at(row.LastAttemptedAt), at(row.FinishedAt), errors, group, text, workers, dispatchError,
		at(row.DispatchDueAt), row.DispatchTries, at(row.LeaseExpiresAt))
	if len(d.values) < batch*len(columns) {
		return nil
	}
	return d.flush()
}

// flush writes what is left.
func (w *writer) flush() error {
	if len(w.values) == 0 {
		return nil
	}
	_, err := w.tx.ExecContext(w.ctx, w.insert("claimcheck_tasks", columns, len(w.values)/len(columns)), w.values...)
	w.values = w.values[:0]
	return err
}

// marks says when the sweeper was last seen.
func (d *data) marks() error {
	_, err := d.tx.ExecContext(d.ctx, d.insert("claimcheck_marks", []string{"name", "at"}, 1), queue.TouchSwept, d.dialect.time(d.now.Add(-20*time.Second)))
	return err
}
