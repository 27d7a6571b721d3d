package pgstore_test

import (
	"testing"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/pgstore"
)

// A program from before queue.Keep ends a task whose arguments were not to be kept, and
// keeps them: the sweep drops them.
func TestWhatAnOldProgramKeptIsDropped(t *testing.T) {
	config := pgstore.Config{URL: testdb.Postgres(t)}
	s := migrated(t, config)
	row := task()
	row.Args, row.Keep = []byte(`{"a": 1}`), &queue.Retention{}
	if err := s.Insert(t.Context(), row); err != nil {
		t.Fatal(err)
	}
	testdb.Exec(t, config.URL, `UPDATE claimcheck_tasks SET status = 'SUCCESSFUL', return_value = '5', attempts = 1, started_at = now(), finished_at = now()`)
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
}
