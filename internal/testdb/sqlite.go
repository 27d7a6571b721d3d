package testdb

import (
	"database/sql"
	"slices"
	"strings"
	"testing"
)

// SQLiteTables returns the contents of all tables of a SQLite database, by their names, to
// compare them.
func SQLiteTables(tb testing.TB, db *sql.DB) map[string]string {
	tb.Helper()
	found := make(map[string]string)
	for _, name := range column(tb, db, `SELECT name FROM sqlite_master WHERE type = 'table'`) {
		columns := column(tb, db, `SELECT 'quote("' || name || '")' FROM pragma_table_info('`+name+`')`)
		rows := column(tb, db, `SELECT `+strings.Join(columns, ` || ' ' || `)+` FROM "`+name+`"`)
		slices.Sort(rows)
		found[name] = strings.Join(rows, "\n")
	}
	return found
}

// column returns the values of a query that has one column.
func column(tb testing.TB, db *sql.DB, query string) (values []string) {
	tb.Helper()
	rows, err := db.QueryContext(tb.Context(), query)
	if err != nil {
		tb.Fatalf("%s: %v", query, err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var value string
		if err := rows.Scan(&value); err != nil {
			tb.Fatal(err)
		}
		values = append(values, value)
	}
	if err := rows.Err(); err != nil {
		tb.Fatal(err)
	}
	return values
}
