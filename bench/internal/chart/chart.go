// Package chart draws horizontal bars with their range as SVG, readable on light
// and dark pages.
package chart

import (
	"bytes"
	_ "embed"
	"text/template"
)

// Chart is one picture.
type Chart struct {
	Title  string
	Panels []Panel
}

// Panel is a group of bars with a scale of its own, from zero.
type Panel struct {
	Title string
	Bars  []Bar
}

// Bar is one figure.
type Bar struct {
	Label           string
	Kind            Kind
	Value, Min, Max float64
	Text            string // the figure as people read it
}

// Kind is what a bar represents; it gives the colour.
type Kind string

// The kinds.
const (
	Ours      Kind = "ours"
	Peer      Kind = "peer"
	Yardstick Kind = "yardstick"
)

// Measures of a picture, in pixels.
const (
	width      = 760
	labels     = 160 // the column left of the bars
	texts      = 90  // that right of them
	longest    = width - labels - texts
	barHeight  = 14
	barStep    = 22
	titleStep  = 34
	panelSpace = 14
	margin     = 16
)

// SVG draws the chart.
func (c Chart) SVG() ([]byte, error) {
	p := picture{Width: width, Title: c.Title}
	y := margin + titleStep
	for _, panel := range c.Panels {
		p.Headings = append(p.Headings, text{margin, y + barHeight, panel.Title})
		y += titleStep - panelSpace + 4
		greatest := 0.0
		for _, bar := range panel.Bars {
			greatest = max(greatest, bar.Value, bar.Max)
		}
		for _, bar := range panel.Bars {
			p.Bars = append(p.Bars, newDrawn(bar, y, greatest))
			y += barStep
		}
		y += panelSpace
	}
	p.Height = y
	var b bytes.Buffer
	err := drawing.Execute(&b, p)
	return b.Bytes(), err
}

// picture is what the template draws.
type picture struct {
	Width, Height int
	Title         string
	Headings      []text
	Bars          []drawn
}

type text struct {
	X, Y int
	Text string
}

type drawn struct {
	Kind                 Kind
	Label, Value         text
	X, Y, Length, Height int
	// The whisker from the least to the greatest figure.
	From, To, Middle, Upper, Lower int
}

func newDrawn(bar Bar, y int, greatest float64) drawn {
	scaled := func(v float64) int {
		if greatest == 0 {
			return 0
		}
		return int(v/greatest*longest + 0.5)
	}
	middle := y + barHeight/2
	return drawn{
		Kind: bar.Kind, X: labels, Y: y, Length: max(1, scaled(bar.Value)), Height: barHeight,
		Label: text{labels - 8, middle + 4, bar.Label},
		Value: text{labels + scaled(max(bar.Value, bar.Max)) + 8, middle + 4, bar.Text},
		From:  labels + scaled(bar.Min), To: labels + scaled(bar.Max), Middle: middle, Upper: middle - 4, Lower: middle + 4,
	}
}

//go:embed chart.svg.tmpl
var source string

var drawing = template.Must(template.New("chart").Parse(source))
