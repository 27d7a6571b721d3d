package sqlstore

import (
	"context"
	"database/sql"
	"net/url"
	"os"
	"testing"

	_ "github.com/go-sql-driver/mysql"
	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue/internal/storekit"
)

// fake is a Backend for tests that look at statements.
type fake struct{ set storekit.Migrations }

func (fake) Name() string                                              { return "the test's database" }
func (fake) Translate(_ context.Context, _ string, err error) error    { return err }
func (fake) Duplicate(error) bool                                      { return false }
func (fake) DuplicateID(error) bool                                    { return false }
func (fake) MayRepeat(error) bool                                      { return false }
func (fake) Locked(error) bool                                         { return false }
func (fake) Changed(error) bool                                        { return false }
func (fake) Broken(error) bool                                         { return false }
func (fake) TableMissing(error) bool                                   { return true }
func (fake) Forbidden(error) bool                                      { return false }
func (f fake) Migrations() storekit.Migrations                         { return f.set }
func (fake) LockMigrations(context.Context) (unlock func(), err error) { return func() {}, nil }
func (fake) Accepted() bool                                            { return true }
func (fake) Wait()                                                     {}

// onSQLite returns a Store on a database in memory.
func onSQLite(t *testing.T) *Store {
	t.Helper()
	db, err := sql.Open("sqlite", "file::memory:")
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	return on(t, db, SQLite, storekit.Migrations{Files: os.DirFS("../../sqlitestore/migrations"), Dialect: goose.DialectSQLite3})
}

// onMariaDB returns a Store whose connections have the collation of mysqlstore's.
func onMariaDB(t *testing.T) *Store {
	t.Helper()
	u, err := url.Parse(testdb.MariaDB(t))
	if err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("mysql", u.User.String()+"@tcp("+u.Host+")"+u.Path+"?parseTime=true&clientFoundRows=true&interpolateParams=true&collation=utf8mb4_bin")
	if err != nil {
		t.Fatal(err)
	}
	return on(t, db, MySQL, storekit.Migrations{Files: os.DirFS("../../mysqlstore/migrations"), Dialect: goose.DialectMySQL})
}

func on(t *testing.T, db *sql.DB, dialect *Dialect, set storekit.Migrations) *Store {
	t.Helper()
	s := New(Options{Dialect: dialect, Backend: fake{set}, Writer: db, Reader: db})
	t.Cleanup(func() { _ = s.Close() })
	if _, err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}
