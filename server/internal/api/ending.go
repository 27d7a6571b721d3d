package api

import (
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

// ending are the fields of an enqueue that say when its task expires, and how long its
// row is kept.
type ending struct{ expiresAt, expiresIn, keepSuccessful, keepFailed *string }

func (e ending) options() (options []queue.Option, err error) {
	switch {
	case e.expiresAt != nil && e.expiresIn != nil:
		return nil, BadRequest("expires_at and expires_in exclude each other")
	case e.expiresAt != nil:
		at, err := ParseTime(*e.expiresAt)
		if err != nil || at.IsZero() {
			return nil, BadRequest("expires_at must be a time with an offset, as RFC 3339 writes it (2026-01-31T15:04:05Z), in the years 1970 to 9999")
		}
		options = append(options, queue.ExpiresAt(at))
	case e.expiresIn != nil:
		in, err := time.ParseDuration(*e.expiresIn)
		if err != nil || in <= 0 {
			return nil, BadRequest("expires_in must be a duration longer than 0 such as \"90s\" or \"2h\"")
		}
		options = append(options, queue.ExpiresIn(in))
	}
	if e.keepSuccessful == nil && e.keepFailed == nil {
		return options, nil
	}
	if e.keepSuccessful == nil || e.keepFailed == nil {
		return nil, BadRequest("keep_successful and keep_failed belong together: give both or neither")
	}
	successful, err := keepField("keep_successful", *e.keepSuccessful)
	if err != nil {
		return nil, err
	}
	failed, err := keepField("keep_failed", *e.keepFailed)
	return append(options, queue.Keep(successful, failed)), err
}

func keepField(name, text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || d > queue.LongestKeep {
		return 0, BadRequest("%s must be a duration such as \"0\", \"24h\" or \"720h\", at most 50 years (\"%dh\")", name, queue.LongestKeep/time.Hour)
	}
	return d, nil
}
