package cronspec_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/claimcheck-go/claimcheck/queue/internal/cronspec"
)

// clock is what the clocks on the wall of a zone show.
type clock struct {
	month             time.Month
	day, hour, minute int
	weekday           time.Weekday
	count             int // of minutes that these clocks have counted since 1970
}

func clockAt(t time.Time) clock {
	_, ahead := t.Zone()
	shown := t.UTC().Add(time.Duration(ahead) * time.Second)
	return shownClock(shown)
}

func shownClock(shown time.Time) clock {
	return clock{shown.Month(), shown.Day(), shown.Hour(), shown.Minute(), shown.Weekday(), int(shown.Unix() / 60)}
}

// specs are expressions with what they mean, written by hand.
var specs = []struct {
	spec    string
	elapsed bool // the hour is *
	matches func(c clock) bool
}{
	{"30 2 * * *", false, func(c clock) bool { return c.hour == 2 && c.minute == 30 }},
	{"0 0 * * *", false, func(c clock) bool { return c.hour == 0 && c.minute == 0 }},
	{"@daily", false, func(c clock) bool { return c.hour == 0 && c.minute == 0 }},
	{"*/15 2 * * *", false, func(c clock) bool { return c.hour == 2 && c.minute%15 == 0 }},
	{"*/20 0-3 * * *", false, func(c clock) bool { return c.hour <= 3 && c.minute%20 == 0 }},
	{"5 */2 * * *", false, func(c clock) bool { return c.hour%2 == 0 && c.minute == 5 }},
	{"0 1,2,3 * * 0", false, func(c clock) bool { return c.hour >= 1 && c.hour <= 3 && c.minute == 0 && c.weekday == time.Sunday }},
	{"0 9 * * 1-5", false, func(c clock) bool {
		return c.hour == 9 && c.minute == 0 && c.weekday >= time.Monday && c.weekday <= time.Friday
	}},
	{"30 23 * * FRI-SUN", false, func(c clock) bool {
		return c.hour == 23 && c.minute == 30 && (c.weekday == time.Sunday || c.weekday >= time.Friday)
	}},
	{"0 4 1 * 7", false, func(c clock) bool { return c.hour == 4 && c.minute == 0 && (c.day == 1 || c.weekday == time.Sunday) }},
	{"45 1 29 2 *", false, func(c clock) bool { return c.month == time.February && c.day == 29 && c.hour == 1 && c.minute == 45 }},
	{"@monthly", false, func(c clock) bool { return c.day == 1 && c.hour == 0 && c.minute == 0 }},
	{"0 * * * *", true, func(c clock) bool { return c.minute == 0 }},
	{"@hourly", true, func(c clock) bool { return c.minute == 0 }},
	{"*/5 * * * *", true, func(c clock) bool { return c.minute%5 == 0 }},
	{"*/25 * * * 6,0", true, func(c clock) bool {
		return c.minute%25 == 0 && (c.weekday == time.Saturday || c.weekday == time.Sunday)
	}},
	{"10 * 26-31 3,10 *", true, func(c clock) bool {
		return c.minute == 10 && c.day >= 26 && (c.month == time.March || c.month == time.October)
	}},
}

// step is how far apart the instants of the enumeration are: all specs name multiples
// of it, and all changes of clocks in these years happen at one.
const step = 5 * time.Minute

// clocks are what the clocks of a zone show at each step of a time.
func clocks(zone *time.Location, from, until time.Time) (list []clock) {
	for t := from; t.Before(until); t = t.Add(step) {
		list = append(list, clockAt(t.In(zone)))
	}
	return list
}

// enumerate walks over all instants since a time, and returns those at which a spec
// runs, by the rules of the package and with nothing of its code.
func enumerate(shown []clock, from time.Time, elapsed bool, matches func(clock) bool) (times []time.Time) {
	const minutes = int(step / time.Minute)
	highest := shown[0].count - minutes // the latest minute shown so far
	for i, now := range shown {
		runs := matches(now)
		if !elapsed {
			repeated := now.count <= highest
			runs = runs && !repeated
			for skipped := highest + minutes; skipped < now.count; skipped += minutes {
				runs = runs || matches(shownClock(time.Unix(int64(skipped)*60, 0).UTC()))
			}
		}
		highest = max(highest, now.count)
		if runs {
			times = append(times, from.Add(time.Duration(i)*step))
		}
	}
	return times
}

