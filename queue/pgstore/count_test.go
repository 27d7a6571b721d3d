package pgstore

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue"
)

// countModelTime bounds the random runs.
const countModelTime = 20 * time.Second

// Whatever happens to finished rows, in whatever order it commits, the statistics are
// what counting the rows gives.
func TestCountsAreExact(t *testing.T) {
	url := testdb.Postgres(t)
	m := &countModel{ctx: t.Context(), conn: migratedConn(t, url)}
	for range 2 { // two sweepers
		s, err := Open(t.Context(), Config{URL: url})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		s.counts.rows, s.counts.period = 5, 5 // many short periods
		m.stores = append(m.stores, s)
	}
	began := time.Now()
	rapid.Check(t, func(t *rapid.T) {
		if time.Since(began) > countModelTime {
			return
		}
		m.t = t
		m.reset()
		t.Repeat(map[string]func(*rapid.T){
			"finish": m.finish, "finish late": m.finishLate, "reopen": m.reopen, "delete": m.delete, "purge": m.purge, "keep": m.keep, "delete kept": m.deleteKept,
			"restore": m.restore, "move": m.move, "end": m.end, "sweep": m.sweep, "crash": m.crash, "damage": m.damage,
			"count anew": m.countAnew, "": m.compare,
		})
		m.rollBack()
	})
}

// migratedConn is a connection to a migrated database.
func migratedConn(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	s, err := Open(t.Context(), Config{URL: url, Migrate: true})
	if err != nil {
		t.Fatal(err)
	}
	_ = s.Close()
	return dialed(t, url)
}

