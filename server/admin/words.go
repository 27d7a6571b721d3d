package admin

import (
	"time"

	"github.com/claimcheck-go/claimcheck/server/internal/api"
	"github.com/claimcheck-go/claimcheck/server/internal/lang"
)

// words formats times relative to one moment, in one language.
type words struct {
	now time.Time
	p   *lang.Printer
}

// moment is a time as a page shows it.
type moment struct {
	ISO   string // for programs; empty if the time is not known
	UTC   string
	Words string // 5 min ago, in 3 h
}

// When is a time, in words.
func (w words) When(t time.Time) moment {
	if t.IsZero() {
		return moment{}
	}
	m := moment{ISO: t.UTC().Format(time.RFC3339Nano), UTC: t.UTC().Format("2006-01-02 15:04:05 UTC")}
	switch d := w.now.Sub(t); {
	case d < -time.Second:
		m.Words = w.p.T("in %s", w.p.Span(-d))
	case d < time.Second:
		m.Words = w.p.T("now")
	default:
		m.Words = w.p.T("%s ago", w.p.Span(d))
	}
	return m
}

// length is how long ago a time was, as a moment.
func (w words) length(t time.Time) moment {
	m := w.When(t)
	if m.ISO != "" {
		m.Words = w.Since(t)
	}
	return m
}

// Clock is the moment itself.
func (w words) Clock() string { return w.now.UTC().Format("15:04:05 UTC") }

// Now is the moment for the page's script, in milliseconds.
func (w words) Now() int64 { return w.now.UnixMilli() }

// Since is how long ago a time was.
func (w words) Since(t time.Time) string { return w.p.Span(max(0, w.now.Sub(t))) }

// clip cuts a text that is longer than most bytes, between characters.
func clip(text string, most int) string { return api.Clip(text, most) }