// Zones whose clocks change by an hour at two or three, at midnight, by half an hour,
// around Ramadan, across the date line, and never.
var zones = []struct {
	name  string
	since int
}{
	{"Europe/Berlin", 2020}, {"America/New_York", 2020}, {"America/Sao_Paulo", 2010}, {"America/Santiago", 2020}, {"Africa/Cairo", 2018},
	{"Australia/Lord_Howe", 2020}, {"Africa/Casablanca", 2020}, {"Asia/Tehran", 2014}, {"Pacific/Apia", 2008}, {"Asia/Kolkata", 2020}, {"UTC", 2020},
}

func TestTimesAgainstAnEnumerationOfTenYears(t *testing.T) {
	for _, zone := range zones {
		t.Run(zone.name, func(t *testing.T) {
			t.Parallel()
			location, err := cronspec.Zone(zone.name)
			if err != nil {
				t.Fatal(err)
			}
			from := time.Date(zone.since, 1, 1, 0, 0, 0, 0, time.UTC)
			until := from.AddDate(10, 0, 0)
			shown := clocks(location, from, until)
			for _, c := range specs {
				want := enumerate(shown, from, c.elapsed, c.matches)
				spec, err := cronspec.Parse(c.spec, zone.name, time.Time{})
				if err != nil {
					t.Fatal(err)
				}
				var got []time.Time
				for at := spec.Next(from.Add(-1)); at.Before(until); at = spec.Next(at) {
					got = append(got, at)
				}
				if !slices.EqualFunc(got, want, time.Time.Equal) {
					t.Errorf("%s: %s", c.spec, firstDifference(got, want, location))
				}
			}
		})
	}
}

func firstDifference(got, want []time.Time, zone *time.Location) string {
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			return "is missing " + want[i].In(zone).String()
		case i >= len(want):
			return "has more: " + got[i].In(zone).String()
		case !got[i].Equal(want[i]):
			return "got " + got[i].In(zone).String() + ", want " + want[i].In(zone).String()
		}
	}
	return "no difference"
}

// Each time around a change of the clocks is asked for from instants that are no times
// of the spec, also within a repeated hour.
func TestNextFromAnyInstant(t *testing.T) {
	for _, zone := range []string{"Europe/Berlin", "Australia/Lord_Howe", "America/Sao_Paulo"} {
		location, err := cronspec.Zone(zone)
		if err != nil {
			t.Fatal(err)
		}
		for _, day := range []time.Time{
			time.Date(2017, 10, 14, 0, 0, 0, 0, time.UTC), time.Date(2018, 2, 17, 0, 0, 0, 0, time.UTC),
			time.Date(2018, 3, 24, 0, 0, 0, 0, time.UTC), time.Date(2018, 3, 31, 0, 0, 0, 0, time.UTC),
			time.Date(2018, 10, 6, 0, 0, 0, 0, time.UTC), time.Date(2018, 10, 27, 0, 0, 0, 0, time.UTC),
		} {
			since := day.AddDate(0, 0, -3)
			shown := clocks(location, since, day.AddDate(0, 0, 40))
			for _, c := range specs {
				spec, err := cronspec.Parse(c.spec, zone, time.Time{})
				if err != nil {
					t.Fatal(err)
				}
				want := enumerate(shown, since, c.elapsed, c.matches)
				for at := day; at.Before(day.AddDate(0, 0, 3)); at = at.Add(7 * time.Minute) {
					i := slices.IndexFunc(want, func(w time.Time) bool { return w.After(at) })
					if i < 0 {
						continue
					}
					if got := spec.Next(at); !got.Equal(want[i]) {
						t.Fatalf("%s in %s after %s: got %s, want %s", c.spec, zone, at.In(location), got.In(location), want[i].In(location))
					}
				}
			}
		}
	}
}

func TestEvery(t *testing.T) {
	anchor := time.Date(2026, 3, 28, 12, 0, 7, 0, time.UTC)
	spec, err := cronspec.Parse("@every 1h30m", "Europe/Berlin", anchor)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ after, want time.Time }{
		{anchor.Add(-time.Hour), anchor.Add(90 * time.Minute)},
		{anchor, anchor.Add(90 * time.Minute)},
		{anchor.Add(90 * time.Minute), anchor.Add(180 * time.Minute)},
		{anchor.Add(90*time.Minute - 1), anchor.Add(90 * time.Minute)},
		{anchor.Add(1000 * time.Hour), anchor.Add(1000*time.Hour + 30*time.Minute)}, // across a change of the clocks
	} {
		if got := spec.Next(c.after); !got.Equal(c.want) {
			t.Errorf("after %s: %s, want %s", c.after, got, c.want)
		}
	}
}

