package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// age simulates the passing of time: the sweeper dispatches a READY row again after
// minutes, which a run does not have. So every second moves its time two minutes
// nearer. age skips locked rows, and holds its own locks briefly.
func (r *run) age(ctx context.Context) {
	tx, err := r.site.db.BeginTx(ctx, nil)
	if err != nil {
		return // the database is down; the next one comes in a second
	}
	defer func() { _ = tx.Rollback() }() // after the commit it does nothing
	var ids []string
	var id string
	if err := each(ctx, tx, r.site.waiting, func() { ids = append(ids, "'"+id+"'") }, &id); err != nil || len(ids) == 0 {
		return
	}
	if _, err := tx.ExecContext(ctx, fmt.Sprintf(r.site.older, strings.Join(ids, ", "))); err == nil {
		_ = tx.Commit() // or not
	}
}

const sweepLimit = 50

func (r *run) sweepByHTTP(context.Context) {
	if status, _, err := r.post("/tasks/sweep/", map[string]any{"limit": sweepLimit}); err == nil && status == http.StatusOK {
		r.tally.add("sweep by HTTP", 1)
	}
}

func (r *run) sweepByGo(ctx context.Context) {
	if r.client == nil {
		return
	}
	if _, err := r.client.Sweep(ctx, sweepLimit); err == nil {
		r.tally.add("sweep in Go", 1)
	}
}

// cancelOne cancels one of the latest tasks in any status.
func (r *run) cancelOne(_ context.Context, random *rand.Rand) {
	id := r.promises.recent(random)
	if id == uuid.Nil {
		return
	}
	_, text, err := r.post("/tasks/cancel/"+id.String()+"/", map[string]any{})
	if err == nil && strings.Contains(text, `"cancelled":true`) {
		r.tally.add("cancel", 1)
	}
}

// requeue does what an operator does about tasks that hang.
func (r *run) requeue(ctx context.Context) {
	if r.client == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, frontTimeout)
	defer cancel()
	_, err := r.client.Requeue(ctx, queue.RequeueRequest{OlderThan: r.options.lease + time.Second})
	if err == nil {
		r.tally.add("requeue", 1)
	}
}
