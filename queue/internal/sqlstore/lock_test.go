package sqlstore_test

import (
	"context"
	"database/sql"
	"net/url"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue"
)

// whileWaiting begins do, which has to wait for a row that db has locked, and
// calls then while it does so. then releases the row.
func whileWaiting(t *testing.T, db *sql.DB, do, then func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		do()
	}()
	var name string
	for waiting := 0; waiting == 0; {
		select {
		case <-done:
			t.Fatal("it did not wait")
		default:
		}
		if err := db.QueryRowContext(t.Context(), "SHOW GLOBAL STATUS LIKE 'Innodb_row_lock_current_waits'").Scan(&name, &waiting); err != nil {
			t.Fatal(err)
		}
	}
	then()
	<-done
}

// whileLocked begins do, which has to retry because of the rows that tx has
// locked, and commits tx when calls shows that it did. It returns a time of the
// database before that.
func whileLocked(t *testing.T, db *sql.DB, tx *sql.Tx, calls *atomic.Int64, do func()) (waited time.Time) {
	t.Helper()
	calls.Store(0)
	done := make(chan struct{})
	go func() {
		defer close(done)
		do()
	}()
	for calls.Load() < 2 {
		select {
		case <-done:
			t.Fatal("it did not wait for the row")
		default:
			runtime.Gosched()
		}
	}
	var now int64
	if err := db.QueryRowContext(t.Context(), `SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))`).Scan(&now); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	<-done
	return time.UnixMicro(now)
}

func TestTheTimeIsTakenWhenTheRowIsLocked(t *testing.T) {
	databaseURL := testdb.MariaDB(t)
	var calls atomic.Int64
	s, db := migrated(t, databaseURL, config{Observe: func(context.Context, string) func(error) {
		calls.Add(1)
		return func(error) {}
	}}), raw(t, databaseURL)
	row := task(0)
	if err := s.Insert(t.Context(), row); err != nil {
		t.Fatal(err)
	}
	locked := func() *sql.Tx {
		tx, err := db.Begin()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec("UPDATE claimcheck_tasks SET priority = priority + 1"); err != nil {
			t.Fatal(err)
		}
		return tx
	}
	var claimed *queue.Row
	var err error
	req := claimRequest()
	waited := whileLocked(t, db, locked(), &calls, func() { claimed, err = s.Claim(t.Context(), row.ID, req) })
	if err != nil {
		t.Fatal(err)
	}
	if claimed.LeaseExpiresAt.Before(waited.Add(req.Lease)) {
		t.Errorf("the claim waited until %s for the row, and its lease of %s ends at %s", waited, req.Lease, claimed.LeaseExpiresAt)
	}
	waited = whileLocked(t, db, locked(), &calls, func() { err = s.Retry(t.Context(), claimed.Claim(), queue.Retry{In: time.Hour}) })
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.Get(t.Context(), row.ID); err != nil || got.RetryAt.Before(waited.Add(time.Hour)) {
		t.Errorf("the retry waited until %s for the row, and an hour later is %s: %v", waited, got.RetryAt, err)
	}
	waited = whileLocked(t, db, locked(), &calls, func() { row.Row, _, err = s.Cancel(t.Context(), row.ID) })
	if err != nil || row.FinishedAt.Before(waited) {
		t.Errorf("the cancel waited until %s for the row, which ended at %s: %v", waited, row.FinishedAt, err)
	}
}

func TestADeadlockIsRetried(t *testing.T) {
	url := dedicated(t) // whose deadlocks are all of this test
	s, db := migrated(t, url, config{}), raw(t, url)
	one, two := task(0), task(0)
	weights := make([]*queue.NewRow, 50)
	for i := range weights {
		weights[i] = task(0)
		weights[i].Task = "weight"
	}
	one.FreshID, two.FreshID = false, false
	if err := s.Insert(t.Context(), weights...); err != nil {
		t.Fatal(err)
	}
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	lock := func(condition string, args ...any) {
		t.Helper()
		if _, err := tx.Exec("UPDATE claimcheck_tasks FORCE INDEX (PRIMARY) SET priority = priority + 1 WHERE "+condition, args...); err != nil {
			t.Fatal(err)
		}
	}
	// The server undoes the transaction that has changed less: the store's.
	for _, row := range weights {
		lock("id = ?", row.ID.String())
	}
	insert := func(row *queue.NewRow) {
		t.Helper()
		if err := s.InsertTx(t.Context(), s.tx(tx), row); err != nil {
			t.Fatal(err)
		}
	}
	again := func(row *queue.NewRow) *queue.NewRow {
		copied := *row.Row
		return &queue.NewRow{Row: &copied}
	}
	oneAgain, twoAgain := again(one), again(two)
	insert(two)
	var inserted error
	whileWaiting(t, db, func() { inserted = s.Insert(t.Context(), oneAgain, twoAgain) }, func() {
		insert(one)
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
	})
	if inserted != nil || !oneAgain.Existed || !twoAgain.Existed {
		t.Errorf("Insert: %v; existed: %v, %v", inserted, oneAgain.Existed, twoAgain.Existed)
	}
	var name string
	var n int64
	if err := db.QueryRow("SHOW GLOBAL STATUS LIKE 'Innodb_deadlocks'").Scan(&name, &n); err != nil || n == 0 {
		t.Errorf("%d deadlocks, %v", n, err)
	}
}

// raw is a connection beside the store.
func raw(t *testing.T, databaseURL string) *sql.DB {
	t.Helper()
	u, err := url.Parse(databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("mysql", u.User.String()+"@tcp("+u.Host+")"+u.Path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}
