package timearg

import (
	"testing"
	"time"
)

func TestPast(t *testing.T) {
	now := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"90m":                       now.Add(-90 * time.Minute),
		"1.5d":                      now.Add(-36 * time.Hour),
		"0s":                        now,
		"2026-01-30":                time.Date(2026, 1, 30, 0, 0, 0, 0, time.UTC),
		"2026-01-30 15:04":          time.Date(2026, 1, 30, 15, 4, 0, 0, time.UTC),
		"2026-01-30T15:04:05+01:00": time.Date(2026, 1, 30, 14, 4, 5, 0, time.UTC),
	} {
		if got, ok := Past(text, now); !ok || !got.Equal(want) {
			t.Errorf("%q: %v, %v; want %v", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "7", "-1h", "-1d", "NaNd", "200000d", "yesterday", "2026-02-30"} {
		if got, ok := Past(text, now); ok {
			t.Errorf("%q is read as %v", text, got)
		}
	}
}
