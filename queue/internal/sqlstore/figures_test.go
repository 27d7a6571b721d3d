package sqlstore_test

import (
	"database/sql"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue"
)

// Whatever happens to finished rows, in whatever order it commits, each of their ends is in
// the figures, once.
func TestFiguresCountEachEndOnce(t *testing.T) {
	for name, url := range map[string]string{"MariaDB": testdb.MariaDB(t), "SQLite": "sqlite:" + filepath.Join(t.TempDir(), "tasks.db")} {
		t.Run(name, func(t *testing.T) {
			m := &figureModel{T: t, s: migrated(t, url, config{}), random: rand.New(rand.NewPCG(1, 2)), want: make(map[queue.Status]int)}
			steps := []func(){m.finish, m.finish, m.cancel, m.retry, m.claimAgain, m.purge, m.delete, m.deleteKept, m.pass, m.count, m.count}
			if name == "MariaDB" { // SQLite has one transaction at a time
				m.other = migrated(t, url, config{})
				steps = append(steps, m.begin, m.end, m.countTwice)
			} else {
				m.other = m.s
			}
			for range 300 {
				steps[m.random.IntN(len(steps))]()
				m.compare()
			}
			m.end()
			m.pass()
			m.count()
			m.compare()
		})
	}
}

type figureModel struct {
	*testing.T
	s, other store
	random   *rand.Rand
	want     map[queue.Status]int
	open     *sql.Tx // a caller's transaction that has ended a task, if it is not nil
	passed   bool    // since it began
}

func (m *figureModel) must(err error) {
	m.Helper()
	if err != nil {
		m.Fatal(err)
	}
}

func (m *figureModel) figures() queue.FigureStore { return any(m.s.full).(queue.FigureStore) }

func (m *figureModel) claimed() *queue.Row {
	row := task(0)
	row.Keep = &queue.Retention{}
	m.must(m.s.Insert(m.Context(), row))
	claimed, err := m.s.Claim(m.Context(), row.ID, claimRequest())
	m.must(err)
	return claimed
}

func (m *figureModel) finish() {
	status := queue.StatusFailed
	if m.random.IntN(2) == 0 {
		status = queue.StatusSuccessful
	}
	row := m.claimed()
	_, err := m.s.Finish(m.Context(), row.Claim(), queue.Finish{Status: status})
	m.must(err)
	m.want[status]++
}

func (m *figureModel) cancel() {
	row := task(0)
	m.must(m.s.Insert(m.Context(), row))
	_, _, err := m.s.Cancel(m.Context(), row.ID)
	m.must(err)
	m.want[queue.StatusCancelled]++
}

// some returns an ended row at random that is not locked, if there is one.
func (m *figureModel) some(condition string) (ids []uuid.UUID) {
	rows, err := m.s.DB().QueryContext(m.Context(), "SELECT id FROM claimcheck_tasks WHERE "+condition+" ORDER BY claim_id LIMIT 2")
	m.must(err)
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var id uuid.UUID
		m.must(rows.Scan(&id))
		ids = append(ids, id)
	}
	m.must(rows.Err())
	return ids
}

func (m *figureModel) act(action queue.Action, condition string) []*queue.Row {
	ids := m.some(condition)
	if len(ids) == 0 {
		return nil
	}
	rows, err := m.s.Act(m.Context(), action, queue.Selection{IDs: ids}, time.Now().Add(time.Hour), 2)
	m.must(err)
	return rows
}

func (m *figureModel) retry() { m.act(queue.ActionRetry, "status = 'FAILED'") }

func (m *figureModel) claimAgain() {
	for _, id := range m.some("status = 'FAILED'") {
		req := claimRequest()
		req.AllowRetry = true
		if claimed, err := m.s.Claim(m.Context(), id, req); err == nil {
			_, err = m.s.Finish(m.Context(), claimed.Claim(), queue.Finish{Status: queue.StatusSuccessful})
			m.must(err)
			m.want[queue.StatusSuccessful]++
		}
	}
}

func (m *figureModel) delete() { m.act(queue.ActionDelete, "status = 'SUCCESSFUL'") }

func (m *figureModel) purge() {
	_, err := m.s.Purge(m.Context(), queue.PurgeRequest{Statuses: []queue.Status{queue.StatusFailed, queue.StatusCancelled}, Limit: 3})
	m.must(err)
}

func (m *figureModel) deleteKept() {
	_, err := m.s.DeleteKept(m.Context(), 2)
	m.must(err)
}

// past makes ended rows, and the time until which they are counted, 30 seconds older.
const past = "UPDATE claimcheck_tasks SET finished_at = finished_at - 30000000, delete_at = delete_at - 300000000 WHERE finished_at IS NOT NULL"

func (m *figureModel) pass() {
	if m.open == nil {
		_, err := m.s.DB().ExecContext(m.Context(), past)
		m.must(err)
	} else if m.passed {
		return
	} else { // the others are locked for nobody
		_, err := m.s.DB().ExecContext(m.Context(), past+" AND status IN ('SUCCESSFUL', 'FAILED', 'CANCELLED')")
		m.must(err)
		_, err = m.open.ExecContext(m.Context(), past+" AND note = 'open'")
		m.must(err)
		m.passed = true
	}
	_, err := m.s.DB().ExecContext(m.Context(), "UPDATE claimcheck_figures_state SET counted_to = counted_to - 30000000 WHERE counted_to > 0")
	m.must(err)
}

func (m *figureModel) count() {
	for more := true; more; {
		var err error
		more, err = m.figures().CountFigures(m.Context())
		m.must(err)
	}
}

