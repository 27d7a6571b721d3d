package chart

import (
	"encoding/xml"
	"strings"
	"testing"
)

func TestBarsAreAsLongAsTheirValues(t *testing.T) {
	c := Chart{Title: "a < b", Panels: []Panel{{Title: "tasks a second", Bars: []Bar{
		{Label: "claimcheck", Kind: Ours, Value: 100, Min: 90, Max: 200, Text: "100"},
		{Label: "river", Kind: Peer, Value: 50, Min: 50, Max: 50, Text: "50"},
	}}}}
	got, err := c.SVG()
	if err != nil {
		t.Fatal(err)
	}
	var read struct {
		Rects []struct {
			Class string `xml:"class,attr"`
			Width int    `xml:"width,attr"`
		} `xml:"rect"`
		Paths []struct{} `xml:"path"`
	}
	if err := xml.Unmarshal(got, &read); err != nil {
		t.Fatalf("%v in\n%s", err, got)
	}
	if len(read.Rects) != 3 || read.Rects[1].Width != longest/2 || read.Rects[2].Width != (longest+2)/4 {
		t.Errorf("bars are %+v of %d", read.Rects, longest)
	}
	if len(read.Paths) != 1 {
		t.Errorf("%d whiskers; a figure without a range has none", len(read.Paths))
	}
	if !strings.Contains(string(got), "prefers-color-scheme: dark") {
		t.Error("nothing is said of dark pages")
	}
}
