// Package timearg reads the times that people write into flags and forms.
package timearg

import (
	"strconv"
	"strings"
	"time"
)

// Span reads a length of time: what [time.ParseDuration] reads, and days, as in 7d.
func Span(text string) (time.Duration, bool) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseFloat(days, 64)
		return time.Duration(n * 24 * float64(time.Hour)), err == nil && n >= 0 && n < 100_000
	}
	d, err := time.ParseDuration(text)
	return d, err == nil && d >= 0
}

// Time reads a time or a date, in UTC unless it names another zone.
func Time(text string) (time.Time, bool) {
	for _, form := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02 15:04:05", "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.Parse(form, text); err == nil {
			return t.UTC(), true
		}
	}
	return time.Time{}, false
}

// Past reads a time, or how long before now it was.
func Past(text string, now time.Time) (time.Time, bool) {
	if ago, ok := Span(text); ok {
		return now.Add(-ago), true
	}
	return Time(text)
}
