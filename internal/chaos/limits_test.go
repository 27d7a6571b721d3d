package chaos

import (
	"context"
	"net/http"
	"time"

	"github.com/google/uuid"
)

// limited is the queue of which at most limitRunning tasks run at once; one in
// limitedShare tasks is enqueued to it, while less than limitedBacklog wait there: it is
// slower than the producers, and a long run could not be drained.
const (
	limited        = "limited"
	limitedShare   = 6
	limitRunning   = 3
	limitedBacklog = 20
)

const ruleLimit = "no more tasks of a queue run than its limit allows"

// limit sets the limit, while nothing fails yet.
func (r *run) limit() {
	r.t.Helper()
	status, text, err := r.send(http.MethodPut, "/tasks/queues/"+limited+"/limit/", map[string]any{"running": limitRunning})
	if err != nil || status != http.StatusOK {
		r.t.Fatalf("limit: %d %s %v", status, text, err)
	}
}

// countLimited counts the tasks of the queue that have not ended.
func (r *run) countLimited(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	var n int64
	err := r.site.db.QueryRowContext(ctx, `SELECT count(*) FROM claimcheck_tasks WHERE queue_name = '`+limited+`' AND status IN ('READY', 'RUNNING')`).Scan(&n)
	if err == nil {
		r.limitedWaiting.Store(n)
	}
}

// limits checks that no more tasks of the queue were RUNNING at once than the limit
// allows. A claim sees the end of another one after that has committed, and so after its
// entry was made: in the order of the entries, too, the end comes before the claim.
func (v *verdict) limits(s state) {
	running := 0
	for i := range s.entries {
		e := &s.entries[i]
		id, err := uuid.Parse(e.id)
		if err != nil || s.rows[id].queue != limited {
			continue
		}
		if e.status[0] == "RUNNING" {
			running--
		}
		if e.status[1] == "RUNNING" {
			running++
		}
		if e.claimed() {
			v.run.tally.greatest("tasks at once of a queue with a limit", running)
			if running > limitRunning {
				v.broken(ruleLimit, id, "%s was claimed as the %d. at once", e.task, running)
			}
		}
	}
}
