package pgstore

import (
	"errors"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue"
)

// countedDatabase is a database in which a sweeper counts.
type countedDatabase struct {
	*testing.T
	name  string
	conn  *pgx.Conn
	store *Store
}

func newCountedDatabase(t *testing.T, server *testdb.Server, migrate bool) *countedDatabase {
	t.Helper()
	name := "d" + uuid.NewString()[:8]
	testdb.Exec(t, server.URL("postgres"), "CREATE DATABASE "+name)
	s, err := Open(t.Context(), Config{URL: server.URL(name), Migrate: migrate})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return &countedDatabase{T: t, name: name, conn: dialed(t, server.URL(name)), store: s}
}

func (d *countedDatabase) exec(sql string) {
	d.Helper()
	if _, err := d.conn.Exec(d.Context(), sql); err != nil {
		d.Fatal(err)
	}
}

func (d *countedDatabase) number(sql string) (n int) {
	d.Helper()
	if err := d.conn.QueryRow(d.Context(), sql).Scan(&n); err != nil {
		d.Fatal(err)
	}
	return n
}

// sweep is one step of the counting.
func (d *countedDatabase) sweep() (more bool) {
	d.Helper()
	more, err := d.store.CountFinished(d.Context())
	if err != nil {
		d.Fatal(err)
	}
	return more
}

// exact compares the statistics with the rows.
func (d *countedDatabase) exact(when string) {
	d.Helper()
	stats, err := d.store.Stats(d.Context(), queue.Filter{})
	if err != nil {
		d.Fatal(err)
	}
	for status, got := range map[queue.Status]int{queue.StatusSuccessful: stats.Successful, queue.StatusFailed: stats.Failed} {
		if want := d.number(`SELECT count(*) FROM claimcheck_tasks WHERE status = '` + string(status) + `'`); got != want || want == 0 {
			d.Errorf("%s: %d %s, want %d", when, got, status, want)
		}
	}
	got, err := d.store.CountPurgeable(d.Context(), queue.PurgeRequest{Statuses: []queue.Status{queue.StatusFailed}})
	if want := d.number(`SELECT count(*) FROM claimcheck_tasks WHERE status = 'FAILED'`); err != nil || got != want {
		d.Errorf("%s: %d to purge, want %d; %v", when, got, want, err)
	}
}

// exactFromNowOn compares them before, during and after sweeps.
func (d *countedDatabase) exactFromNowOn() {
	d.Helper()
	d.exact("before a sweep")
	for n := 0; d.sweep(); n++ {
		if d.exact("during sweeps"); n > 20 {
			d.Fatal("the sweeps do not end")
		}
	}
	d.exact("after sweeps")
	if totals, rows := d.number(`SELECT sum(n)::int FROM claimcheck_totals`), d.number(`SELECT count(*) FROM claimcheck_tasks, claimcheck_counting WHERE finished_at < counted_to`); totals != rows {
		d.Errorf("%d rows are counted, want %d", totals, rows)
	}
}

// Whichever way a dump is restored, finished rows are counted once, and at once.
func TestCountsOfARestoredDatabase(t *testing.T) {
	server := testdb.StartPostgres(t)
	source := newCountedDatabase(t, server, true)
	source.exec(countRow(`'FAILED', now() - n * interval '20 minutes'`, 10) + `;` + countRow(`'SUCCESSFUL', now() - n * interval '1 minute'`, 7) + `;` + countRow(`'SUCCESSFUL', now()`, 2))
	for source.sweep() {
		source.exact("in the source")
	}
	source.exec(`DELETE FROM claimcheck_tasks WHERE finished_at < now() - interval '3 hours'; ` + countRow(`'FAILED', now() - interval '2 hours'`, 5))
	source.exactFromNowOn()
	source.exec(`DELETE FROM claimcheck_tasks WHERE finished_at < now() - interval '150 minutes'; ` + countRow(`'FAILED', now() - interval '1 hours'`, 3)) // are still changes
	complete, onlyData := []string{"--format=custom"}, []string{"--format=custom", "--data-only", "--exclude-table=claimcheck_schema"}

	for name, c := range map[string]struct {
		dump, restore  []string
		migrate, inUse bool
		before         string
		keepsWhatItHas bool // nothing is counted again
	}{
		"complete":                       {dump: complete, keepsWhatItHas: true},
		"complete, without privileges":   {dump: append(complete, "-x"), keepsWhatItHas: true},
		"data only":                      {dump: onlyData, migrate: true},
		"data only, as INSERT":           {dump: append(onlyData, "--inserts"), migrate: true},
		"data only, swept":               {dump: onlyData, migrate: true, inUse: true},
		"data only, triggers off":        {dump: onlyData, restore: []string{"--disable-triggers"}, migrate: true, keepsWhatItHas: true},
		"data only, triggers off, swept": {dump: onlyData, restore: []string{"--disable-triggers"}, migrate: true, inUse: true, before: `DELETE FROM claimcheck_counting`, keepsWhatItHas: true},
	} {
		t.Run(name, func(t *testing.T) {
			archive := server.Dump(t, source.name, c.dump...)
			target := newCountedDatabase(t, server, c.migrate)
			for c.inUse && target.sweep() {
			}
			if c.before != "" {
				target.exec(c.before)
			}
			server.Restore(t, target.name, archive, c.restore...)
			if n := target.number(`SELECT count(*) FROM claimcheck_counting`); (n == 1) != c.keepsWhatItHas {
				t.Errorf("claimcheck_counting has %d rows", n)
			}
			target.exactFromNowOn()
			target.exec(`DELETE FROM claimcheck_tasks WHERE id IN (SELECT id FROM claimcheck_tasks WHERE status = 'FAILED' ORDER BY finished_at LIMIT 2)`)
			target.exactFromNowOn()
			target.refusesOtherTables()
		})
	}
}

