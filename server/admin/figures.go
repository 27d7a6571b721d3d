package admin

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/lang"
)

// figuresDays is how many days of figures the pages show, today included.
const figuresDays = 7

// figuresAgain is how often all of these days are read again. In between only the latest
// hours are.
const figuresAgain = time.Hour

// figures are how tasks ended in the last days.
type figures struct {
	queue.Figures
	complete time.Time // when all hours were read
}

// read returns the figures as they are now.
func (f *figures) read(ctx context.Context, ask func(context.Context, queue.FiguresRequest) (queue.Figures, error), now time.Time) (*figures, error) {
	hour := now.UTC().Truncate(time.Hour)
	r := queue.FiguresRequest{Since: hour.Truncate(24*time.Hour).AddDate(0, 0, 1-figuresDays), Until: hour.Add(time.Hour)}
	week := hour.Add((1 - 24*figuresDays) * time.Hour)
	if week.Before(r.Since) {
		r.Since = week
	}
	since, complete := r.Since, now
	if f != nil && now.Sub(f.complete) < figuresAgain {
		r.Since, complete = f.Through.Truncate(time.Hour).Add(-time.Hour), f.complete
	}
	read, err := ask(ctx, r)
	if err != nil {
		return nil, err
	}
	if r.Since.After(since) {
		kept := slices.Clone(f.Hours)
		kept = slices.DeleteFunc(kept, func(h queue.HourFigures) bool { return h.Hour.Before(since) || !h.Hour.Before(r.Since) })
		read.Hours = append(kept, read.Hours...)
	}
	return &figures{read, complete}, nil
}

// period is a length of time up to now: since the beginning of an hour.
type period struct {
	ID    string // hour, day, week
	Since time.Time
	Words string // since 19:00; empty where only the time matters
}

// periods are those that pages show. An hour alone would be empty at its beginning.
func (f *figures) periods() []period {
	hour := f.Through.Add(-1).UTC().Truncate(time.Hour)
	return []period{{"hour", hour.Add(-time.Hour), ""}, {"day", hour.Add(-23 * time.Hour), ""}, {"week", hour.Add((1 - 24*figuresDays) * time.Hour), ""}}
}

// since describes the beginning of a period.
func (d period) since(p *lang.Printer) string {
	format := "2006-01-02 15:04"
	if d.ID == "hour" {
		format = "15:04"
	}
	return p.T("since %s", d.Since.Format(format))
}

// subject is what figures are about: a type, or a queue of a backend. Empty names are all.
type subject struct{ Task, Queue, Backend string }

// fares is how the tasks of a subject have fared: for a table, and with a sparkline.
type fares struct {
	Subject string // a name, for texts that stand alone
	ID      string // the same in every language
	Spark   spark
	Periods []faring
}

// Any reports whether there is anything to show.
func (f *fares) Any() bool { return f.Periods[len(f.Periods)-1].Ended > 0 }

// Day is the last day.
func (f *fares) Day() faring { return f.Periods[1] }

// faring is how tasks have fared in a period.
type faring struct {
	period
	Ended, Failed, Cancelled, Retried int
	Rate                              string // how many have ended in a time
	Errors                            string // the share of those that failed; empty if none has ended
	Wait, Run, Attempts               quantiles
}

// quantiles are percentiles, in words; empty if nothing was counted.
type quantiles struct{ P50, P95, P99 string }

// Any reports whether something was counted.
func (q quantiles) Any() bool { return q.P50 != "" }

// faresOf returns how each of some subjects has fared. It reads the figures once.
func (f *figures) faresOf(p *lang.Printer, key func(*queue.HourFigures) subject) map[subject]*fares {
	periods := f.periods()
	hours := make(map[subject]*[24]queue.Outcomes)
	sums := make(map[subject][]queue.Outcomes)
	for i := range f.Hours {
		h := &f.Hours[i]
		k := key(h)
		if sums[k] == nil {
			sums[k], hours[k] = make([]queue.Outcomes, len(periods)), new([24]queue.Outcomes)
		}
		for j, d := range periods {
			if !h.Hour.Before(d.Since) {
				sums[k][j].Merge(&h.Outcomes)
			}
		}
		if n := int(h.Hour.Sub(periods[1].Since) / time.Hour); n >= 0 && n < 24 {
			o := &hours[k][n]
			o.Succeeded, o.Failed, o.Cancelled = o.Succeeded+h.Succeeded, o.Failed+h.Failed, o.Cancelled+h.Cancelled
		}
	}
	all := make(map[subject]*fares, len(sums))
	for k, outcomes := range sums {
		all[k] = f.fares(p, k, outcomes, hours[k])
	}
	return all
}

