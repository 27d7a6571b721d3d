package api

import (
	"cmp"
	"slices"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

// FiguresAnswer is how tasks have ended in a period.
type FiguresAnswer struct {
	Since   time.Time    `json:"since"`
	Until   time.Time    `json:"until"`
	Through time.Time    `json:"through"` // until when they are complete
	Total   OutcomesBody `json:"total"`
	Tasks   []FigureBody `json:"tasks"` // those that ended most often first
	Hours   []HourBody   `json:"hours"`
}

// FigureBody is about one type of task in a queue.
type FigureBody struct {
	Task    string `json:"task_path"`
	Queue   string `json:"queue_name"`
	Backend string `json:"backend_name"`
	OutcomesBody
}

// OutcomesBody are outcomes with their percentiles, which are absent if nothing was counted.
type OutcomesBody struct {
	Succeeded int            `json:"succeeded"`
	Failed    int            `json:"failed"`
	Cancelled int            `json:"cancelled"`
	Retried   int            `json:"retried"`    // attempts that did not end a task
	ErrorRate float64        `json:"error_rate"` // of those that succeeded or failed
	PerHour   float64        `json:"per_hour"`   // how many ended, on average
	Wait      *QuantilesBody `json:"wait_seconds,omitempty"`
	Run       *QuantilesBody `json:"run_seconds,omitempty"`
	Attempts  *QuantilesBody `json:"attempts,omitempty"`
}

// QuantilesBody are percentiles of some values.
type QuantilesBody struct {
	Count int     `json:"count"`
	P50   float64 `json:"p50"`
	P95   float64 `json:"p95"`
	P99   float64 `json:"p99"`
}

// HourBody is one hour.
type HourBody struct {
	Hour      time.Time `json:"hour"`
	Succeeded int       `json:"succeeded"`
	Failed    int       `json:"failed"`
	Cancelled int       `json:"cancelled"`
	Retried   int       `json:"retried"`
	Complete  bool      `json:"complete"` // false for the hour that is not over
}

// FiguresPeriod returns the period of a request, in whole hours: by default the day before
// now. It reports false if it has no beginning before its end, or is too long.
func FiguresPeriod(since, until, now time.Time) (from, to time.Time, ok bool) {
	if until.IsZero() {
		until = now
	}
	if since.IsZero() {
		since = until.Add(-24 * time.Hour)
	}
	from, to = since.UTC().Truncate(time.Hour), until.UTC().Add(time.Hour-1).Truncate(time.Hour)
	return from, to, since.Before(until) && to.Sub(from) <= queue.FiguresKept
}

// FiguresAccepted says what a period must be like.
const FiguresAccepted = "must be less than 90 days before the end of the period, and before it"

// NewFiguresAnswer returns figures of a period as answers have them.
func NewFiguresAnswer(f queue.Figures, since, until time.Time) FiguresAnswer {
	answer := FiguresAnswer{Since: since, Until: until, Through: f.Through.UTC(), Tasks: []FigureBody{}, Hours: []HourBody{}}
	length := f.Through.Sub(since)
	answer.Total = newOutcomesBody(f.Total(), length)
	type names struct{ task, queue, backend string }
	for n, o := range queue.GroupFigures(f.Hours, func(h *queue.HourFigures) names { return names{h.Task, h.Queue, h.Backend} }) {
		answer.Tasks = append(answer.Tasks, FigureBody{n.task, n.queue, n.backend, newOutcomesBody(o, length)})
	}
	slices.SortFunc(answer.Tasks, func(a, b FigureBody) int {
		return cmp.Or(cmp.Compare(b.Ended(), a.Ended()), cmp.Compare(a.Task, b.Task), cmp.Compare(a.Queue, b.Queue), cmp.Compare(a.Backend, b.Backend))
	})
	for hour, o := range queue.GroupFigures(f.Hours, func(h *queue.HourFigures) time.Time { return h.Hour.UTC() }) {
		answer.Hours = append(answer.Hours, HourBody{hour, o.Succeeded, o.Failed, o.Cancelled, o.Retried, !hour.Add(time.Hour).After(f.Through)})
	}
	slices.SortFunc(answer.Hours, func(a, b HourBody) int { return a.Hour.Compare(b.Hour) })
	return answer
}

// Ended is how many tasks ended.
func (b *OutcomesBody) Ended() int { return b.Succeeded + b.Failed + b.Cancelled }

func newOutcomesBody(o *queue.Outcomes, length time.Duration) OutcomesBody {
	body := OutcomesBody{
		Succeeded: o.Succeeded, Failed: o.Failed, Cancelled: o.Cancelled, Retried: o.Retried, ErrorRate: o.ErrorRate(),
		Wait: durations(o.Wait), Run: durations(o.Run),
	}
	if length > 0 {
		body.PerHour = float64(o.Ended()) / length.Hours()
	}
	if n := o.Attempts.Count(); n > 0 {
		body.Attempts = &QuantilesBody{n, float64(o.Attempts.Quantile(.5)), float64(o.Attempts.Quantile(.95)), float64(o.Attempts.Quantile(.99))}
	}
	return body
}

func durations(h queue.Histogram) *QuantilesBody {
	if h.Count() == 0 {
		return nil
	}
	return &QuantilesBody{h.Count(), h.Duration(.5).Seconds(), h.Duration(.95).Seconds(), h.Duration(.99).Seconds()}
}
