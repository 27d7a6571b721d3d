package cloudtaskstest

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"time"

	"cloud.google.com/go/cloudtasks/apiv2/cloudtaskspb"
	"google.golang.org/protobuf/proto"
)

// Stats counts what happened since the Server was made.
type Stats struct {
	Created   int `json:"created"`           // tasks stored
	Refused   int `json:"refused"`           // tasks whose create was answered with an error, stored or not
	Delivered int `json:"delivered"`         // requests to handlers, duplicates included
	Succeeded int `json:"succeeded"`         // attempts answered 2xx
	Failed    int `json:"failed"`            // attempts that were not
	Dropped   int `json:"dropped"`           // tasks given up by their retry config
	Expired   int `json:"expired"`           // tasks deleted on day 31
	Batches   int `json:"batches,omitempty"` // BatchCreateTasks calls accepted
	// Faults counts those injected.
	Faults map[Fault]int `json:"faults,omitempty"`
}

// Stats returns the counters as they are now.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	stats := s.stats
	stats.Faults = maps.Clone(s.faults.counts)
	return stats
}

// Attempt is one delivery of a task, duplicates by Faults not included.
type Attempt struct {
	ScheduledFor time.Time
	DispatchedAt time.Time
	EndedAt      time.Time // zero while it runs
	StatusCode   int       // of the answer; 0 if there was none (yet)
	Err          error     // why there was no answer
}

// Attempts returns the deliveries of a task, by its full name, in order of
// their beginning. Of tasks that are gone the last Config.History are known.
func (s *Server) Attempts(taskName string) []Attempt {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, q := range s.queues {
		if t, ok := q.tasks[taskName]; ok {
			return slices.Clone(t.attempts)
		}
	}
	if t, ok := s.history.tasks[taskName]; ok {
		return slices.Clone(t.attempts)
	}
	return nil
}

// Tasks returns the tasks that exist, in full, in order of their schedule.
func (s *Server) Tasks() []*cloudtaskspb.Task {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*cloudtaskspb.Task
	for _, q := range s.queues {
		for _, t := range q.tasks {
			all = append(all, proto.CloneOf(t.pb))
		}
	}
	slices.SortFunc(all, func(a, b *cloudtaskspb.Task) int {
		return cmp.Or(a.GetScheduleTime().AsTime().Compare(b.GetScheduleTime().AsTime()), cmp.Compare(a.GetName(), b.GetName()))
	})
	return all
}

// WaitEmpty waits until no task is left, in any queue, and no delivery is under
// way. The error is ctx's; give it a deadline, or a task that never ends blocks
// a test forever.
func (s *Server) WaitEmpty(ctx context.Context) error {
	for {
		s.mu.Lock()
		changed, empty := s.changed, true
		for _, q := range s.queues {
			empty = empty && len(q.tasks) == 0 && q.running == 0
		}
		s.mu.Unlock()
		if empty {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Status serves Stats and the number of tasks in each queue as JSON.
func (s *Server) Status() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		answer := struct {
			Queues map[string]int `json:"queues"`
			Stats  Stats          `json:"stats"`
		}{map[string]int{}, s.Stats()}
		s.mu.Lock()
		for name, q := range s.queues {
			answer.Queues[name] = len(q.tasks)
		}
		s.mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(answer)
	})
}

// history keeps the last tasks that are gone: attempts under way still end.
type history struct {
	limit int
	tasks map[string]*task
	order []*task // oldest first
}

func (h *history) add(t *task) {
	h.tasks[t.name()] = t
	h.order = append(h.order, t)
	if len(h.order) > h.limit {
		oldest := h.order[0]
		if h.tasks[oldest.name()] == oldest { // no later task took its name
			delete(h.tasks, oldest.name())
		}
		h.order[0] = nil
		h.order = h.order[1:]
	}
}
