package httpapi_test

import (
	"database/sql"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/sqlitestore"
	"github.com/claimcheck-go/claimcheck/server/httpapi"
)

// A GET changes nothing, except those of the schedulers that can only GET. A dry run does
// not either.
func TestReadingRoutesChangeNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.db")
	store, err := sqlitestore.Open(t.Context(), sqlitestore.Config{URL: "sqlite:" + path, Migrate: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	a := newAPI(t, func(_ *httpapi.Config, c *queue.Config) { c.Store = store })
	handle, err := a.client.Enqueue(t.Context(), "t.echo", nil, queue.ExpiresIn(time.Microsecond))
	if err != nil {
		t.Fatal(err)
	}
	lost, err := a.client.Enqueue(t.Context(), "t.echo", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), `UPDATE claimcheck_tasks SET status = 'RUNNING', attempts = 1, started_at = 1, last_attempted_at = 1, lease_expires_at = 1 WHERE id = ?`, lost.ID.String()); err != nil {
		t.Fatal(err)
	}
	if row, err := a.client.Get(t.Context(), lost.ID); err != nil || row.Status != queue.StatusRunning {
		t.Fatal(row, err)
	}
	before := testdb.SQLiteTables(t, db)
	for _, request := range []string{
		"GET /tasks/result/" + handle.ID.String() + "/", "GET /tasks/result/" + lost.ID.String() + "/", "GET /tasks/status/", "GET /tasks/figures/", "GET /tasks/schedules/",
		"GET /tasks/queues/", "GET /tasks/limits/", "GET /tasks/groups/", "GET /tasks/audit/", "GET /tasks/", "GET /tasks/?text=4711", "GET /tasks/openapi.json", "GET /tasks/purge/?dry_run=true", `POST /tasks/purge/ {"dry_run":true}`,
	} {
		parts := append(strings.SplitN(request, " ", 3), "")
		if got := a.do(parts[0], parts[1], parts[2]); got.status != 200 {
			t.Errorf("%s: %d %s", request, got.status, got.text)
		}
		after := testdb.SQLiteTables(t, db)
		for name := range after {
			if before[name] != after[name] {
				t.Errorf("%s changed the table %s", request, name)
			}
		}
		before = after
	}
}
