package soak

import (
	"io"
	"math"
	"testing"
	"time"
)

func seriesOf(mb func(i int) float64) *part {
	p := &part{name: "worker"}
	for i := range 400 {
		p.rss = append(p.rss, point{time.Duration(i) * time.Second, mb(i)})
	}
	return p
}

func TestVerdictFindsMemoryThatGrows(t *testing.T) {
	for name, test := range map[string]struct {
		mb   func(i int) float64
		flat bool
	}{
		"flat with noise":        {func(i int) float64 { return 40 + float64(i%7) }, true},
		"caches fill first":      {func(i int) float64 { return min(50, 20+float64(i)/2) }, true},
		"it falls":               {func(i int) float64 { return 60 - float64(i)/50 }, true},
		"a leak":                 {func(i int) float64 { return 40 + float64(i)/40 }, false},
		"a leak below the noise": {func(i int) float64 { return 40 + float64(i%13) + float64(i)/40 }, false},
	} {
		t.Run(name, func(t *testing.T) {
			if err := seriesOf(test.mb).verdict(io.Discard); (err == nil) != test.flat {
				t.Errorf("got %v, flat should be %t", err, test.flat)
			}
		})
	}
	if err := (&part{name: "worker"}).verdict(io.Discard); err == nil {
		t.Error("no figures were accepted")
	}
}

func TestTrendIsOfTheLastThreeQuarters(t *testing.T) {
	mean, rise, over := seriesOf(func(i int) float64 { return float64(i) / 10 }).rss.trend()
	if math.Abs(mean-24.95) > 1e-9 || math.Abs(rise-29.9) > 1e-9 || over != 299*time.Second {
		t.Errorf("got %v, %v, %v", mean, rise, over)
	}
}
