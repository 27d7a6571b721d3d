package pgstore

import (
	"strings"
	"testing"

	"github.com/google/uuid"
)

// Where most rows wait for limits, those of one limit are counted in the index.
func TestRowsThatWaitForALimitAreCountedInTheIndex(t *testing.T) {
	conn := planned(t, `
INSERT INTO claimcheck_tasks (id, task_path, queue_name, backend_name, priority, status, hold, args, dispatch_due_at, enqueued_at, attempts, max_attempts, limit_key)
SELECT gen_random_uuid(), 't', 'q', 'b', 0, 'READY', 3, '1', now(), now(), 0, 3, 'k' || n % 100 FROM generate_series(1, 20000) AS n;
ANALYZE claimcheck_tasks`)
	for _, c := range []struct {
		want int64
		args []any
	}{
		{1000, []any{"queue", "q", "", uuidValue(uuid.New())}},
		{1000, []any{"name", "t", "", uuidValue(uuid.New())}},
		{200, []any{"each", "t", "k7", uuidValue(uuid.New())}},
		{200, []any{"name", "k8", "", uuidValue(uuid.New())}},
		{0, []any{"queue", "other", "", uuidValue(uuid.New())}},
	} {
		for _, plan := range explain(t, conn, waitingQuery, c.args) {
			if !strings.Contains(plan, "claimcheck_tasks_limited ") || strings.Contains(plan, "Seq Scan") || strings.Contains(plan, "Sort") {
				t.Errorf("%v: it does not use its index, or reads the whole table:\n%s", c.args, plan)
			}
		}
		var got int64
		if err := conn.QueryRow(t.Context(), waitingQuery, c.args...).Scan(&got); err != nil || got != c.want {
			t.Errorf("%v: %d wait, want %d: %v", c.args, got, c.want, err)
		}
	}
}
