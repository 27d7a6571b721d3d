// Package cronspec computes the times of a cron expression in a time zone. It wraps the
// parser of robfig/cron, whose own times ignore what a change of the clocks skips or
// repeats:
//
//   - A spec with a fixed hour runs once for each time that its fields name, by the
//     clocks on the wall: a skipped time at the first instant after it, a repeated one
//     at its first occurrence.
//   - A spec whose hour is * follows elapsed time: it runs at each instant at which the
//     clocks on the wall match, so also twice within a repeated hour.
//   - @every counts from an anchor, and ignores clocks.
package cronspec

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // where the system has no zones, as in an image from scratch

	"github.com/robfig/cron/v3"
)

// Spec is a parsed expression in a zone. It is safe for concurrent use.
type Spec struct {
	zone   *time.Location
	every  time.Duration // of @every; else 0
	anchor time.Time     // of @every
	fields *cron.SpecSchedule
	star   bool // the hour is *
}

// MaxEvery is the longest interval of @every.
const MaxEvery = 366 * 24 * time.Hour

// maxSpec is how long a spec may be.
const maxSpec = 500

// accepts is the end of each error about a spec.
const accepts = `use five fields (minute, hour, day of month, month, day of week), such as "0 9 * * 1-5", or @hourly, @daily, @weekly, @monthly, @yearly, or @every with a duration of whole seconds, such as "@every 90s"`

// parser takes what standard cron does, and names such as @daily.
var parser = cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor)

// Parse returns the Spec of an expression in a zone of the IANA database, such as
// Europe/Berlin; the empty zone is UTC. anchor is where the intervals of @every begin;
// the zero time is 1970. Its errors say what is accepted.
func Parse(spec, zone string, anchor time.Time) (*Spec, error) {
	location, err := Zone(zone)
	if err != nil {
		return nil, err
	}
	if anchor.IsZero() { // a Duration would not reach from there
		anchor = time.Unix(0, 0)
	}
	if len(spec) > maxSpec {
		return nil, fmt.Errorf("spec must have at most %d characters", maxSpec)
	}
	s := &Spec{zone: location, anchor: anchor}
	if interval, ok := strings.CutPrefix(spec, "@every "); ok {
		if s.every, err = parseEvery(strings.TrimSpace(interval)); err != nil {
			return nil, fmt.Errorf("spec %.100q: %w", spec, err)
		}
		return s, nil
	}
	if s.fields, err = parseFields(spec); err != nil {
		return nil, fmt.Errorf("spec %.100q: %w; %s", spec, err, accepts)
	}
	const starBit = 1 << 63 // robfig/cron's mark of a *
	s.star = s.fields.Hour&starBit != 0
	if s.nextOnWall(time.Unix(0, 0).UTC()).IsZero() {
		return nil, fmt.Errorf("spec %.100q names a day that no year has", spec)
	}
	return s, nil
}

// Zone returns the time zone of a name; the empty one is UTC.
func Zone(name string) (*time.Location, error) {
	location, err := time.LoadLocation(name)
	if err != nil || location == time.Local {
		return nil, fmt.Errorf("zone %.100q is not known: use a name of the IANA time zone database, such as Europe/Berlin, or UTC", name)
	}
	return location, nil
}

func parseEvery(interval string) (time.Duration, error) {
	d, err := time.ParseDuration(interval)
	if err != nil || d < time.Second || d > MaxEvery || d%time.Second != 0 {
		return 0, fmt.Errorf("the interval of @every must be a duration of whole seconds, from 1s to %dh, such as 90s or 1h30m", int(MaxEvery.Hours()))
	}
	return d, nil
}

// parseFields parses fields, or a name such as @daily.
func parseFields(spec string) (*cron.SpecSchedule, error) {
	if strings.Contains(spec, "=") { // TZ=, which the parser accepts
		return nil, errors.New("it must not contain a time zone, which is given apart")
	}
	if !strings.HasPrefix(spec, "@") {
		fields := strings.Fields(spec)
		if err := checkFields(fields); err != nil {
			return nil, err
		}
		fields[4] = sundays(fields[4])
		spec = strings.Join(fields, " ")
	}
	parsed, err := parser.Parse(spec)
	if err != nil { // its text is about its own code
		return nil, errors.New("it is not understood")
	}
	fields, ok := parsed.(*cron.SpecSchedule)
	if !ok {
		return nil, errors.New("it is not understood")
	}
	fields.Location = time.UTC // of the clocks on the wall, as if they were UTC
	return fields, nil
}

// sundays rewrites a field of days of the week in which Sunday is 7, or the end of a
// range, as in 5-7 and FRI-SUN: the parser knows it as 0 alone.
func sundays(field string) string {
	items := strings.Split(field, ",")
	for i, item := range items {
		days, step, stepped := strings.Cut(item, "/")
		first, last, ranged := strings.Cut(days, "-")
		switch {
		case first == "7" && !ranged && !stepped:
			items[i] = "0"
		case first == "0" && last == "7":
			items[i] = strings.Replace(item, "7", "6", 1)
		case ranged && first != "0" && (last == "7" || strings.EqualFold(last, "sun")):
			if expanded, ok := untilSunday(first, step, stepped); ok {
				items[i] = expanded
			}
		}
	}
	return strings.Join(items, ",")
}

// untilSunday lists the days from first to 7 as the parser names them.
func untilSunday(first, step string, stepped bool) (list string, ok bool) {
	from, err := strconv.Atoi(first)
	if err != nil {
		from = 1 + strings.Index("montuewedthufrisat", strings.ToLower(first))/3
		if len(first) != 3 || !strings.Contains("mon tue wed thu fri sat", strings.ToLower(first)) {
			return "", false
		}
	}
	every := 1
	if stepped {
		if every, err = strconv.Atoi(step); err != nil {
			return "", false
		}
	}
	if from < 1 || from > 7 || every < 1 {
		return "", false
	}
	var days []string
	for day := from; day <= 7; day += min(every, 7) {
		days = append(days, strconv.Itoa(day%7))
	}
	return strings.Join(days, ","), true
}

// Frequent reports whether the spec runs more than once a minute.
func (s *Spec) Frequent() bool { return s.every > 0 && s.every < time.Minute }

// Location returns the zone.
func (s *Spec) Location() *time.Location { return s.zone }

// Next returns the first time after a given one, UTC; zero if there is none.
func (s *Spec) Next(after time.Time) time.Time {
	switch {
	case s.every > 0:
		n := max(after.Sub(s.anchor)/s.every, 0) // intervals that have ended
		return s.anchor.Add((n + 1) * s.every).UTC()
	case s.star:
		return s.nextElapsed(after.In(s.zone))
	default:
		return s.nextFixed(after.In(s.zone))
	}
}

// Latest returns the last times, at most limit, that are not before from and not after
// to, in their order. It looks at few more than it returns, however long that time is.
func (s *Spec) Latest(from, to time.Time, limit int) []time.Time {
	span := time.Duration(limit) * max(s.every, time.Minute)
	for ; ; span *= 4 {
		start := to.Add(-span)
		if span <= 0 || !start.After(from) { // or it has overflowed
			start = from
		}
		times := s.between(start, to)
		if len(times) >= limit {
			return times[len(times)-limit:]
		}
		if start.Equal(from) {
			return times
		}
	}
}

func (s *Spec) between(from, to time.Time) (times []time.Time) {
	for at := s.Next(from.Add(-1)); !at.IsZero() && !at.After(to); at = s.Next(at) {
		times = append(times, at)
	}
	return times
}
