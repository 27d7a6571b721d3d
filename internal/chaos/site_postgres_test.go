package chaos

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/claimcheck-go/claimcheck/internal/chaos/proxy"
	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue/pgstore"
)

// newPostgres is a PostgreSQL server of the run's own.
func newPostgres(t *testing.T, o options) *site {
	t.Helper()
	var settings []string
	if o.soak {
		settings = []string{"-c", "fsync=on"}
	}
	server := testdb.StartPostgres(t, settings...)
	direct := server.URL("postgres")
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	store, err := pgstore.Open(ctx, pgstore.Config{URL: direct})
	if err == nil {
		_, err = store.Migrate(ctx)
		_ = store.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	query := url.Values{"application_name": {"chaos"}, "sslmode": {"disable"}}
	if o.lazyCommits {
		query.Set("synchronous_commit", "off")
	}
	s := &site{
		name: "PostgreSQL", db: openDB(t, direct+"?"+strings.Replace(query.Encode(), "=chaos", "=harness", 1)),
		crash:    func() { server.Crash(t); server.Start(t) },
		sessions: `SELECT pid FROM pg_stat_activity WHERE application_name = 'chaos' ORDER BY pid`,
		end:      `SELECT pg_terminate_backend(%d)`,
		waiting: `SELECT id FROM claimcheck_tasks WHERE status = 'READY' AND coalesce(run_after, now()) <= now() AND dispatch_due_at > now()
			FOR UPDATE SKIP LOCKED`,
		older: fmt.Sprintf(`UPDATE claimcheck_tasks SET dispatch_due_at = dispatch_due_at - interval '%d seconds' WHERE id IN (%%s)`, aging),
		clock: `(extract(epoch FROM clock_timestamp()) * 1000000)::bigint`,
		value: `return_value::text`, id: `t.id::text`, micros: func(column string) string { return "chaos_us(" + column + ")" },
	}
	p, u := through(t, direct, proxy.Postgres)
	s.proxy = p
	if o.lazyCommits { // commits stay in memory for long
		execAll(t, s.db, `ALTER SYSTEM SET wal_writer_delay = '10s'`, `SELECT pg_reload_conf()`)
	}
	u.RawQuery = query.Encode()
	s.url = u.String()
	execAll(t, s.db, append(tables("BIGSERIAL PRIMARY KEY", "TEXT"), postgresTriggers()...)...)
	return s
}

func postgresTriggers() []string {
	return []string{
		`CREATE FUNCTION chaos_us(timestamptz) RETURNS bigint LANGUAGE sql IMMUTABLE AS
			$$ SELECT coalesce((extract(epoch FROM $1) * 1000000)::bigint, 0) $$`,
		`CREATE FUNCTION chaos_note() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			INSERT INTO chaos_audit (` + auditColumns + `) VALUES (
				chaos_us(clock_timestamp()), coalesce(NEW.id, OLD.id), coalesce(NEW.task_path, OLD.task_path),
				coalesce(OLD.status, ''), coalesce(NEW.status, ''), coalesce(OLD.attempts, 0), coalesce(NEW.attempts, 0),
				coalesce(OLD.claim_id::text, ''), coalesce(NEW.claim_id::text, ''), chaos_us(OLD.lease_expires_at), chaos_us(NEW.lease_expires_at),
				coalesce(OLD.interruptions, 0), coalesce(NEW.interruptions, 0), coalesce(NEW.max_attempts, 0), chaos_us(NEW.run_after),
				coalesce(array_to_json(NEW.worker_ids)::text, ''), coalesce(NEW.return_value::text, ''), coalesce(NEW.errors::text, ''));
			RETURN NULL;
		END $$`,
		`CREATE TRIGGER chaos_rows AFTER INSERT OR DELETE ON claimcheck_tasks FOR EACH ROW EXECUTE FUNCTION chaos_note()`,
		`CREATE TRIGGER chaos_changes AFTER UPDATE ON claimcheck_tasks FOR EACH ROW
			WHEN (` + changed("%s IS DISTINCT FROM %s") + `) EXECUTE FUNCTION chaos_note()`,
	}
}