func (f *figures) fares(p *lang.Printer, k subject, sums []queue.Outcomes, hours *[24]queue.Outcomes) *fares {
	name := k.Task
	if name == "" {
		name = k.Queue
	}
	if name == "" {
		name = p.T("Other queues")
	}
	result := &fares{Subject: name, ID: cmp.Or(k.Task, k.Queue) + "-" + k.Backend, Spark: newSpark(p, name, hours)}
	for i, d := range f.periods() {
		o := &sums[i]
		d.Words = d.since(p)
		row := faring{period: d, Ended: o.Ended(), Failed: o.Failed, Cancelled: o.Cancelled, Retried: o.Retried, Rate: throughput(p, o.Ended(), f.Through.Sub(d.Since))}
		if o.Succeeded+o.Failed > 0 {
			row.Errors = percent(p, o.ErrorRate())
		}
		row.Wait, row.Run = durations(p, o.Wait), durations(p, o.Run)
		if o.Attempts.Count() > 0 {
			row.Attempts = quantiles{p.Number(o.Attempts.Quantile(.5)), p.Number(o.Attempts.Quantile(.95)), p.Number(o.Attempts.Quantile(.99))}
		}
		result.Periods = append(result.Periods, row)
	}
	return result
}

// ofType returns how one type has fared; nil if nothing is known.
func (f *figures) ofType(p *lang.Printer, names map[string]string, name string) *fares {
	if f == nil {
		return nil
	}
	if fared := f.ofTypes(p, names)[subject{Task: name}]; fared != nil {
		return fared
	}
	return f.fares(p, subject{Task: name}, make([]queue.Outcomes, len(f.periods())), new([24]queue.Outcomes))
}

// ofTypes returns how each type has fared, by its name now: names maps the others to it.
func (f *figures) ofTypes(p *lang.Printer, names map[string]string) map[subject]*fares {
	if f == nil {
		return nil
	}
	return f.faresOf(p, func(h *queue.HourFigures) subject {
		if name := names[h.Task]; name != "" {
			return subject{Task: name}
		}
		return subject{Task: h.Task}
	})
}

// ofQueue returns how one queue has fared, of all backends; nil if nothing is known.
func (f *figures) ofQueue(p *lang.Printer, name string) *fares {
	if f == nil {
		return nil
	}
	named := subject{Queue: name}
	if fared := f.faresOf(p, func(h *queue.HourFigures) subject { return subject{Queue: h.Queue} })[named]; fared != nil {
		return fared
	}
	return f.fares(p, named, make([]queue.Outcomes, len(f.periods())), new([24]queue.Outcomes))
}

// ofQueues returns how each queue has fared, in their order; queues of one name are told
// apart by their backends.
func (f *figures) ofQueues(p *lang.Printer) (list []*fares) {
	if f == nil {
		return nil
	}
	all := f.faresOf(p, func(h *queue.HourFigures) subject { return subject{Queue: h.Queue, Backend: h.Backend} })
	keys := make([]subject, 0, len(all))
	for k := range all {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b subject) int {
		return cmp.Or(cmp.Compare(a.Queue, b.Queue), cmp.Compare(a.Backend, b.Backend))
	})
	for i, k := range keys {
		if k.Queue != "" && (i > 0 && keys[i-1].Queue == k.Queue || i+1 < len(keys) && keys[i+1].Queue == k.Queue) {
			all[k].Subject = k.Queue + " (" + k.Backend + ")"
		}
		list = append(list, all[k])
	}
	return list
}

func durations(p *lang.Printer, h queue.Histogram) quantiles {
	if h.Count() == 0 {
		return quantiles{}
	}
	return quantiles{brief(p, h.Duration(.5)), brief(p, h.Duration(.95)), brief(p, h.Duration(.99))}
}

// brief is a length of time, and never none: a histogram has no finer steps than milliseconds.
func brief(p *lang.Printer, d time.Duration) string {
	if d < time.Millisecond {
		return p.T("under %s", p.Span(time.Millisecond))
	}
	return p.Span(d)
}

// percent is a share: 0.3%, and never 0% of something.
func percent(p *lang.Printer, share float64) string {
	if share > 0 && share < 0.0005 {
		return p.T("under %s", p.Percent(0.001))
	}
	return p.Percent(share)
}

// throughput is a number within a time, as a number within the shortest unit in which it is at
// least one.
func throughput(p *lang.Printer, n int, d time.Duration) string {
	if n == 0 || d <= 0 {
		return ""
	}
	per := func(unit time.Duration) float64 { return float64(n) * float64(unit) / float64(d) }
	rate := func(unit time.Duration) string {
		if per(unit) >= 10 {
			return p.Number(int(per(unit) + .5))
		}
		return p.Tenths(per(unit))
	}
	switch {
	case per(time.Second) >= 1:
		return p.T("%s/s", rate(time.Second))
	case per(time.Minute) >= 1:
		return p.T("%s/min", rate(time.Minute))
	case per(time.Hour) >= 1:
		return p.T("%s/h", rate(time.Hour))
	}
	return p.T("%s/day", rate(24*time.Hour))
}
