package admin

import (
	"time"

	"github.com/claimcheck-go/claimcheck/server/internal/lang"
)

// heatmap is how many tasks failed in each hour of the last days: a row a day.
type heatmap struct {
	Hours []string // 00 to 23
	Days  []heatDay
	Total int
	Most  int
}

type heatDay struct {
	Says  string
	Cells []heatCell
	Total int
}

// heatCell is one hour.
type heatCell struct {
	Failed int
	Level  int // from 0, nothing, to 4
	Now    bool
	Ahead  bool // it has not begun, or is before the first hour
}

// heatLevels is the highest level.
const heatLevels = 4

func (f *figures) heatmap(p *lang.Printer) *heatmap {
	failed := make(map[time.Time]int)
	m := &heatmap{}
	first := f.periods()[2].Since
	last := f.Through.Add(-1).UTC().Truncate(time.Hour)
	for i := range f.Hours {
		if h := &f.Hours[i]; !h.Hour.Before(first) {
			failed[h.Hour.UTC()] += h.Failed
			m.Total += h.Failed
		}
	}
	for _, n := range failed {
		m.Most = max(m.Most, n)
	}
	for hour := range 24 {
		m.Hours = append(m.Hours, time.Time{}.Add(time.Duration(hour)*time.Hour).Format("15"))
	}
	for day := first.Truncate(24 * time.Hour); !day.After(last); day = day.AddDate(0, 0, 1) {
		d := heatDay{Says: onWeekday(p, day, time.DateOnly)}
		for hour := range 24 {
			at := day.Add(time.Duration(hour) * time.Hour)
			n := failed[at]
			cell := heatCell{Failed: n, Now: at.Equal(last), Ahead: at.After(last) || at.Before(first)}
			if n > 0 {
				cell.Level = max(1, (n*heatLevels+m.Most-1)/m.Most)
			}
			d.Cells = append(d.Cells, cell)
			d.Total += n
		}
		m.Days = append(m.Days, d)
	}
	return m
}

// onWeekday formats a time behind its day of the week.
func onWeekday(p *lang.Printer, t time.Time, layout string) string {
	switch date := t.Format(layout); t.Weekday() {
	case time.Monday:
		return p.T("Mon %s", date)
	case time.Tuesday:
		return p.T("Tue %s", date)
	case time.Wednesday:
		return p.T("Wed %s", date)
	case time.Thursday:
		return p.T("Thu %s", date)
	case time.Friday:
		return p.T("Fri %s", date)
	case time.Saturday:
		return p.T("Sat %s", date)
	default:
		return p.T("Sun %s", date)
	}
}
