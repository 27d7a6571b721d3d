package admin

import (
	"fmt"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/claimcheck-go/claimcheck/queue"
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

func newCharts(f *figures) *charts {
	first := f.periods()[1].Since
	known := queue.GroupFigures(f.Hours, func(h *queue.HourFigures) time.Time { return h.Hour.UTC() })
	c := &charts{}
	var succeeded, failed []int
	var names []string
	for i := range chartHours {
		at := first.Add(time.Duration(i) * time.Hour)
		name := at.Format("15:04") + " to " + at.Add(time.Hour).Format("15:04")
		if i == chartHours-1 {
			name = at.Format("15:04") + " to now"
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
	c.Succeeded = newChart("succeeded", "succeeded", names, succeeded)
	c.Failed = newChart("failed", "failed", names, failed)
	return c
}

func newChart(id, verb string, names []string, values []int) chart {
	c := chart{ID: id, Width: len(values)*(barWidth+barGap) - barGap, Height: chartHeight}
	for _, n := range values {
		c.Total += n
		c.Most = max(c.Most, n)
	}
	for i, n := range values {
		b := bar{X: i * (barWidth + barGap), Width: barWidth, Now: i == len(values)-1, Says: fmt.Sprintf("%s: %s %s", names[i], humanize.Comma(int64(n)), verb)}
		if n > 0 {
			b.Height = max(2, n*chartHeight/c.Most) // one of many is seen too
		}
		b.Y = chartHeight - b.Height
		c.Bars = append(c.Bars, b)
	}
	c.Title = fmt.Sprintf("%s %s in the last 24 hours", count(c.Total, "task"), verb)
	c.Desc = fmt.Sprintf("One bar an hour, at most %s; the last hour is not over. The table below has the same counts.", humanize.Comma(int64(c.Most)))
	return c
}
