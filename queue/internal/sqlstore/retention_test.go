package sqlstore_test

import (
	"testing"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue"
)

// A program from before queue.Keep ends a task whose arguments were not to be kept, and
// keeps them: the sweep drops them.
func TestWhatAnOldProgramKeptIsDropped(t *testing.T) {
	for name, url := range map[string]string{"SQLite": "sqlite::memory:", "MySQL": testdb.MariaDB(t)} {
		t.Run(name, func(t *testing.T) {
			s := migrated(t, url, config{})
			row := task(0)
			row.Args, row.Keep = []byte(`{"a": 1}`), &queue.Retention{}
			if err := s.Insert(t.Context(), row); err != nil {
				t.Fatal(err)
			}
			if _, err := s.DB().ExecContext(t.Context(), `UPDATE claimcheck_tasks SET status = 'SUCCESSFUL', return_value = '5', attempts = 1, started_at = enqueued_at, finished_at = enqueued_at`); err != nil {
				t.Fatal(err)
			}
			if n, err := s.DeleteKept(t.Context(), 10); n != 0 || err != nil {
				t.Errorf("deleted %d, %v", n, err)
			}
			ended, err := s.Get(t.Context(), row.ID)
			if err != nil {
				t.Fatal(err)
			}
			if string(ended.Args) != string(queue.DroppedArgs(row.Args)) || ended.ReturnValue != nil || ended.DeleteAt.Sub(ended.FinishedAt) != queue.KeptForRepeats {
				t.Errorf("%s, %s, deleted at %s", ended.Args, ended.ReturnValue, ended.DeleteAt)
			}
		})
	}
}