// countingStore returns a Store on a fresh database, and a connection to it.
func countingStore(t *testing.T) (s *Store, conn *pgx.Conn, url string) {
	t.Helper()
	url = testdb.Postgres(t)
	conn = migratedConn(t, url)
	s, err := Open(t.Context(), Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s, conn, url
}

func dialed(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	return conn
}

type countModel struct {
	ctx    context.Context //nolint:containedctx // the test's
	t      *rapid.T
	conn   *pgx.Conn
	stores []*Store
	open   []*pgx.Conn // transactions that have not ended
}

func (m *countModel) check(err error) {
	if err != nil {
		m.t.Fatal(err)
	}
}

func (m *countModel) exec(conn *pgx.Conn, sql string, args ...any) {
	_, err := conn.Exec(m.ctx, sql, args...)
	m.check(err)
}

func (m *countModel) reset() {
	m.rollBack()
	m.exec(m.conn, `TRUNCATE claimcheck_tasks`)
	m.exec(m.conn, countRow(`'RUNNING', NULL`, 60))
}

// countRow is an INSERT of rows with these values of status and finished_at.
func countRow(values string, n int) string {
	return fmt.Sprintf(`INSERT INTO claimcheck_tasks (id, task_path, queue_name, backend_name, priority, args, dispatch_due_at, enqueued_at, max_attempts, status, finished_at)
SELECT gen_random_uuid(), 't' || n %% 2, 'q' || n %% 3, 'b' || n %% 5 / 4, 0, '1', now(), now(), 3, %s FROM generate_series(1, %d) AS n`, values, n)
}

var finalNamesList = []string{"SUCCESSFUL", "FAILED", "CANCELLED"}

// on returns where a change is made: at once, or in a transaction that ends later.
func (m *countModel) on(t *rapid.T) *pgx.Conn {
	if len(m.open) == 3 || rapid.IntRange(0, 2).Draw(t, "later") > 0 {
		return m.conn
	}
	conn, err := pgx.Connect(m.ctx, m.conn.Config().ConnString())
	m.check(err)
	level := rapid.SampledFrom([]string{"READ COMMITTED", "REPEATABLE READ"}).Draw(t, "level")
	m.exec(conn, `BEGIN ISOLATION LEVEL `+level)
	m.open = append(m.open, conn)
	return conn
}

// some selects rows at random that no transaction has locked.
func some(condition string, n int) string {
	return fmt.Sprintf(`id IN (SELECT id FROM claimcheck_tasks WHERE %s ORDER BY md5(id::text || clock_timestamp()) LIMIT %d FOR UPDATE SKIP LOCKED)`, condition, n)
}

const isFinal = `status IN ('SUCCESSFUL', 'FAILED', 'CANCELLED')`

// ago is a time of the last three hours that is not within a second of any limit.
func ago(t *rapid.T) string {
	return fmt.Sprintf(`now() - interval '%d.5 seconds'`, rapid.IntRange(30, 3*3600).Draw(t, "ago"))
}

// finish makes rows final as finishes at times that are not counted yet did, without
// a change.
func (m *countModel) finish(t *rapid.T) {
	status, at := rapid.SampledFrom(finalNamesList).Draw(t, "status"), ago(t)
	m.exec(m.conn, `SET session_replication_role = replica`)
	m.exec(m.conn, `UPDATE claimcheck_tasks SET status = $1, finished_at = greatest(`+at+`, (SELECT nullif(counted_to, '-infinity') FROM claimcheck_counting))
		WHERE `+some(`status = 'RUNNING'`, rapid.IntRange(1, 12).Draw(t, "rows")), status)
	m.exec(m.conn, `RESET session_replication_role`)
}

func (m *countModel) finishLate(t *rapid.T) {
	m.exec(m.on(t), `UPDATE claimcheck_tasks SET status = $1, finished_at = `+ago(t)+` WHERE `+some(`status = 'RUNNING'`, 2), rapid.SampledFrom(finalNamesList).Draw(t, "status"))
}

func (m *countModel) reopen(t *rapid.T) {
	m.exec(m.on(t), `UPDATE claimcheck_tasks SET status = 'RUNNING', finished_at = NULL WHERE `+some(isFinal, 2))
}

func (m *countModel) delete(t *rapid.T) {
	m.exec(m.on(t), `DELETE FROM claimcheck_tasks WHERE `+some(isFinal, 3))
}

func (m *countModel) restore(t *rapid.T) {
	m.exec(m.on(t), countRow(`'FAILED', `+ago(t), 3))
}

func (m *countModel) move(t *rapid.T) {
	m.exec(m.on(t), `UPDATE claimcheck_tasks SET queue_name = 'moved', finished_at = finished_at - interval '50 seconds' WHERE `+some(isFinal, 1))
}

func (m *countModel) purge(t *rapid.T) {
	_, err := m.store(t).Purge(m.ctx, m.purgeRequest(t))
	m.check(err)
	m.exec(m.conn, countRow(`'RUNNING', NULL`, 3))
}

// keep gives ended rows a Keep that is over, or is not.
func (m *countModel) keep(t *rapid.T) {
	m.exec(m.on(t), `UPDATE claimcheck_tasks SET delete_at = now() + $1::interval WHERE `+some(isFinal, 3), time.Duration(rapid.SampledFrom([]int{-1, 1}).Draw(t, "hours"))*time.Hour)
}

func (m *countModel) deleteKept(t *rapid.T) {
	_, err := m.store(t).DeleteKept(m.ctx, 4)
	m.check(err)
}

func (m *countModel) store(t *rapid.T) *Store { return rapid.SampledFrom(m.stores).Draw(t, "store") }

// end commits a transaction or rolls it back, if one is open.
func (m *countModel) end(t *rapid.T) {
	if len(m.open) == 0 {
		return
	}
	i := rapid.IntRange(0, len(m.open)-1).Draw(t, "transaction")
	m.exec(m.open[i], rapid.SampledFrom([]string{"COMMIT", "COMMIT", "ROLLBACK"}).Draw(t, "end"))
	_ = m.open[i].Close(m.ctx)
	m.open = slices.Delete(m.open, i, i+1)
}

func (m *countModel) rollBack() {
	for _, conn := range m.open {
		_ = conn.Close(m.ctx)
	}
	m.open = nil
}

func (m *countModel) sweep(t *rapid.T) {
	for range rapid.IntRange(1, 6).Draw(t, "steps") {
		_, err := m.store(t).CountFinished(m.ctx)
		m.check(err)
	}
}

// crash is a sweeper that is killed before its commit, while another one looks.
func (m *countModel) crash(t *rapid.T) {
	s := m.stores[0]
	m.check(s.on(m.ctx, "test", func(conn *pgx.Conn) error {
		tx, err := conn.BeginTx(m.ctx, readCommitted)
		m.check(err)
		c, ok, err := beginCount(m.ctx, tx)
		m.check(err)
		if c.limits = s.counts; ok {
			_, err = c.step(m.ctx, tx)
			m.check(err)
		}
		more, err := m.stores[1].CountFinished(m.ctx)
		m.check(err)
		if more && ok {
			m.t.Error("two sweepers counted at once")
		}
		m.compare(t)
		return tx.Rollback(m.ctx)
	}))
}

// damage is a change that no trigger sees, such as a dropped partition. Sweeps find
// it.
func (m *countModel) damage(t *rapid.T) {
	m.exec(m.conn, `SET session_replication_role = replica`)
	m.exec(m.conn, `DELETE FROM claimcheck_tasks WHERE `+some(isFinal+` AND finished_at < (SELECT max(at) FROM claimcheck_periods)`, 3))
	m.exec(m.conn, `RESET session_replication_role`)
	var periods int
	m.check(m.conn.QueryRow(m.ctx, `SELECT count(DISTINCT at) FROM claimcheck_periods`).Scan(&periods))
	for range 2*periods + 40 {
		_, err := m.stores[0].CountFinished(m.ctx)
		m.check(err)
	}
}

func (m *countModel) countAnew(t *rapid.T) {
	if rapid.IntRange(0, 3).Draw(t, "really") == 0 {
		m.exec(m.conn, `DELETE FROM claimcheck_counting`)
	}
}

func (m *countModel) purgeRequest(t *rapid.T) queue.PurgeRequest {
	r := queue.PurgeRequest{
		Statuses: rapid.SampledFrom([][]queue.Status{{queue.StatusFailed}, {queue.StatusSuccessful, queue.StatusFailed}, {queue.StatusCancelled}}).Draw(t, "statuses"),
		Age:      time.Duration(rapid.SampledFrom([]int{0, 60, 3600, 4000, 5400, 7200, 9000}).Draw(t, "age")) * time.Second, Limit: 5,
	}
	if rapid.Bool().Draw(t, "one task") {
		r.Task = "t1"
	}
	return r
}

func (m *countModel) number(sql string, args ...any) (n int) {
	m.check(m.conn.QueryRow(m.ctx, sql, args...).Scan(&n))
	return n
}

// compareQueues compares what has ended within an hour of one time.
func (m *countModel) compareQueues(t *rapid.T) {
	tx, err := m.conn.Begin(m.ctx)
	m.check(err)
	defer func() { _ = tx.Rollback(m.ctx) }()
	ended := func(query string) (all []string) {
		rows, err := tx.Query(m.ctx, query)
		m.check(err)
		all, err = pgx.CollectRows(rows, pgx.RowTo[string])
		m.check(err)
		return all
	}
	got := ended(`WITH ` + queueParts + ` SELECT concat_ws(' ', backend_name, queue_name, succeeded, failed) FROM ended WHERE succeeded + failed <> 0 ORDER BY 1`)
	want := ended(`SELECT concat_ws(' ', backend_name, queue_name, count(*) FILTER (WHERE status = 'SUCCESSFUL'), count(*) FILTER (WHERE status = 'FAILED')) FROM claimcheck_tasks
		WHERE status IN ('SUCCESSFUL', 'FAILED') AND finished_at > now() - interval '1 hour' GROUP BY backend_name, queue_name ORDER BY 1`)
	if !slices.Equal(got, want) {
		t.Fatalf("ended within an hour: %q, want %q", got, want)
	}
}

// compare compares the statistics with the rows.
func (m *countModel) compare(t *rapid.T) {
	s := m.stores[0]
	m.compareQueues(t)
	for _, f := range []queue.Filter{{}, {Queue: "q1"}, {Backend: "b1"}, {Queue: "moved", Backend: "b0"}} {
		stats, err := s.Stats(m.ctx, f)
		m.check(err)
		for status, got := range map[queue.Status]int{queue.StatusSuccessful: stats.Successful, queue.StatusFailed: stats.Failed, queue.StatusCancelled: stats.Cancelled} {
			want := m.number(`SELECT count(*) FROM claimcheck_tasks WHERE status = $1 AND ($2 = '' OR queue_name = $2) AND ($3 = '' OR backend_name = $3)`, string(status), f.Queue, f.Backend)
			if got != want {
				t.Fatalf("%d %s of %+v, want %d", got, status, f, want)
			}
		}
	}
	r := m.purgeRequest(t)
	old := func() int {
		return m.number(`SELECT count(*) FROM claimcheck_tasks WHERE status = ANY($1) AND finished_at <= now() - $2::interval AND ($3 = '' OR task_path = $3)
			AND (delete_at IS NULL OR delete_at <= now())`, finalNames(r), r.Age, r.Task)
	}
	before := old()
	got, err := s.CountPurgeable(m.ctx, r)
	m.check(err)
	if before == old() && got != before { // or one has just become old enough
		t.Fatalf("%d to purge by %+v, want %d", got, r, before)
	}
}

// A finish that is written and not committed is not passed by what is counted ahead.
func TestCountsWaitForUncommittedFinishes(t *testing.T) {
	s, conn, url := countingStore(t)
	s.counts.lag = -time.Minute // as if a minute passed before each sweep
	exec := func(conn *pgx.Conn, sql string) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	successful := func(want int) {
		t.Helper()
		if stats, err := s.Stats(t.Context(), queue.Filter{}); err != nil || stats.Successful != want {
			t.Errorf("%d SUCCESSFUL, want %d; %v", stats.Successful, want, err)
		}
	}
	countedTo := func() (finite bool) {
		t.Helper()
		if _, err := s.CountFinished(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := conn.QueryRow(t.Context(), `SELECT isfinite(counted_to) FROM claimcheck_counting`).Scan(&finite); err != nil {
			t.Fatal(err)
		}
		return finite
	}
	exec(conn, countRow(`'RUNNING', NULL`, 2))
	caller, reader := dialed(t, url), dialed(t, url)
	exec(reader, `BEGIN; CREATE TEMP TABLE other (n int); SELECT count(*) FROM claimcheck_tasks`) // does not write tasks
	exec(caller, `BEGIN; UPDATE claimcheck_tasks SET status = 'SUCCESSFUL', finished_at = now()`)
	for range 3 {
		if countedTo() {
			t.Error("rows were counted up to a time at which an open transaction has finished one")
		}
	}
	successful(0)
	exec(caller, `COMMIT`)
	successful(2)
	if !countedTo() {
		t.Error("nothing was counted beside a transaction that writes other tables")
	}
	successful(2)
	var left int
	if err := conn.QueryRow(t.Context(), `SELECT sum(n)::int FROM claimcheck_totals`).Scan(&left); err != nil || left != 2 {
		t.Errorf("%d rows are counted, want 2; %v", left, err)
	}
}

// A sweep counts what has finished, and a purge takes what it deletes off the counts.
func TestSweepAndPurgeKeepTheCounts(t *testing.T) {
	s, conn, _ := countingStore(t)
	client, err := queue.NewClient(queue.Config{Store: s, Registry: queue.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	counts := func() (c struct{ Totals, Periods, Changes int }) {
		t.Helper()
		if err := conn.QueryRow(t.Context(), `SELECT (SELECT coalesce(sum(n), 0)::int FROM claimcheck_totals), (SELECT coalesce(sum(n), 0)::int FROM claimcheck_periods),
			(SELECT coalesce(sum(n), 0)::int FROM claimcheck_changes)`).Scan(&c.Totals, &c.Periods, &c.Changes); err != nil {
			t.Fatal(err)
		}
		return c
	}
	if _, err := conn.Exec(t.Context(), `SET session_replication_role = replica; `+countRow(`'FAILED', now() - n * interval '20 minutes'`, 30)); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Sweep(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if got := counts(); got.Totals != 30 || got.Periods != 30 || got.Changes != 0 {
		t.Errorf("after a sweep: %+v", got)
	}
	deleted, _, err := client.Purge(t.Context(), queue.PurgeRequest{Statuses: []queue.Status{queue.StatusFailed}, Age: 5*time.Hour - time.Minute}, nil)
	if err != nil || deleted != 16 {
		t.Errorf("purged %d, %v", deleted, err)
	}
	if got := counts(); got.Totals != 14 || got.Periods != 14 || got.Changes != 0 {
		t.Errorf("after a purge: %+v", got)
	}
}

// Otherwise any role could use the functions to write to the counts of finished rows.
func TestOnlyTheOwnerMayMakeTriggersOfTheFunctions(t *testing.T) {
	conn := migratedConn(t, testdb.Postgres(t))
	var functions, others int
	if err := conn.QueryRow(t.Context(), `SELECT count(*), count(*) FILTER (WHERE EXISTS (
			SELECT FROM aclexplode(coalesce(proacl, acldefault('f', proowner))) AS given WHERE given.grantee <> proowner))
		FROM pg_proc WHERE pronamespace = current_schema()::regnamespace AND prosecdef`).Scan(&functions, &others); err != nil {
		t.Fatal(err)
	}
	if functions != 3 || others > 0 {
		t.Errorf("of %d functions that run as their owner, others may use %d", functions, others)
	}
}

// Such times may have been written by hand.
func TestCountsOfRowsThatFinishedBeforeAllTime(t *testing.T) {
	s, conn, _ := countingStore(t)
	s.counts.lag = -time.Minute
	counted := func(wantRows, wantTotals int) {
		t.Helper()
		for more, n := true, 0; more; n++ {
			var err error
			if more, err = s.CountFinished(t.Context()); err != nil || n > 20 {
				t.Fatal(n, err)
			}
		}
		var totals int
		if err := conn.QueryRow(t.Context(), `SELECT coalesce(sum(n), 0)::int FROM claimcheck_totals`).Scan(&totals); err != nil || totals != wantTotals {
			t.Errorf("%d rows are counted, want %d; %v", totals, wantTotals, err)
		}
		if stats, err := s.Stats(t.Context(), queue.Filter{}); err != nil || stats.Failed != wantRows {
			t.Errorf("%d FAILED, want %d; %v", stats.Failed, wantRows, err)
		}
	}
	exec := func(sql string) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	for _, at := range []string{`'-infinity'`, `'0044-03-15 BC'`, `'0001-01-01 00:00:00+00'`, `now() - interval '3 days'`, `'infinity'`} {
		exec(countRow(`'FAILED', `+at, 1))
	}
	counted(5, 4)
	exec(countRow(`'FAILED', '-infinity'`, 2))
	counted(7, 6)
	exec(`DELETE FROM claimcheck_tasks WHERE finished_at < '2000-01-01'`)
	counted(2, 1)
}
