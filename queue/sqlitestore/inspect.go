package sqlitestore

import (
	"context"

	"github.com/claimcheck-go/claimcheck/queue/dbfacts"
	"github.com/claimcheck-go/claimcheck/queue/internal/sqlstore"
)

// Inspect returns what SQLite says of itself.
func (s *Store) Inspect(ctx context.Context) (f dbfacts.Facts, err error) {
	f.Product = "SQLite"
	err = sqlstore.Read(ctx, s.base, "inspect", func(conn sqlstore.Conn) error {
		return conn.QueryRowContext(ctx, "SELECT sqlite_version()").Scan(&f.Version)
	})
	return f, err
}

// CheckIntegrity reads the file, and returns what is wrong with it: quickly, or, if
// full, its indexes against its tables too.
func (s *Store) CheckIntegrity(ctx context.Context, full bool) (problems []string, err error) {
	pragma := "PRAGMA quick_check(10)"
	if full {
		pragma = "PRAGMA integrity_check(10)"
	}
	err = sqlstore.Read(ctx, s.base, "check the file", func(conn sqlstore.Conn) error {
		problems = nil
		rows, err := conn.QueryContext(ctx, pragma)
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var text string
			if err := rows.Scan(&text); err != nil {
				return err
			}
			if text != "ok" {
				problems = append(problems, text)
			}
		}
		return rows.Err()
	})
	return problems, err
}
