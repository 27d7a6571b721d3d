package pgstore_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/pgstore"
)

// refused opens a database that cannot be used, and returns the error, which
// must be one line without the password.
func refused(t *testing.T, config pgstore.Config) error {
	t.Helper()
	s, err := pgstore.Open(t.Context(), config)
	if err == nil {
		_ = s.Close()
		t.Fatal("it was opened")
	}
	t.Log(err)
	if strings.ContainsAny(err.Error(), "\n\t") || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("the error is more than a line, or contains the password: %q", err)
	}
	return err
}

func mentions(t *testing.T, err error, words ...string) {
	t.Helper()
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("the error does not mention %q: %v", word, err)
		}
	}
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	server := testdb.StartPostgres(t)
	testdb.Exec(t, server.URL("postgres"), `CREATE ROLE `+testdb.PasswordRole+` LOGIN PASSWORD 'right'`)
	base := strings.TrimPrefix(server.URL(""), "postgres://postgres@") // host:port/
	for name, c := range map[string]struct {
		url      string
		mentions []string
	}{
		"wrong password": {"postgres://" + testdb.PasswordRole + ":s3cret@" + base + "postgres", []string{"refused this user or password", "28P01", base + "postgres", testdb.PasswordRole, "Config.URL"}},
		"no password":    {"postgres://" + testdb.PasswordRole + "@" + base + "postgres", []string{base + "postgres"}},
		"no database":    {"postgres://postgres:s3cret@" + base + "nowhere", []string{base + "nowhere", "no such database", "create it"}},
		"no server":      {"postgres://postgres:s3cret@127.0.0.1:1/x", []string{"127.0.0.1:1/x", "does not answer", "connection refused", "is it running"}},
		"no socket":      {"postgres://postgres:s3cret@//nowhere/p:r:i/x", []string{"/nowhere/p:r:i/.s.PGSQL.5432/x", "no such file", "is the socket", "Cloud SQL connections"}},
		"no host":        {"postgres://postgres:s3cret@nowhere.invalid/x", []string{"nowhere.invalid:5432/x", "host name"}},
	} {
		t.Run(name, func(t *testing.T) {
			err := refused(t, pgstore.Config{URL: c.url, AcquireTimeout: 10 * time.Second})
			mentions(t, err, c.mentions...)
			if !errors.Is(err, queue.ErrUnavailable) {
				t.Error("it is not ErrUnavailable")
			}
		})
	}
}

// TestOpenDoesNotBlameTLS: an attempt without TLS follows one that the server
// does not encrypt, and what fails then is not TLS.
func TestOpenDoesNotBlameTLS(t *testing.T) {
	for name, c := range map[string]struct {
		answer   string // to the attempt without TLS; none leaves it waiting
		mode     string
		mentions string
	}{
		"another protocol": {"Y\x00\x00\x00\x04", "prefer", "what answers there is not PostgreSQL"},
		"no answer":        {"", "prefer", "does not answer"},
		"TLS required":     {"", "require", "no encrypted connection"},
	} {
		t.Run(name, func(t *testing.T) {
			err := refused(t, pgstore.Config{URL: "postgres://u@" + withoutTLS(t, c.answer) + "/d?sslmode=" + c.mode, AcquireTimeout: time.Second})
			mentions(t, err, c.mentions)
			if c.mode != "require" && strings.Contains(err.Error(), "encrypted") {
				t.Errorf("TLS is blamed: %v", err)
			}
		})
	}
}

// withoutTLS is the address of a server that refuses TLS, and sends answer to what
// comes without it.
func withoutTLS(t *testing.T, answer string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				packet := make([]byte, 1024)
				for {
					n, err := conn.Read(packet)
					if err != nil {
						return
					}
					reply := answer
					if n == 8 { // SSLRequest
						reply = "N"
					}
					_, _ = conn.Write([]byte(reply))
				}
			}()
		}
	}()
	return listener.Addr().String()
}

func TestOpenRefusesBadURLs(t *testing.T) {
	for _, url := range []string{
		"", "tasks.db", "postgres://u:s3cret@//cloudsql/p:r:i", "host=localhost password=s3cret",
		"postgres://u:s3cret/x@host/db", "postgres://u:s3cret%zz@host/db", "postgres://u:s3cret@host:port/db",
		"postgres://u:s3cret@host/db?sslmode=s3cret", "postgres://u:s3cret@host/db?connect_timeout=soon",
	} {
		mentions(t, refused(t, pgstore.Config{URL: url}), "Config.URL")
	}
	for _, url := range []string{"mysql://root:s3cret@localhost/x", "mariadb://root:s3cret@localhost/x", "sqlite:x.db"} {
		mentions(t, refused(t, pgstore.Config{URL: url}), "open a ", "with package ")
	}
}

func TestOpenRefusesSynchronousCommitOff(t *testing.T) {
	url := testdb.Postgres(t)
	err := refused(t, pgstore.Config{URL: url + "&synchronous_commit=off"})
	mentions(t, err, "synchronous_commit", "loses acknowledged tasks", "ALTER DATABASE postgres SET synchronous_commit = on")
	for _, safe := range []string{"on", "local", "remote_apply"} {
		open(t, pgstore.Config{URL: url + "&synchronous_commit=" + safe})
	}
}

func TestOpenStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := pgstore.Open(ctx, pgstore.Config{URL: testdb.Postgres(t)}); !errors.Is(err, context.Canceled) {
		t.Errorf("Open: %v", err)
	}
}

func TestACallWaitsOnlySoLongForAConnection(t *testing.T) {
	pool, err := pgxpool.New(t.Context(), testdb.Postgres(t)+"&pool_max_conns=1")
	if err != nil {
		t.Fatal(err)
	}
	s := pgstore.NewWithTimeout(pool, 20*time.Millisecond)
	defer func() { _ = s.Close() }()
	conn, err := pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	err = s.Ping(t.Context())
	if !errors.Is(err, queue.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Ping: %v", err)
	}
	mentions(t, err, "20ms", "all 1 are in use")
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := s.Ping(ctx); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, queue.ErrUnavailable) {
		t.Errorf("Ping with a context that ends: %v", err)
	}
	conn.Release()
	if err := s.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	pool.Close()
	if err := s.Ping(t.Context()); !errors.Is(err, queue.ErrClosed) {
		t.Errorf("Ping on a closed pool: %v", err)
	}
}
