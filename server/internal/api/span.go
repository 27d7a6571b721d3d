package api

import (
	"fmt"
	"strings"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

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