func TestLatest(t *testing.T) {
	now := time.Date(2026, 11, 29, 10, 0, 0, 0, time.UTC)
	for _, text := range []string{"* * * * *", "* 0 * * *", "0 9 * * 1-5", "@monthly", "0 0 29 2 *", "@every 1s", "@every 90m", "* * 1 1 *"} {
		spec, err := cronspec.Parse(text, "America/New_York", now.AddDate(-1, 0, 0))
		if err != nil {
			t.Fatal(err)
		}
		for _, back := range []time.Duration{0, time.Second, time.Minute, time.Hour, 30 * time.Hour, 4000 * time.Hour} {
			from := now.Add(-back)
			var all []time.Time
			for at := spec.Next(from.Add(-1)); !at.After(now) && len(all) < 50_000; at = spec.Next(at) {
				all = append(all, at)
			}
			if len(all) == 50_000 { // the end of these is not known
				continue
			}
			for _, limit := range []int{1, 2, 1000} {
				want := all[max(0, len(all)-limit):]
				if got := spec.Latest(from, now, limit); !slices.EqualFunc(got, want, time.Time.Equal) {
					t.Errorf("%s, %s back, limit %d: %d times, want %d", text, back, limit, len(got), len(want))
				}
			}
		}
	}
	spec, err := cronspec.Parse("* * * * *", "", time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if got := spec.Latest(time.Time{}, now, 1); len(got) != 1 || !got[0].Equal(now) {
		t.Errorf("the latest since the year 1: %v", got)
	}
}

func TestRefusedSpecs(t *testing.T) {
	for spec, want := range map[string]string{
		"":                        "use five fields",
		"* * * *":                 "use five fields",
		"* * * * * *":             "use five fields",
		"61 * * * *":              "the minute must be from 0 to 59, not \"61\"",
		"0 0 30 2 *":              "no year has",
		", * * * *":               "empty item",
		"1,,2 * * * *":            "empty item",
		"* * * * MON-WED-FRI":     "the day of week must be from 0 to 7, or a name such as MON, not \"WED-FRI\"",
		"* * * foo *":             "the month must be from 1 to 12, or a name such as FEB, not \"foo\"",
		"a * * * *":               "the minute must be from 0 to 59, not \"a\"",
		"+5 * * * *":              "the minute must be from 0 to 59",
		"* 5- * * *":              "the hour must be from 0 to 23, not \"\"",
		"* * 0 * *":               "the day of month must be from 1 to 31",
		"*/90 * * * *":            "the step of the minute must be from 1 to 59, not \"90\"",
		"0 */24 * * *":            "the step of the hour must be from 1 to 23",
		"0-30/60 * * * *":         "the step of the minute must be from 1 to 59",
		"* * * * 1/x":             "the step of the day of week must be from 1 to 7, not \"x\"",
		"* * * * 6-2":             "the range \"6-2\" of the day of week ends before it begins",
		"TZ=UTC * * * * *":        "given apart",
		"CRON_TZ=UTC":             "given apart",
		"@never":                  "it is not understood; use five fields",
		"@every":                  "it is not understood; use five fields",
		"@every 0s":               "whole seconds",
		"@every -5s":              "whole seconds",
		"@every 1500ms":           "whole seconds",
		"@every soon":             "whole seconds",
		"@every 1000000h":         "whole seconds",
		"*/0 * * * *":             "step",
		"*/99999999999999999999 ": "use five fields",
		"* * * * mon-7/x":         "use five fields",
	} {
		if _, err := cronspec.Parse(spec, "", time.Time{}); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "strconv") {
			t.Errorf("%q: %v, want %q", spec, err, want)
		}
	}
	for _, zone := range []string{"Local", "Mars/Olympus", "../UTC", "Europe/Berlin\x00"} {
		if _, err := cronspec.Parse("@daily", zone, time.Time{}); err == nil || !strings.Contains(err.Error(), "zone") {
			t.Errorf("zone %q: %v", zone, err)
		}
	}
}

// Whatever is accepted has a next time, soon computed, and later than the last.
func FuzzParse(f *testing.F) {
	for _, c := range specs {
		f.Add(c.spec, "Europe/Berlin")
	}
	f.Add("@every 90s", "")
	f.Add("0 0 * * 5-7/2", "Pacific/Apia")
	f.Add("*/18446744073709551615 * * * *", "")
	f.Fuzz(func(t *testing.T, text, zone string) {
		spec, err := cronspec.Parse(text, zone, time.Time{})
		if err != nil {
			return
		}
		at := time.Date(2011, 12, 28, 0, 0, 0, 0, time.UTC)
		for range 5 {
			next := spec.Next(at)
			if !next.After(at) {
				t.Fatalf("%q in %q: after %s comes %s", text, zone, at, next)
			}
			at = next
		}
	})
}
