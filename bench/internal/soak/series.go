package soak

import (
	"fmt"
	"io"
	"time"
)

// point is the memory of a process at a time.
type point struct {
	at time.Duration
	mb float64
}

type series []point

// Memory may grow by a tenth, and in any case by a few megabytes, from the end of the
// first quarter, in which pools and caches fill, to the end of a soak.
const (
	allowedShare = 0.10
	allowedMB    = 6
)

// trend is the line with the least squares through the last three quarters: its mean,
// and by how much it rises from their begin to their end.
func (s series) trend() (mean, rise float64, over time.Duration) {
	s = s[len(s)/4:]
	if len(s) < 2 {
		return 0, 0, 0
	}
	var t, m float64
	for _, p := range s {
		t, m = t+p.at.Seconds(), m+p.mb
	}
	n := float64(len(s))
	t, m = t/n, m/n
	var top, bottom float64
	for _, p := range s {
		top += (p.at.Seconds() - t) * (p.mb - m)
		bottom += (p.at.Seconds() - t) * (p.at.Seconds() - t)
	}
	over = s[len(s)-1].at - s[0].at
	return m, top / bottom * over.Seconds(), over
}

// verdict prints whether memory was flat; the error says that it was not.
func (p *part) verdict(out io.Writer) error {
	mean, rise, over := p.rss.trend()
	if over == 0 {
		return fmt.Errorf("the soak was too short to see the memory of the %s", p.name)
	}
	fmt.Fprintf(out, "%s: %.1f MB in the mean of the last %s, trend %+.1f MB in them\n", p.name, mean, over.Round(time.Second), rise)
	if rise > max(allowedMB, allowedShare*mean) {
		return fmt.Errorf("the memory of the %s grew by %.1f MB of %.1f MB in %s", p.name, rise, mean, over.Round(time.Second))
	}
	return nil
}
