package proxy_test

import (
	"database/sql"
	"math/rand/v2"
	"net/url"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/claimcheck-go/claimcheck/internal/chaos/proxy"
	"github.com/claimcheck-go/claimcheck/internal/testdb"
)

// table is a database, reached both ways, with an empty table t.
type table struct {
	*testing.T
	proxy           *proxy.Proxy
	direct, through *sql.DB
}

func open(t *testing.T, protocol proxy.Protocol, driver, databaseURL string, dsn func(*url.URL) string) *table {
	t.Helper()
	u, err := url.Parse(databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	x := &table{T: t}
	if x.proxy, err = proxy.Start(u.Host, protocol); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(x.proxy.Close)
	connect := func() *sql.DB {
		db, err := sql.Open(driver, dsn(u))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		return db
	}
	x.direct = connect()
	u.Host = x.proxy.Addr()
	x.through = connect()
	x.through.SetMaxOpenConns(1)
	if _, err := x.direct.Exec(`CREATE TABLE t (n INT)`); err != nil {
		t.Fatal(err)
	}
	return x
}

// wantRows checks how many rows are in the table.
func (x *table) wantRows(want int) {
	x.Helper()
	var n int
	if err := x.direct.QueryRow(`SELECT count(*) FROM t`).Scan(&n); err != nil || n != want {
		x.Errorf("%d rows, %v; want %d", n, err, want)
	}
}

// insert inserts a row in a transaction, and returns the error that the client got.
func (x *table) insert() error {
	tx, err := x.through.Begin()
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.Exec(`INSERT INTO t VALUES (1)`); err != nil {
		return err
	}
	return tx.Commit()
}

func (x *table) test() {
	if err := x.insert(); err != nil {
		x.Fatal(err)
	}
	x.wantRows(1)

	x.proxy.CutAfterCommit(1)
	var n int
	if err := x.through.QueryRow(`SELECT count(*) FROM t`).Scan(&n); err != nil || n != 1 {
		x.Errorf("a query, which commits nothing: %d, %v", n, err)
	}
	if err := x.insert(); err == nil {
		x.Error("the client received the answer to the commit")
	}
	x.wantRows(2)
	if cuts := x.proxy.Cuts(); cuts["COMMIT"] != 1 {
		x.Errorf("cuts %v", cuts)
	}
	if err := x.insert(); err != nil {
		x.Errorf("after it: %v", err)
	}

	// A client whose connection breaks may open another for a moment, to cancel
	// what it was doing: so there may be more than one.
	choice := rand.New(rand.NewPCG(1, 1))
	conn, err := x.through.Conn(x.Context())
	if err != nil {
		x.Fatal(err)
	}
	if n := x.proxy.Reset(1, choice); n < 1 {
		x.Errorf("%d connections were reset", n)
	}
	if conn.PingContext(x.Context()) == nil {
		x.Error("the connection works after its reset")
	}
	_ = conn.Close()
	if err := x.through.Ping(); err != nil {
		x.Fatal(err)
	}
	began := time.Now()
	if n := x.proxy.Blackhole(1, 300*time.Millisecond, choice); n < 1 {
		x.Errorf("%d connections are in the blackholed", n)
	}
	if err := x.insert(); err == nil && time.Since(began) < 300*time.Millisecond {
		x.Error("a statement went through the blackholed")
	}
}

func TestPostgres(t *testing.T) {
	x := open(t, proxy.Postgres, "pgx", testdb.StartPostgres(t).URL("postgres"), func(u *url.URL) string {
		return u.String() + "?sslmode=disable"
	})
	x.proxy.CutAfterCommit(1)
	conn, err := x.through.Conn(t.Context()) // which does not retry
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.ExecContext(t.Context(), `INSERT INTO t VALUES (1)`); err == nil {
		t.Error("the client received the answer to a statement that commits by itself")
	}
	_ = conn.Close()
	if cuts := x.proxy.Cuts(); cuts["INSERT"] != 1 {
		t.Errorf("cuts %v", cuts)
	}
	x.wantRows(1)
	if _, err := x.direct.Exec(`DELETE FROM t`); err != nil {
		t.Fatal(err)
	}
	x.test()
}

func TestMariaDB(t *testing.T) {
	_ = mysql.SetLogger(&mysql.NopLogger{})
	server := testdb.StartMariaDB(t)
	testdb.ExecMySQL(t, server.URL(""), `CREATE DATABASE tasks`)
	open(t, proxy.MySQL, "mysql", server.URL("tasks"), func(u *url.URL) string {
		return u.User.String() + "@tcp(" + u.Host + ")" + u.Path + "?interpolateParams=true"
	}).test()
}
