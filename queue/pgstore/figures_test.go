package pgstore

import (
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue"
)

// ledger records each end of a task in the transaction that makes it.
const ledger = `
CREATE TABLE ledger (status text NOT NULL, backend_name text NOT NULL, queue_name text NOT NULL, task_path text NOT NULL);
CREATE FUNCTION ledger() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO ledger VALUES (NEW.status, NEW.backend_name, NEW.queue_name, NEW.task_path);
	RETURN NULL;
END $$;
CREATE TRIGGER ledger AFTER UPDATE ON claimcheck_tasks FOR EACH ROW WHEN (OLD.finished_at IS NULL AND NEW.finished_at IS NOT NULL) EXECUTE FUNCTION ledger();
ALTER TABLE claimcheck_tasks ENABLE ALWAYS TRIGGER ledger`

// Whatever happens to finished rows, in whatever order it commits, each of their ends is in
// the figures, once.
func TestFiguresCountEachEndOnce(t *testing.T) {
	url := testdb.Postgres(t)
	m := &figureModel{countModel{ctx: t.Context(), conn: migratedConn(t, url)}}
	testdb.Exec(t, url, ledger)
	for range 2 { // two sweepers
		s, err := Open(t.Context(), Config{URL: url})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		s.counts.rows, s.counts.period, s.figures = 5, 5, 3 // many short steps
		m.stores = append(m.stores, s)
	}
	began := time.Now()
	rapid.Check(t, func(t *rapid.T) {
		if time.Since(began) > countModelTime {
			return
		}
		m.t = t
		m.reset()
		m.exec(m.conn, `TRUNCATE claimcheck_figures, claimcheck_figures_pending, claimcheck_figures_state, ledger`)
		t.Repeat(map[string]func(*rapid.T){
			"finish": m.finish, "finish late": m.finishLate, "reopen": m.reopen, "delete": m.delete, "purge": m.purge, "keep": m.keep, "delete kept": m.deleteKept,
			"end": m.end, "sweep": m.sweep, "count": m.count, "crash": m.crash, "count anew": m.countAnew, "": m.compare,
		})
		m.rollBack()
	})
}

type figureModel struct{ countModel }

// finish makes rows final without a change, at times that were not counted yet in any
// count: one that starts anew does not change when rows finish.
func (m *figureModel) finish(t *rapid.T) {
	status, at := rapid.SampledFrom(finalNamesList).Draw(t, "status"), ago(t)
	m.exec(m.conn, `SET session_replication_role = replica`)
	m.exec(m.conn, `UPDATE claimcheck_tasks SET status = $1, finished_at = greatest(`+at+`, (SELECT nullif(counted_to, '-infinity') FROM claimcheck_counting),
			(SELECT nullif(counted_to, '-infinity') FROM claimcheck_figures_state))
		WHERE `+some(`status = 'RUNNING'`, rapid.IntRange(1, 12).Draw(t, "rows")), status)
	m.exec(m.conn, `RESET session_replication_role`)
}

func (m *figureModel) count(t *rapid.T) {
	for range rapid.IntRange(1, 6).Draw(t, "steps") {
		_, err := m.store(t).CountFigures(m.ctx)
		m.check(err)
	}
}

// crash is a sweeper that is killed before its commit, while another one counts.
func (m *figureModel) crash(*rapid.T) {
	m.check(m.stores[0].on(m.ctx, "test", func(conn *pgx.Conn) error {
		m.exec(conn, `INSERT INTO claimcheck_figures_state (counted_to) VALUES ('-infinity') ON CONFLICT DO NOTHING`) // by then, the other one would wait for it
		tx, err := conn.BeginTx(m.ctx, readCommitted)
		m.check(err)
		_, err = countFigures(m.ctx, tx, 3)
		m.check(err)
		more, err := m.stores[1].CountFigures(m.ctx)
		m.check(err)
		if more {
			m.t.Error("two sweepers counted at once")
		}
		return tx.Rollback(m.ctx)
	}))
}

// compare compares the figures with the ledger.
func (m *figureModel) compare(t *rapid.T) {
	now := time.Now().UTC().Truncate(time.Hour)
	figures, err := m.stores[0].Figures(m.ctx, queue.FiguresRequest{Since: now.Add(-5 * time.Hour), Until: now.Add(time.Hour)})
	m.check(err)
	got := make(map[string]int)
	for key, o := range queue.GroupFigures(figures.Hours, func(h *queue.HourFigures) string { return h.Backend + " " + h.Queue + " " + h.Task }) {
		for status, n := range map[queue.Status]int{queue.StatusSuccessful: o.Succeeded, queue.StatusFailed: o.Failed, queue.StatusCancelled: o.Cancelled} {
			if n > 0 {
				got[string(status)+" "+key] = n
			}
		}
	}
	rows, err := m.conn.Query(m.ctx, `SELECT status || ' ' || backend_name || ' ' || queue_name || ' ' || task_path, count(*) FROM ledger GROUP BY 1`)
	m.check(err)
	want := make(map[string]int)
	var key string
	var n int
	_, err = pgx.ForEachRow(rows, []any{&key, &n}, func() error {
		want[key] = n
		return nil
	})
	m.check(err)
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("figures %v, want %v", got, want)
	}
}

// Figures that are older than they are kept are deleted, also when nothing else is to do.
func TestOldFiguresAreDeleted(t *testing.T) {
	s, conn, _ := countingStore(t)
	if _, err := s.CountFinished(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), `INSERT INTO claimcheck_figures SELECT date_trunc('hour', now()) - interval '1 day' * days, 't', n::text, 'b', 1, 0, 0, 0, '' FROM unnest(ARRAY[1, 89, 91, 200]) AS days, generate_series(1, 1500) AS n`); err != nil {
		t.Fatal(err)
	}
	for more := true; more; {
		var err error
		if more, err = s.CountFigures(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	var left int
	if err := conn.QueryRow(t.Context(), `SELECT count(*) FROM claimcheck_figures`).Scan(&left); err != nil || left != 3000 {
		t.Errorf("%d figures are left, %v", left, err)
	}
}
