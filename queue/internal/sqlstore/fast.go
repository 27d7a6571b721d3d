package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

// A finish and, on MySQL, a new row, which every task has, take one statement: a
// transaction by itself, to which MySQL returns its time as the insert ID. If it has no
// effect, the transaction that locks, reads and decides follows.

// fast runs statement and, unless it is done, otherwise in a transaction. lost
// reports that the connection broke while statement ran: it may have taken effect,
// which otherwise must find out.
func (s *Store) fast(ctx context.Context, op string, urgent bool, statement func(conn querier) (done bool, err error), otherwise work) (lost bool, err error) {
	tried := false
	err = s.with(ctx, s.writer, op, urgent, func(conn *sql.Conn) error {
		if !tried {
			tried = true
			done, err := statement(querier{conn, s, false, false})
			switch lost = err != nil && s.backend.Broken(err); {
			case done:
				return nil
			case lost:
				return errors.Join(errNotBegun, err)
			case err != nil && !s.backend.Duplicate(err) && !s.backend.MayRepeat(err):
				return err
			}
		}
		return s.repeat(ctx, conn, otherwise)
	})
	return lost, err
}

// insertsFast reports whether one statement can store rows: their IDs are new,
// their times are some time from now, and they have nothing that only some rows have.
func (s *Store) insertsFast(rows []*queue.NewRow) bool {
	if s.dialect.stamp == "" || batchLength(rows, s.dialect.batch) < len(rows) {
		return false
	}
	for _, row := range rows {
		if !row.FreshID || !row.RunAfter.IsZero() || row.HasExtras() {
			return false
		}
	}
	return true
}

// insertFast is Insert of such rows.
func (s *Store) insertFast(ctx context.Context, rows []*queue.NewRow) (stored []inserted, err error) {
	lost, err := s.fast(ctx, "insert tasks", false, func(conn querier) (done bool, err error) {
		stored, err = insertNew(ctx, conn, rows)
		return err == nil, err
	}, atNow(func(ctx context.Context, tx querier, now time.Time) (err error) {
		stored, err = insert(ctx, tx, now, rows)
		return err
	}))
	if lost && err == nil {
		for i := range stored {
			stored[i].existed = false // what was there came from the first statement
		}
	}
	return stored, err
}

// insertNew stores rows, or none of them and fails if one exists. Their times
// are sent as what is to be added to the database's.
func insertNew(ctx context.Context, conn querier, rows []*queue.NewRow) ([]inserted, error) {
	zero := time.UnixMicro(0)
	tuples := make([][]any, len(rows))
	for i, request := range rows {
		row := newRow(request, zero)
		state, err := stateValues(row, zero)
		if err != nil {
			return nil, err
		}
		tuples[i] = append(requestValues(row), state...)
	}
	query, values := conn.store.dialect.insertStamped(tuples)
	result, err := conn.ExecContext(ctx, query, values...)
	if err != nil {
		return nil, err
	}
	now, err := stamped(result)
	if err != nil {
		return nil, err
	}
	stored := make([]inserted, len(rows))
	for i, request := range rows {
		stored[i].row = newRow(request, now)
	}
	return stored, nil
}

var columnNames = strings.Fields(strings.ReplaceAll(newColumns, ",", " "))

// insertStamped stores tuples of columns that a new row may have. The database's
// time is added to the times. Columns that are NULL in all tuples are left out, which
// saves the server a third of its work. Index: the primary key.
func (d *Dialect) insertStamped(tuples [][]any) (query string, values []any) {
	var names, places []string
	var used []int
	for i, name := range columnNames {
		if !slices.ContainsFunc(tuples, func(tuple []any) bool { return tuple[i] != nil }) {
			continue
		}
		used, names = append(used, i), append(names, name)
		switch name {
		case "enqueued_at":
			places = append(places, d.stamp+" + ?")
		case "run_after", "dispatch_due_at":
			places = append(places, "enqueued_at + ?") // assigned to its left
		default:
			places = append(places, "?")
		}
	}
	for _, tuple := range tuples {
		for _, i := range used {
			values = append(values, tuple[i])
		}
	}
	tuple := "(" + strings.Join(places, ", ") + ")"
	return "INSERT INTO claimcheck_tasks (" + strings.Join(names, ", ") + ") VALUES " + tuple + strings.Repeat(", "+tuple, len(tuples)-1), values
}

// stamped returns the time in a statement's insert ID.
func stamped(result sql.Result) (time.Time, error) {
	now, err := result.LastInsertId()
	return time.UnixMicro(now).UTC(), err
}
