package api

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

// WhyPaused explains what a task of a paused queue waits for.
func WhyPaused(g queue.Gate) string {
	reason := ""
	if g.PauseReason != "" {
		reason = " (" + g.PauseReason + ")"
	}
	return fmt.Sprintf("Its queue, %s, is paused by %s%s: it waits, and cannot be run, until the queue is resumed.", g.Queue, cmp.Or(g.PausedBy, "an operator"), reason)
}

// WhyLimited explains which limits keep a READY task from running; empty: none does.
func WhyLimited(row *queue.Row, use []queue.LimitUse) string {
	var reached, names []string
	var next time.Duration
	for _, u := range use {
		name := u.Subject(row.Task)
		if names = append(names, name); u.Reached() {
			reached = append(reached, fmt.Sprintf("%s (%s)", name, u.Reason()))
			next = max(next, u.Next)
		}
	}
	switch {
	case len(reached) > 0:
		text := "It waits for the limit of " + reached[0]
		if len(reached) > 1 {
			text = "It waits for the limits of " + strings.Join(reached, ", ")
		}
		if text += ". It starts by itself when there is room"; next > 0 {
			text += fmt.Sprintf(", in %s at the earliest", Span(next))
		}
		return text + "."
	case !row.WaitsForLimit():
		return ""
	case len(names) == 0:
		return "It waited for a limit that was removed. The next sweep, or a worker, starts it."
	}
	return fmt.Sprintf("It waited for the limit of %s, which has room now. The next task that ends, a worker or the sweeper starts it.", strings.Join(names, ", or of "))
}

// WhyParked explains what a parked task waits for, if its queue is not known to be paused.
func WhyParked(row *queue.Row) string {
	return fmt.Sprintf("Its queue, %s, is paused, or was until a moment ago. It waits until the queue is resumed.", row.Queue)
}

// WhyDelayed says when a READY task that is not due yet will be.
func WhyDelayed(row *queue.Row, now time.Time) string {
	in := Span(DueAt(row).Sub(now))
	if row.Attempts > 0 {
		return fmt.Sprintf("It runs again in %s: %d of %d attempts are used.", in, row.Attempts, row.MaxAttempts)
	}
	return fmt.Sprintf("It is due in %s.", in)
}

// DueAt is when a READY task may be claimed; zero: at once.
func DueAt(row *queue.Row) time.Time {
	if !row.RetryAt.IsZero() {
		return row.RetryAt
	}
	return row.RunAfter
}

// Span is a length of time in one unit, or two where one would be too rough.
func Span(d time.Duration) string {
	const day = 24 * time.Hour
	two := func(unit, part time.Duration, unitName, partName string) string {
		whole, rest := d/unit, d%unit/part
		if rest == 0 || whole >= 10 {
			return fmt.Sprintf("%d %s", whole, unitName)
		}
		return fmt.Sprintf("%d %s %d %s", whole, unitName, rest, partName)
	}
	switch {
	case d < 0:
		return "0 s"
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 10*time.Second:
		return strings.TrimSuffix(fmt.Sprintf("%.1f", d.Truncate(100*time.Millisecond).Seconds()), ".0") + " s"
	case d < time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < time.Hour:
		return two(time.Minute, time.Second, "min", "s")
	case d < day:
		return two(time.Hour, time.Minute, "h", "min")
	default:
		return two(day, time.Hour, "d", "h")
	}
}
