package chaos

import (
	"context"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// age stands for the passing of time: a READY row is given minutes until the
// sweeper dispatches it again, and a run has not got them. So every second its
// time comes two minutes nearer.
func (r *run) age(ctx context.Context) {
	_, _ = r.site.db.ExecContext(ctx, r.site.age) // the next one comes in a second
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