// countTwice counts in two processes at once.
func (m *figureModel) countTwice() {
	done := make(chan error)
	go func() {
		_, err := any(m.other.full).(queue.FigureStore).CountFigures(m.Context())
		done <- err
	}()
	m.count()
	m.must(<-done)
}

// begin ends a task in a transaction that stays open.
func (m *figureModel) begin() {
	if m.open != nil {
		return
	}
	row := m.claimed()
	var err error
	m.open, err = m.s.DB().BeginTx(m.Context(), nil)
	m.must(err)
	m.passed = false
	tx := m.open
	m.Cleanup(func() { _ = tx.Rollback() })
	_, err = m.s.FinishTx(m.Context(), m.s.tx(m.open), row.Claim(), queue.Finish{Status: queue.StatusSuccessful})
	m.must(err)
	_, err = m.open.ExecContext(m.Context(), "UPDATE claimcheck_tasks SET note = 'open' WHERE id = ?", row.ID)
	m.must(err)
}

func (m *figureModel) end() {
	if m.open == nil {
		return
	}
	if m.random.IntN(3) == 0 {
		m.must(m.open.Rollback())
	} else {
		_, err := m.open.ExecContext(m.Context(), "UPDATE claimcheck_tasks SET note = NULL WHERE note = 'open'")
		m.must(err)
		m.must(m.open.Commit())
		m.want[queue.StatusSuccessful]++
	}
	m.open = nil
}

func (m *figureModel) compare() {
	m.Helper()
	total := figuresOf(m.T, m.figures()).Total()
	if got := (map[queue.Status]int{queue.StatusSuccessful: total.Succeeded, queue.StatusFailed: total.Failed, queue.StatusCancelled: total.Cancelled}); fmt.Sprint(got) != fmt.Sprint(map[queue.Status]int{
		queue.StatusSuccessful: m.want[queue.StatusSuccessful], queue.StatusFailed: m.want[queue.StatusFailed], queue.StatusCancelled: m.want[queue.StatusCancelled],
	}) {
		m.Fatalf("figures %v, want %v", got, m.want)
	}
}

func figuresOf(t *testing.T, s queue.FigureStore) *queue.Figures {
	t.Helper()
	hour := time.Now().UTC().Truncate(time.Hour)
	figures, err := s.Figures(t.Context(), queue.FiguresRequest{Since: hour.Add(-24 * time.Hour), Until: hour.Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	return &figures
}

// A caller's transaction that stays open delays the figures for ten minutes, and not for
// longer.
func TestAnOpenTransactionDoesNotStopTheFigures(t *testing.T) {
	for minutes, want := range map[int]int{5: 0, 11: 1} {
		t.Run(fmt.Sprintf("for %d minutes", minutes), func(t *testing.T) {
			s := migrated(t, testdb.MariaDB(t), config{})
			for _, commit := range []bool{false, true} {
				tx, err := s.DB().BeginTx(t.Context(), nil)
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = tx.Rollback() }()
				row := task(0)
				if err := s.Insert(t.Context(), row); err != nil {
					t.Fatal(err)
				}
				claimed, err := s.Claim(t.Context(), row.ID, claimRequest())
				if err == nil {
					_, err = s.FinishTx(t.Context(), s.tx(tx), claimed.Claim(), queue.Finish{Status: queue.StatusSuccessful})
				}
				if err == nil {
					_, err = tx.ExecContext(t.Context(), "UPDATE claimcheck_tasks SET finished_at = finished_at - ? WHERE id = ?", (time.Duration(minutes) * time.Minute).Microseconds(), row.ID)
				}
				if err == nil && commit {
					err = tx.Commit()
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			store := any(s.full).(queue.FigureStore)
			if _, err := store.CountFigures(t.Context()); err != nil {
				t.Fatal(err)
			}
			var counted int
			if err := s.DB().QueryRowContext(t.Context(), "SELECT coalesce(sum(succeeded), 0) FROM claimcheck_figures").Scan(&counted); err != nil || counted != want {
				t.Errorf("%d are counted, want %d; %v", counted, want, err)
			}
			if n := figuresOf(t, store).Total().Succeeded; n != 1 {
				t.Errorf("%d are shown", n)
			}
		})
	}
}

// Figures that are older than they are kept are deleted, also when nothing else is to do.
func TestOldFiguresAreDeleted(t *testing.T) {
	for name, url := range map[string]string{"MariaDB": testdb.MariaDB(t), "SQLite": "sqlite:" + filepath.Join(t.TempDir(), "tasks.db")} {
		t.Run(name, func(t *testing.T) {
			s := migrated(t, url, config{})
			hour := time.Now().UTC().Truncate(time.Hour)
			for _, days := range []int{1, 89, 91, 200} {
				for i := range 3 {
					if _, err := s.DB().ExecContext(t.Context(), "INSERT INTO claimcheck_figures VALUES (?, 't', ?, 'b', 1, 0, 0, 0, x'01')",
						hour.AddDate(0, 0, -days).UnixMicro(), fmt.Sprint(i)); err != nil {
						t.Fatal(err)
					}
				}
			}
			if _, err := any(s.full).(queue.FigureStore).CountFigures(t.Context()); err != nil {
				t.Fatal(err)
			}
			var left int
			if err := s.DB().QueryRowContext(t.Context(), "SELECT count(*) FROM claimcheck_figures").Scan(&left); err != nil || left != 6 {
				t.Errorf("%d figures are left, %v", left, err)
			}
		})
	}
}