// The functions that count run as the owner of the tables. Where every role may execute
// them, as after a restore without privileges, none makes them call a function of its
// own.
func TestFunctionsThatCountRefuseOtherTables(t *testing.T) {
	d := newCountedDatabase(t, testdb.StartPostgres(t), true)
	d.refusesOtherTables()
}

// refusesOtherTables makes triggers of a table whose columns have casts to text that
// count their calls.
func (d *countedDatabase) refusesOtherTables() {
	d.Helper()
	d.exec(`GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO PUBLIC;
CREATE ROLE intruder_` + d.name + `; CREATE SCHEMA intruder AUTHORIZATION intruder_` + d.name + `; GRANT USAGE ON SCHEMA public TO PUBLIC; SET ROLE intruder_` + d.name + `;
CREATE SEQUENCE intruder.calls;
CREATE TYPE intruder.trap AS ENUM ('a', 'b');
CREATE FUNCTION intruder.called(intruder.trap) RETURNS text LANGUAGE sql AS $$SELECT nextval('intruder.calls')::text$$;
CREATE CAST (intruder.trap AS text) WITH FUNCTION intruder.called(intruder.trap) AS IMPLICIT;
CREATE TABLE intruder.tasks (status text, finished_at timestamptz, backend_name text, queue_name intruder.trap, task_path text);
CREATE TRIGGER counted AFTER INSERT OR UPDATE ON intruder.tasks FOR EACH ROW EXECUTE FUNCTION public.claimcheck_count_row();
CREATE TRIGGER deleted AFTER DELETE ON intruder.tasks REFERENCING OLD TABLE AS deleted FOR EACH STATEMENT EXECUTE FUNCTION public.claimcheck_count_deleted();
CREATE TRIGGER emptied AFTER TRUNCATE ON intruder.tasks FOR EACH STATEMENT EXECUTE FUNCTION public.claimcheck_count_anew();
ALTER TABLE intruder.tasks DISABLE TRIGGER counted;
INSERT INTO intruder.tasks VALUES ('FAILED', now(), 'b', 'a', 't');
ALTER TABLE intruder.tasks ENABLE TRIGGER counted`)
	for _, statement := range []string{
		`INSERT INTO intruder.tasks VALUES ('FAILED', now(), 'b', 'a', 't')`, `UPDATE intruder.tasks SET queue_name = 'b'`, `DELETE FROM intruder.tasks`, `TRUNCATE intruder.tasks`,
	} {
		var refused *pgconn.PgError
		if _, err := d.conn.Exec(d.Context(), statement); !errors.As(err, &refused) || refused.Code != "42809" {
			d.Errorf("%s: %v", statement, err)
		}
	}
	d.exec(`RESET ROLE`)
	if called := d.number(`SELECT count(*) FROM intruder.calls WHERE is_called`); called > 0 {
		d.Error("a function of the role was called as the owner of the tables")
	}
}

// Rows of partitions are counted (docs/scaling.md).
func TestCountsOfPartitions(t *testing.T) {
	d := newCountedDatabase(t, testdb.StartPostgres(t), true)
	d.exec(`ALTER TABLE claimcheck_tasks RENAME TO claimcheck_tasks_rows`)
	d.exec(`DROP INDEX claimcheck_tasks_unique`) // which a partitioned table cannot have
	d.exec(`CREATE TABLE claimcheck_tasks (LIKE claimcheck_tasks_rows INCLUDING ALL) PARTITION BY RANGE (id)`)
	for _, trigger := range []string{"finished", "inserted", "deleted", "emptied"} {
		var definition string
		if err := d.conn.QueryRow(t.Context(), `SELECT replace(pg_get_triggerdef(oid), 'claimcheck_tasks_rows', 'claimcheck_tasks') FROM pg_trigger WHERE tgname = 'claimcheck_count_' || $1`, trigger).Scan(&definition); err != nil {
			t.Fatal(err)
		}
		d.exec(`DROP TRIGGER claimcheck_count_` + trigger + ` ON claimcheck_tasks_rows`)
		d.exec(definition)
	}
	d.exec(`CREATE TABLE claimcheck_tasks_low PARTITION OF claimcheck_tasks FOR VALUES FROM (MINVALUE) TO ('80000000-0000-0000-0000-000000000000'); CREATE TABLE claimcheck_tasks_other PARTITION OF claimcheck_tasks DEFAULT`)
	d.exec(countRow(`'SUCCESSFUL', now() - n * interval '20 minutes'`, 20) + `;` + countRow(`'FAILED', now() - n * interval '20 minutes'`, 20))
	d.exactFromNowOn()
	d.exec(`DELETE FROM claimcheck_tasks WHERE finished_at < now() - interval '5 hours'; UPDATE claimcheck_tasks SET finished_at = finished_at - interval '1 hour' WHERE status = 'FAILED'`)
	d.exactFromNowOn()
	d.exec(`TRUNCATE claimcheck_tasks; ` + countRow(`'SUCCESSFUL', now() - n * interval '20 minutes'`, 3) + `;` + countRow(`'FAILED', now() - n * interval '20 minutes'`, 4))
	d.exactFromNowOn()
}
