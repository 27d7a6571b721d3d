package sqlitestore_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/claimcheck-go/claimcheck/queue/sqlitestore"
)

// Each call that ends a claim writes alone. Hundreds of them may wait while many short
// tasks run, and one that is overtaken again and again would not be stored in time.
func TestCallsThatWriteTakeTurnsInTheOrderOfTheirArrival(t *testing.T) {
	url := "sqlite:" + filepath.Join(t.TempDir(), "tasks.db")
	synctest.Test(t, func(t *testing.T) {
		s, err := sqlitestore.Open(t.Context(), sqlitestore.Config{URL: url, Migrate: true})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = s.Close() }()
		held, err := s.DB().Conn(t.Context()) // the only one that writes
		if err != nil {
			t.Fatal(err)
		}
		_, err = held.ExecContext(t.Context(), `CREATE TABLE written (place INTEGER PRIMARY KEY, task_path TEXT);
			CREATE TRIGGER written AFTER INSERT ON claimcheck_tasks BEGIN INSERT INTO written (task_path) VALUES (NEW.task_path); END`)
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		for i := range 30 {
			row := task(0)
			row.Task = fmt.Sprintf("call.%02d", i)
			want = append(want, row.Task)
			go func() {
				if err := s.Insert(t.Context(), row); err != nil {
					t.Error(err)
				}
			}()
			synctest.Wait()
		}
		if err := held.Close(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		var got string
		err = s.DB().QueryRowContext(t.Context(), "SELECT group_concat(task_path) FROM (SELECT task_path FROM written ORDER BY place)").Scan(&got)
		if err != nil || got != strings.Join(want, ",") {
			t.Errorf("written in the order %s: %v", got, err)
		}
	})
}
