package admin

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/lang"
)

var figuresHour = time.Date(2026, 5, 3, 10, 0, 0, 0, time.UTC)

// figuresUntil are figures at half past ten, with some outcomes at each hour before.
func figuresUntil(ago map[time.Duration]queue.Outcomes) *figures {
	f := &figures{Figures: queue.Figures{Through: figuresHour.Add(30 * time.Minute)}}
	for d, o := range ago {
		f.Hours = append(f.Hours, queue.HourFigures{Hour: figuresHour.Add(-d), Task: "t", Queue: "q", Backend: "b", Outcomes: o})
	}
	return f
}

func TestTheUnfinishedHourOfASparklineIsAnOutline(t *testing.T) {
	f := figuresUntil(map[time.Duration]queue.Outcomes{0: {Succeeded: 5, Failed: 1}, 2 * time.Hour: {Succeeded: 12}, 25 * time.Hour: {Succeeded: 100}})
	s := f.ofType(lang.English(), map[string]string{"t": "t"}, "t").Spark
	if s.Ended != "M105 24v-24h4v24z" || s.Now != "M115.5 24v-12h3v12z" || s.Failed != "M115 24v-2h4v2z" {
		t.Errorf("%+v", s)
	}
	if want := "t, last 24 hours. Ended: 18. Failed: 1. Most in one hour: 12. This hour so far: 6."; s.Says != want {
		t.Errorf("it says %s", s.Says)
	}
	charts := newCharts(f, lang.English())
	if last := charts.Succeeded.Bars[23]; !last.Now || last.Says != "10:00 to now: 5 succeeded" || charts.Succeeded.Bars[22].Now || charts.Succeeded.Total != 17 {
		t.Errorf("the chart ends with %+v", last)
	}
}

func TestPeriodsOfFigures(t *testing.T) {
	var slow queue.Outcomes
	for range 100 {
		slow.Add(&queue.Row{Status: queue.StatusSuccessful, Attempts: 2, EnqueuedAt: figuresHour, StartedAt: figuresHour.Add(time.Minute), LastAttemptedAt: figuresHour.Add(time.Minute), FinishedAt: figuresHour.Add(time.Minute + 300*time.Millisecond)})
	}
	f := figuresUntil(map[time.Duration]queue.Outcomes{time.Hour: {Succeeded: 89, Failed: 1}, 23 * time.Hour: slow, 24 * time.Hour: {Failed: 10}, 7*24*time.Hour - time.Hour: {Cancelled: 1}, 7 * 24 * time.Hour: {Failed: 5}})
	fared := f.ofType(lang.English(), nil, "t")
	for i, want := range []struct {
		words, rate, errors string
		ended               int
	}{{"since 09:00", "1.0/min", "1.1%", 90}, {"since 2026-05-02 11:00", "8.1/h", "0.5%", 190}, {"since 2026-04-26 11:00", "1.2/h", "5.5%", 201}} {
		if p := fared.Periods[i]; p.Words != want.words || p.Rate != want.rate || p.Errors != want.errors || p.Ended != want.ended {
			t.Errorf("%+v, want %+v", p, want)
		}
	}
	day := fared.Day()
	if day.Attempts.P99 != "2" || !strings.HasSuffix(day.Run.P95, " ms") || !strings.HasPrefix(day.Wait.P50, "1 min") || fared.Periods[0].Wait.Any() {
		t.Errorf("%+v", day)
	}
	none := f.ofType(lang.English(), nil, "other")
	if none.Any() || none.Day().Errors != "" || none.Day().Rate != "" || (*figures)(nil).ofType(lang.English(), nil, "t") != nil || (*figures)(nil).ofQueues(lang.English()) != nil {
		t.Errorf("%+v", none)
	}
}

func TestFailuresByHour(t *testing.T) {
	f := figuresUntil(map[time.Duration]queue.Outcomes{0: {Failed: 1}, time.Hour: {Failed: 8, Succeeded: 3}, 24 * time.Hour: {Failed: 3}, 7 * 24 * time.Hour: {Failed: 50}})
	m := f.heatmap(lang.English())
	if m.Total != 12 || m.Most != 8 || len(m.Days) != 8 || len(m.Hours) != 24 || m.Hours[9] != "09" {
		t.Fatalf("%+v", m)
	}
	today, first := m.Days[7], m.Days[0]
	if today.Says != "Sun 2026-05-03" || today.Total != 9 || today.Cells[10] != (heatCell{Failed: 1, Level: 1, Now: true}) || today.Cells[9] != (heatCell{Failed: 8, Level: 4}) || !today.Cells[11].Ahead {
		t.Errorf("today is %+v", today)
	}
	if yesterday := m.Days[6].Cells[10]; yesterday != (heatCell{Failed: 3, Level: 2}) || !first.Cells[10].Ahead || first.Cells[11].Ahead {
		t.Errorf("%+v; the first day is %+v", yesterday, first)
	}
}

func TestFiguresInWords(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "under 1 ms", 1500 * time.Microsecond: "1 ms", 1540 * time.Millisecond: "1.5 s", 75 * time.Second: "1 min 15 s"} {
		if got := brief(lang.English(), d); got != want {
			t.Errorf("%s: %s, want %s", d, got, want)
		}
	}
	for n, want := range map[int]string{1: "0.1/day", 24: "3.4/day", 168: "1.0/h"} {
		if got := throughput(lang.English(), n, 7*24*time.Hour); got != want {
			t.Errorf("%d a week: %s, want %s", n, got, want)
		}
	}
	for n, want := range map[int]string{0: "", 1: "1.0/h", 59: "59/h", 90: "1.5/min", 1_000_000: "278/s"} {
		if got := throughput(lang.English(), n, time.Hour); got != want {
			t.Errorf("%d an hour: %s, want %s", n, got, want)
		}
	}
	for share, want := range map[float64]string{0: "0.0%", .0001: "under 0.1%", .0123: "1.2%", 1: "100.0%"} {
		if got := percent(lang.English(), share); got != want {
			t.Errorf("%v: %s, want %s", share, got, want)
		}
	}
}

// All hours are read once an hour, and in between those that may have changed.
func TestFiguresAreReadAgain(t *testing.T) {
	now := figuresHour.Add(30 * time.Minute)
	var asked []queue.FiguresRequest
	failed := 1
	ask := func(_ context.Context, r queue.FiguresRequest) (f queue.Figures, err error) {
		asked = append(asked, r)
		for _, hour := range []time.Time{figuresHour.Add(-160 * time.Hour), figuresHour.Add(-time.Hour), figuresHour} {
			if !hour.Before(r.Since) && hour.Before(r.Until) {
				f.Hours = append(f.Hours, queue.HourFigures{Hour: hour, Outcomes: queue.Outcomes{Failed: failed}})
			}
		}
		f.Through = now
		return f, nil
	}
	var f *figures
	for i, want := range []struct{ back, total int }{{167, 3}, {1, 5}, {168, 6}} {
		var err error
		if f, err = f.read(t.Context(), ask, now); err != nil {
			t.Fatal(err)
		}
		if r := asked[i]; r.Since != now.Truncate(time.Hour).Add(-time.Duration(want.back)*time.Hour) && i < 2 || f.Total().Failed != want.total {
			t.Errorf("step %d: %+v, %d failed, want %d", i, r, f.Total().Failed, want.total)
		}
		failed = 2
		now = now.Add(29 * time.Minute)
		if i == 1 {
			now = now.Add(time.Hour)
		}
	}
}
