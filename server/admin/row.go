package admin

import (
	"fmt"
	"html/template"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/api"
)

// rowLine is a task in a list.
type rowLine struct {
	*queue.Row
	URL    string
	State  state
	Flags  []string // what is wrong with it beyond its state
	Args   listedArgs
	Report *taskProgress // how far it is, while it runs
	Said   string        // its note, while it runs
}

// state is the state of a task in a word or two, and since or until when.
type state struct {
	Kind string // class of its colour and name of its icon: ready, delayed, running, lost, …
	Name string // READY, RUNNING, …
	At   time.Time
	Runs string        // how long it has been running, as a clock; empty: it is not
	Time template.HTML // what the time means, with the time
}

// Start is when it began, for the browser, which counts on.
func (s state) Start() string { return s.At.UTC().Format(time.RFC3339Nano) }

// clock is a length of time as a clock shows it: 0:05, 12:30, 1:02:03. It is the same in
// every language, and the page's script counts on in the same way.
func clock(d time.Duration) string {
	seconds := int(max(0, d) / time.Second)
	if seconds < 3600 {
		return fmt.Sprintf("%d:%02d", seconds/60, seconds%60)
	}
	return fmt.Sprintf("%d:%02d:%02d", seconds/3600, seconds/60%60, seconds%60)
}

// stateOf returns the state of a task.
func stateOf(row *queue.Row, w words) state {
	s := state{Name: string(row.Status), At: row.FinishedAt}
	switch row.Status {
	case queue.StatusReady:
		s.Kind, s.At = "ready", row.EnqueuedAt
		due := api.DueAt(row)
		if !due.IsZero() {
			s.At = due
		}
		if due.After(w.now) {
			s.Kind, s.Time = "delayed", w.p.HTML("due %s", when(w.When(s.At)))
			return s
		}
		s.Time = w.p.HTML("waiting for %s", when(w.length(s.At)))
		return s
	case queue.StatusRunning:
		if row.LeaseExpiresAt.Before(w.now) {
			s.Kind, s.At = "lost", row.LeaseExpiresAt
			s.Time = w.p.HTML("lease expired %s", when(w.When(s.At)))
			return s
		}
		s.Kind, s.At = "running", row.LastAttemptedAt
		s.Runs = clock(w.now.Sub(s.At))
		s.Time = w.p.HTML("running for %s", elapsed(s))
		return s
	case queue.StatusSuccessful:
		s.Kind = "successful"
	case queue.StatusFailed:
		s.Kind = "failed"
	default:
		s.Kind = "cancelled"
	}
	s.Time = w.p.HTML("ended %s", when(w.When(s.At)))
	return s
}

// flags returns problems of a task that its state does not show.
func (h *handler) flags(row *queue.Row, w words) (flags []string) {
	if row.Status.Final() {
		return nil
	}
	if !h.registered(row.Task) {
		flags = append(flags, w.p.T("not registered here"))
	}
	if row.Status == queue.StatusReady && !row.DispatchDueAt.IsZero() && !row.DispatchDueAt.After(w.now) {
		flags = append(flags, w.p.T("stranded"))
	}
	if row.Parked() {
		flags = append(flags, w.p.T("queue paused"))
	}
	if row.WaitsForLimit() {
		flags = append(flags, w.p.T("waiting for a limit"))
	}
	if row.DispatchError != "" {
		flags = append(flags, w.p.T("ticket refused"))
	}
	return flags
}

// Short is the end of the ID, which differs most between tasks of the same time.
func (l rowLine) Short() string { return "…" + l.ID.String()[24:] }

func (h *handler) rowLines(rows []*queue.Row, w words) []rowLine {
	lines := make([]rowLine, len(rows))
	for i, row := range rows {
		lines[i] = rowLine{Row: row, URL: h.link("/tasks/" + row.ID.String()), State: stateOf(row, w), Flags: h.flags(row, w)}
		if row.Status != queue.StatusRunning {
			continue
		}
		if row.Progress != nil {
			lines[i].Report = progressOf(row, w)
		}
		if !h.Redact(row.Task) {
			lines[i].Said = clip(row.Note, 240)
		}
	}
	return lines
}

// LastError is why it failed last, or why its ticket was refused, cut for a list.
func (l rowLine) LastError() string {
	if l.DispatchError != "" && !l.Status.Final() {
		return clip(l.DispatchError, 240)
	}
	return clip(l.ErrorText, 240)
}
