package pgstore_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/pgstore"
)

// A server that refuses TLS, or whose certificate is not accepted, does answer.
func TestOpenSaysThatTLSFailed(t *testing.T) {
	server := testdb.StartPostgres(t)
	refusedTLS := func(mode string, words ...string) {
		t.Helper()
		err := refused(t, pgstore.Config{URL: server.URL("postgres") + "?sslmode=" + mode, AcquireTimeout: 10 * time.Second})
		mentions(t, err, append(words, "no encrypted connection", "check sslmode and sslrootcert in Config.URL")...)
		if strings.Contains(err.Error(), "does not answer") || strings.Contains(err.Error(), "is it running") || !errors.Is(err, queue.ErrUnavailable) {
			t.Errorf("sslmode=%s: %v", mode, err)
		}
	}
	refusedTLS("require", "server refused TLS connection")

	certificate, key := testdb.Certificate(t)
	for name, text := range map[string]string{"server.crt": certificate, "server.key": key} { // as files of the server's user
		testdb.Exec(t, server.URL("postgres"), fmt.Sprintf(`COPY (SELECT unnest(string_to_array('%s', E'\n'))) TO PROGRAM 'umask 077; cat > %s'`, text, name))
	}
	testdb.Exec(t, server.URL("postgres"), "ALTER SYSTEM SET ssl = on")
	testdb.Exec(t, server.URL("postgres"), "SELECT pg_reload_conf()")
	for encrypted := false; !encrypted; { // until the reload has taken effect
		conn, err := pgx.Connect(t.Context(), server.URL("postgres")+"?sslmode=prefer")
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.QueryRow(t.Context(), "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").Scan(&encrypted); err != nil {
			t.Fatal(err)
		}
		_ = conn.Close(t.Context())
	}
	refusedTLS("verify-full", "certificate signed by unknown authority")
	open(t, pgstore.Config{URL: server.URL("postgres") + "?sslmode=require"})
}
