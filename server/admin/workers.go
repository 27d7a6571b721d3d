package admin

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

// workersLooked is how many rows of each kind the page reads.
const workersLooked = 500

// workerTasks is how many names are listed with a worker.
const workerTasks = 3

// worker is a worker with its recent tasks.
type worker struct {
	Name              string
	Running           int
	Expired           int // of these, past their lease
	Succeeded, Failed int
	Seen              time.Time // the latest it is known to have been alive
	Tasks             []string  // names, the first few
	More              int       // names beyond them
}

type workersPage struct {
	layout
	Workers []worker
	Looked  int // rows that ended, as far back as was looked
}

// workers groups the rows that run, and those that ended last, by their worker. Nothing
// else is stored about workers: on a platform they come and go with each request.
func (h *handler) workers(v *visit) error {
	var rows []*queue.Row
	for _, view := range []queue.View{queue.ViewRunning, queue.ViewSuccessful, queue.ViewFailed} {
		page, err := h.operator.List(v.r.Context(), queue.ListRequest{Selection: queue.Selection{View: view}, Limit: workersLooked})
		if err != nil {
			return err
		}
		rows = append(rows, page.Rows...)
	}
	page := workersPage{layout: h.layout(v, v.t("Workers"), "/workers"), Workers: groupWorkers(rows, v.now)}
	page.Every, page.Looked = 15, workersLooked
	return h.render(v, http.StatusOK, "workers", page)
}

func groupWorkers(rows []*queue.Row, now time.Time) []worker {
	byName := make(map[string]*worker)
	for _, row := range rows {
		if len(row.WorkerIDs) == 0 {
			continue
		}
		name := row.WorkerIDs[len(row.WorkerIDs)-1]
		w := byName[name]
		if w == nil {
			w = &worker{Name: name}
			byName[name] = w
		}
		seen := row.FinishedAt
		switch row.Status {
		case queue.StatusRunning:
			w.Running++
			seen = row.LastAttemptedAt
			if row.LeaseExpiresAt.Before(now) {
				w.Expired++
			}
		case queue.StatusSuccessful:
			w.Succeeded++
		default:
			w.Failed++
		}
		if seen.After(w.Seen) {
			w.Seen = seen
		}
		if !slices.Contains(w.Tasks, row.Task) {
			w.Tasks = append(w.Tasks, row.Task)
		}
	}
	var workers []worker
	for _, w := range byName {
		if len(w.Tasks) > workerTasks {
			w.More, w.Tasks = len(w.Tasks)-workerTasks, w.Tasks[:workerTasks]
		}
		workers = append(workers, *w)
	}
	slices.SortFunc(workers, func(a, b worker) int {
		if a.Running != b.Running {
			return b.Running - a.Running
		}
		if order := b.Seen.Compare(a.Seen); order != 0 {
			return order
		}
		return strings.Compare(a.Name, b.Name)
	})
	return workers
}
