package chaos

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
	"testing"

	"github.com/claimcheck-go/claimcheck/internal/chaos/ledger"
	"github.com/claimcheck-go/claimcheck/internal/chaos/proxy"
)

// site is the database of one run.
type site struct {
	name  string
	db    *sql.DB      // directly to the server, for observation
	url   string       // for workers and producers: through the proxy, if there is one
	proxy *proxy.Proxy // nil for an embedded database

	// crash kills the server and starts it again; nil for an embedded one.
	crash func()
	// sessions lists the connections of workers and producers, and end, with one
	// of them in place of %d, ends it.
	sessions, end string
	// waiting lists the rows that the sweeper will find stranded, and older, with a list
	// of them in place of %s, makes time pass for them.
	waiting, older string
	clock          string // the database's time in microseconds

	value, id string // columns of the task table, as text
	// micros is a column of times, in microseconds; NULL is 0.
	micros func(column string) string
}

// aging is the factor by which time passes faster for rows that wait for the sweeper.
// Five minutes, after which an enqueued row counts as stranded, become 2.5 s.
const aging = 120

// tables returns the tables that the run adds to the database. The audit table's text columns
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

// changed is the condition that an update is a transition, as opposed to a heartbeat or
// a dispatch; differs compares two columns, NULL being a value.
func changed(differs string) string {
	var changes []string
	for _, column := range []string{"status", "attempts", "claim_id", "interruptions", "finished_at"} {
		changes = append(changes, fmt.Sprintf(differs, "OLD."+column, "NEW."+column))
	}
	return strings.Join(changes, " OR ")
}

// auditing returns the statement of a trigger that writes the audit, for databases whose
// times are microseconds. before and now are OLD and NEW, or empty where
// there is no such row.
func auditing(clock, before, now string) string {
	column := func(row, name, none string) string {
		if row == "" {
			return none
		}
		return "coalesce(" + row + "." + name + ", " + none + ")"
	}
	values := []string{clock, cmp.Or(now, before) + ".id", cmp.Or(now, before) + ".task_path"}
	for _, c := range [][2]string{{"status", "''"}, {"attempts", "0"}, {"claim_id", "''"}, {"lease_expires_at", "0"}, {"interruptions", "0"}} {
		values = append(values, column(before, c[0], c[1]), column(now, c[0], c[1]))
	}
	for _, c := range [][2]string{{"max_attempts", "0"}, {"run_after", "0"}, {"worker_ids", "''"}, {"return_value", "''"}, {"errors", "''"}} {
		values = append(values, column(now, c[0], c[1]))
	}
	return `INSERT INTO chaos_audit (` + auditColumns + `) SELECT ` + strings.Join(values, ", ")
}

// execAll runs statements.
func execAll(t *testing.T, db *sql.DB, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		if _, err := db.Exec(statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

// openDB opens the database for observation, with few connections.
func openDB(t *testing.T, databaseURL string) *sql.DB {
	t.Helper()
	db, err := ledger.OpenDB(databaseURL)
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

// integers are times that the database has in microseconds.
func integers(column string) string { return "coalesce(" + column + ", 0)" }

// terminate ends up to limit sessions, and returns how many.
func (s *site) terminate(ctx context.Context, limit int, choice *rand.Rand) (n int, err error) {
	var all []int
	var session int
	if err := each(ctx, s.db, s.sessions, func() { all = append(all, session) }, &session); err != nil {
		return 0, err
	}
	choice.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for _, session := range all[:min(limit, len(all))] {
		if _, err := s.db.ExecContext(ctx, fmt.Sprintf(s.end, session)); err == nil {
			n++
		}
	}
	return n, nil
}
