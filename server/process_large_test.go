package server

import (
	"net/url"
	"strings"
	"testing"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
)

// A bulk action reads the IDs of its rows, and not their arguments.
func TestRetryingRowsWithLargeArgumentsTakesLittleMemory(t *testing.T) {
	t.Parallel()
	databaseURL := testdb.Postgres(t)
	dir, env := t.TempDir(), []string{"DATABASE_URL=" + databaseURL, "TASKS_MODE=pull", procToken, "ADMIN_TOKEN=" + attackAdminToken}
	procRun(t, dir, env, "", "migrate")
	const rows = 300
	if r := procRun(t, dir, env, strings.Repeat("{\"task\":\"demo.echo\",\"args\":1}\n", rows), "enqueue", "-"); r.status != 0 {
		t.Fatalf("%+v", r)
	}
	testdb.Exec(t, databaseURL, `UPDATE claimcheck_tasks SET args = to_json(repeat('x', 1000000)), status = 'FAILED', hold = NULL, attempts = max_attempts, finished_at = now() - interval '1 minute'`)
	s := procServe(t, dir, env)
	before := s.peak()
	page := procAct(s, url.Values{"all": {"retry"}, "view": {"failed"}, "expected": {"300"}})
	if !strings.Contains(page, "300 tasks are READY again") {
		t.Errorf("the page does not say that all are READY:\n%s", page)
	}
	const most = 64 // MB
	if grown := s.peak() - before; grown > most {
		t.Errorf("retrying %d rows of 1 MB took %d MB", rows, grown)
	}
}
