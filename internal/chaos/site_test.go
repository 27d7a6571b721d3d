package chaos

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/claimcheck-go/claimcheck/internal/chaos/books"
	"github.com/claimcheck-go/claimcheck/internal/chaos/proxy"
	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue/pgstore"
)

// site is the database of one run.
type site struct {
	name  string
	db    *sql.DB      // straight to the server, for looking on
	url   string       // for workers and producers: through the proxy, if there is one
	proxy *proxy.Proxy // nil for an embedded database

	// crash kills the server and starts it again; nil for an embedded one.
	crash func()
	// sessions lists the connections of workers and producers, and end, with one
	// of them in place of %d, ends it.
	sessions, end string
	// age makes time pass for rows that wait for the sweeper: see run.age.
	age       string
	value, id string // columns of the task table, as text
}

// aging is how much faster than a clock time passes for rows that wait for the
// sweeper. Five minutes, the time that an enqueued row is given, become 2.5 s.
const aging = 120

// tables are what the run adds to the database. The audit table's text columns
// are of the given type.
func tables(serial, text string) []string {
	return []string{
		`CREATE TABLE chaos_ledger (seq ` + serial + `, task_id VARCHAR(36) NOT NULL, attempt INT NOT NULL, worker VARCHAR(100) NOT NULL)`,
		`CREATE TABLE chaos_orders (task_id VARCHAR(36) NOT NULL PRIMARY KEY)`,
		`CREATE TABLE chaos_audit (seq ` + serial + `, at_us BIGINT NOT NULL, task_id VARCHAR(36) NOT NULL, task VARCHAR(100) NOT NULL,
			old_status VARCHAR(10) NOT NULL, new_status VARCHAR(10) NOT NULL, old_attempts INT NOT NULL, new_attempts INT NOT NULL,
			old_claim VARCHAR(36) NOT NULL, new_claim VARCHAR(36) NOT NULL, old_lease BIGINT NOT NULL, new_lease BIGINT NOT NULL,
			old_interruptions INT NOT NULL, new_interruptions INT NOT NULL, max_attempts INT NOT NULL, run_after BIGINT NOT NULL,
			workers ` + text + ` NOT NULL, value ` + text + ` NOT NULL, failures ` + text + ` NOT NULL)`,
	}
}

// telling are the columns of which a change is a transition: not those of
// heartbeats and of dispatching.
var telling = []string{"status", "attempts", "claim_id", "interruptions", "finished_at"}

// execAll runs statements.
func execAll(t *testing.T, db *sql.DB, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		if _, err := db.Exec(statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

// openDB opens the database for looking on, with few connections.
func openDB(t *testing.T, databaseURL string) *sql.DB {
	t.Helper()
	db, err := books.OpenDB(databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(3)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// through puts a proxy before the server of a URL.
func through(t *testing.T, databaseURL string, protocol proxy.Protocol) (*proxy.Proxy, *url.URL) {
	t.Helper()
	u, err := url.Parse(databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	p, err := proxy.Start(u.Host, protocol)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	u.Host = p.Addr()
	return p, u
}

// terminate ends up to most sessions, and returns how many.
func (s *site) terminate(ctx context.Context, most int, choice *rand.Rand) (n int, err error) {
	rows, err := s.db.QueryContext(ctx, s.sessions)
	if err != nil {
		return 0, err
	}
	var all []int
	for rows.Next() {
		var session int
		if err := rows.Scan(&session); err != nil {
			return 0, err
		}
		all = append(all, session)
	}
	if err := rows.Err(); err != nil {
		return 0, err
	}
	choice.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for _, session := range all[:min(most, len(all))] {
		if _, err := s.db.ExecContext(ctx, fmt.Sprintf(s.end, session)); err == nil {
			n++
		}
	}
	return n, nil
}

// newPostgres is a PostgreSQL server of the run's own.
func newPostgres(t *testing.T, o options) *site {
	t.Helper()
	server := testdb.StartPostgres(t)
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
		age: fmt.Sprintf(`UPDATE claimcheck_tasks SET dispatch_due_at = dispatch_due_at - interval '%d seconds'
			WHERE status = 'READY' AND coalesce(run_after, now()) <= now() AND dispatch_due_at > now()`, aging),
		value: `return_value::text`, id: `t.id::text`,
	}
	p, u := through(t, direct, proxy.Postgres)
	s.proxy = p
	if o.lazyCommits { // what nobody forces out stays in memory for long
		execAll(t, s.db, `ALTER SYSTEM SET wal_writer_delay = '10s'`, `SELECT pg_reload_conf()`)
	}
	u.RawQuery = query.Encode()
	s.url = u.String()
	execAll(t, s.db, append(tables("BIGSERIAL PRIMARY KEY", "TEXT"), postgresTriggers()...)...)
	return s
}

func postgresTriggers() []string {
	changes := make([]string, len(telling))
	for i, column := range telling {
		changes[i] = fmt.Sprintf("OLD.%[1]s IS DISTINCT FROM NEW.%[1]s", column)
	}
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
			WHEN (` + strings.Join(changes, " OR ") + `) EXECUTE FUNCTION chaos_note()`,
	}
}
