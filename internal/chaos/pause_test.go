package chaos

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
)

// pausable is the queue that is paused now and then; one in pausableShare tasks is enqueued to it.
const (
	pausable      = "pausable"
	pausableShare = 6
)

// pauses are the times in which the queue was certainly paused, in microseconds of the
// database's clock: from when a pause had returned until a resume was sent.
type pauses struct {
	mu  sync.Mutex
	all [][2]int64
}

func (p *pauses) add(from, to int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all = append(p.all, [2]int64{from, to})
}

// pauseQueue pauses the queue for a while and resumes it, whatever happens to the worker
// that does either. It returns when the queue is resumed.
func (r *run) pauseQueue(ctx context.Context) {
	const path = "/tasks/queues/" + pausable
	status, text, err := r.post(path+"/pause/", map[string]any{"reason": "chaos"})
	if err == nil && status == http.StatusOK && strings.Contains(text, `"changed":true`) {
		from, known := r.databaseClock()
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
		if to, alsoKnown := r.databaseClock(); known && alsoKnown {
			r.pauses.add(from, to)
		}
		r.tally.add("pause", 1)
	}
	// Whether the queue was paused or not is unknown if there was no answer.
	for giveUp := time.Now().Add(r.options.drain); time.Now().Before(giveUp); time.Sleep(50 * time.Millisecond) {
		if status, _, err := r.post(path+"/resume/", map[string]any{}); err == nil && status == http.StatusOK {
			r.tally.add("resume", 1)
			return
		}
	}
}

// databaseClock is the database's time in microseconds, if it answers.
func (r *run) databaseClock() (us int64, ok bool) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	err := r.site.db.QueryRowContext(ctx, "SELECT "+r.site.clock).Scan(&us)
	return us, err == nil
}

// paused checks that no claim began while the queue was paused. A claim begins at the time
// from which its lease counts, which is when the database read whether the queue is paused.
func (v *verdict) paused(s state) {
	r := v.run
	r.pauses.mu.Lock()
	defer r.pauses.mu.Unlock()
	for i := range s.entries {
		e := &s.entries[i]
		id, err := uuid.Parse(e.id)
		if err != nil || !e.claimed() || s.rows[id].queue != pausable {
			continue
		}
		began := e.lease[1] - r.options.lease.Microseconds()
		for _, p := range r.pauses.all {
			if began > p[0]+tolerance && began < p[1]-tolerance {
				v.broken(rulePaused, id, "%s was claimed %d us after a pause had returned, %d us before the resume", e.task, began-p[0], p[1]-began)
			}
		}
	}
}
