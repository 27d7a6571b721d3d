package admin

import (
	"html/template"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/lang"
)

// chartHours is how far back the charts go.
const chartHours = 24

// dayBegins is when the first hour of the charts begins. "The last 24 hours" are those since
// then wherever a page says so: 23 whole hours, and the one that has not ended.
func dayBegins(now time.Time) time.Time {
	return now.UTC().Truncate(time.Hour).Add(-(chartHours - 1) * time.Hour)
}

// Size of a chart, in its own units.
const (
	chartHeight = 100
	barWidth    = 10
	barGap      = 2
)

// charts are two of the same hours, each with its own scale: a few failures
// would not be seen beside many successes.
type charts struct {
	Succeeded, Failed chart
	Hours             []hour // the same as a table, the latest first
}

// chart is bars of one kind.
type chart struct {
	ID, Title, Desc string
	Caption         template.HTML
	Total, Most     int
	Width, Height   int
	Bars            []bar
}

type bar struct {
	X, Y, Width, Height int
	Says                string
	Now                 bool // the hour is not over
}

// hour is a line of the table.
type hour struct {
	Says              string
	Succeeded, Failed int
}

func newCharts(f *figures, p *lang.Printer) *charts {
	first := f.periods()[1].Since
	known := queue.GroupFigures(f.Hours, func(h *queue.HourFigures) time.Time { return h.Hour.UTC() })
	c := &charts{}
	var succeeded, failed []int
	var names []string
	for i := range chartHours {
		at := first.Add(time.Duration(i) * time.Hour)
		name := p.T("%s to %s", at.Format("15:04"), at.Add(time.Hour).Format("15:04"))
		if i == chartHours-1 {
			name = p.T("%s to now", at.Format("15:04"))
		}
		stats := known[at]
		if stats == nil {
			stats = new(queue.Outcomes)
		}
		succeeded, failed, names = append(succeeded, stats.Succeeded), append(failed, stats.Failed), append(names, name)
	}
	for i := chartHours - 1; i >= 0; i-- {
		c.Hours = append(c.Hours, hour{names[i], succeeded[i], failed[i]})
	}
	c.Succeeded, c.Failed = newChart("succeeded", succeeded), newChart("failed", failed)
	for i, name := range names {
		c.Succeeded.Bars[i].Says = p.T("%s: %d succeeded", name, succeeded[i])
		c.Failed.Bars[i].Says = p.T("%s: %d failed", name, failed[i])
	}
	c.Succeeded.Caption = p.HTML("Succeeded: %s", strong(p.Number(c.Succeeded.Total)))
	c.Failed.Caption = p.HTML("Failed: %s", strong(p.Number(c.Failed.Total)))
	c.Succeeded.Title = p.T("%d tasks succeeded in the last 24 hours", c.Succeeded.Total)
	c.Failed.Title = p.T("%d tasks failed in the last 24 hours", c.Failed.Total)
	for _, chart := range []*chart{&c.Succeeded, &c.Failed} {
		chart.Desc = lang.Sentences(p.T("One bar an hour, at most %d; the last hour is not over.", chart.Most), p.T("The table below has the same counts."))
	}
	return c
}

// newChart is a chart without its words.
func newChart(id string, values []int) chart {
	c := chart{ID: id, Width: len(values)*(barWidth+barGap) - barGap, Height: chartHeight}
	for _, n := range values {
		c.Total += n
		c.Most = max(c.Most, n)
	}
	for i, n := range values {
		b := bar{X: i * (barWidth + barGap), Width: barWidth, Now: i == len(values)-1}
		if n > 0 {
			b.Height = max(2, n*chartHeight/c.Most) // one of many is seen too
		}
		b.Y = chartHeight - b.Height
		c.Bars = append(c.Bars, b)
	}
	return c
}
