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

// age stands for the passing of time: a READY row is given minutes until the
// sweeper dispatches it again, and a run has not got them. So every second its
// time comes two minutes nearer. Rows that somebody has locked are passed over:
// time waits for nobody, and nobody must wait for it.
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

// cancelOne cancels one of the latest tasks, whatever it is doing.
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

// requeue does what an operator does who sees tasks hang.
func (r *run) requeue(ctx context.Context) {
	if r.client == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	_, err := r.client.Requeue(ctx, queue.RequeueRequest{OlderThan: r.options.lease + time.Second})
	if err == nil {
		r.tally.add("requeue", 1)
	}
}
