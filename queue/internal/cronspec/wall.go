package cronspec

import "time"

// A wall time is what clocks on the wall show, written as if it were UTC. Within a
// zone's period, which ends where the clocks are changed, its distance from UTC is
// constant.

func wall(t time.Time) time.Time { return t.UTC().Add(offset(t)) }

// offset is how far the clocks on the wall are ahead of UTC.
func offset(t time.Time) time.Duration {
	_, seconds := t.Zone()
	return time.Duration(seconds) * time.Second
}

// reach is longer than clocks have ever been set back or forward: by a day, where a
// zone has crossed the date line.
const reach = 48 * time.Hour

// nextFixed returns the next time of a spec with a fixed hour. A wall time happens at
// the first instant at which the clocks show it or a later one.
func (s *Spec) nextFixed(after time.Time) time.Time {
	next := s.nextOnWall(latestWall(after))
	if next.IsZero() {
		return next
	}
	return s.firstAt(next)
}

// latestWall returns the latest wall time that the clocks have shown by t: they may
// have been set back since.
func latestWall(t time.Time) time.Time {
	latest := wall(t)
	for start, _ := t.ZoneBounds(); !start.IsZero() && t.Sub(start) < reach; {
		before := start.Add(-1)
		if shown := wall(before); shown.After(latest) {
			latest = shown
		}
		start, _ = before.ZoneBounds()
	}
	return latest
}

// firstAt returns the first instant at which the clocks show a wall time, or a later
// one if that is skipped.
func (s *Spec) firstAt(shown time.Time) time.Time {
	t := shown.Add(-reach).In(s.zone)
	for {
		start, end := t.ZoneBounds()
		at := shown.Add(-offset(t))
		switch {
		case !start.IsZero() && at.Before(start): // the clocks were set forward past it
			return start.UTC()
		case end.IsZero() || at.Before(end):
			return at.UTC()
		}
		t = end
	}
}

// nextElapsed returns the next instant at which the clocks match.
func (s *Spec) nextElapsed(after time.Time) time.Time {
	t, shown := after, wall(after)
	for {
		next := s.nextOnWall(shown)
		if next.IsZero() {
			return next
		}
		at := next.Add(-offset(t))
		_, end := t.ZoneBounds()
		if end.IsZero() || at.Before(end) {
			return at.UTC()
		}
		t, shown = end, wall(end).Add(-1)
	}
}

// nextOnWall returns the next wall time that the fields name, or zero. The parser's
// own Next looks ahead for five years, and the next 29 February may be eight away.
func (s *Spec) nextOnWall(after time.Time) time.Time {
	for range 3 {
		if next := s.fields.Next(after); !next.IsZero() {
			return next
		}
		after = time.Date(after.Year()+5, 1, 1, 0, 0, 0, 0, time.UTC).Add(-1)
	}
	return time.Time{}
}
