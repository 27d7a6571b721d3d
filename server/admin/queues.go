package admin

import (
	"fmt"
	"net/http"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

// queueLine is one queue, with the addresses of its tasks.
type queueLine struct {
	queue.QueueStats
	Late                               bool   // the oldest waits long
	Rate                               string // of failures in the last hour
	PendingURL, DelayedURL             string
	RunningURL, StrandedURL, FailedURL string
}

type queuesPage struct {
	layout
	Queues   []queueLine
	Backends bool // there is more than one
}

func (h *handler) queues(v *visit) error {
	stats, err := h.stats.look(v.r.Context(), v.now)
	if err != nil {
		return err
	}
	page := queuesPage{layout: h.layout(v, "Queues", "/queues"), Queues: h.queueLines(stats.Queues, stats.QueuesAt)}
	page.Every = 10
	page.Backends = manyBackends(stats.Queues)
	return h.render(v, http.StatusOK, "queues", page)
}

func manyBackends(queues []queue.QueueStats) bool {
	for _, q := range queues {
		if q.Backend != queues[0].Backend {
			return true
		}
	}
	return false
}

func (h *handler) queueLines(queues []queue.QueueStats, now time.Time) []queueLine {
	lines := make([]queueLine, len(queues))
	for i, q := range queues {
		list := func(view queue.View, more ...string) string {
			return h.link("/tasks", append([]string{"view", string(view), "queue", q.Queue, "backend", q.Backend}, more...)...)
		}
		lines[i] = queueLine{
			QueueStats: q,
			Late:       !q.OldestSince.IsZero() && now.Sub(q.OldestSince) > unserved,
			PendingURL: list(queue.ViewPending), DelayedURL: list(queue.ViewDelayed), RunningURL: list(queue.ViewRunning),
			StrandedURL: list("", "stranded", "1"), FailedURL: list(queue.ViewFailed),
		}
		if ended := q.Succeeded + q.Failed; ended > 0 {
			lines[i].Rate = fmt.Sprintf("%.1f %%", 100*float64(q.Failed)/float64(ended))
		}
	}
	return lines
}
