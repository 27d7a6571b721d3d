package api

import "github.com/dustin/go-humanize"

// CountOf is a number of things: 1 task, 1,204 tasks.
func CountOf(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return Number(n) + " " + thing + "s"
}

// Number is a number with separators: 38,200.
func Number(n int) string { return humanize.Comma(int64(n)) }

// OneMany returns the sentence for a number of things.
func OneMany(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// Clip cuts a text that is longer than most bytes, between characters.
func Clip(text string, most int) string {
	if len(text) <= most {
		return text
	}
	for most > 0 && text[most]&0xC0 == 0x80 { // within a character
		most--
	}
	return text[:most] + "…"
}
