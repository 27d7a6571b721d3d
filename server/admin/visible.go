package admin

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"
)

// turning reports whether a character is invisible and changes the direction of the
// text after it, which can make a name look like another one.
func turning(r rune) bool {
	return r == 0x061C || r == 0x200E || r == 0x200F || r >= 0x202A && r <= 0x202E || r >= 0x2066 && r <= 0x2069
}

// visible writes characters that turn a text out, as JSON does, wherever a page
// shows text: names, errors, queues, workers, whatever comes from outside. In
// attributes, and in fields that are sent back, they stay what they are. It
// relies on html/template, which leaves no < or > of a text as it is.
func visible(page []byte) []byte {
	if bytes.IndexFunc(page, turning) < 0 {
		return page
	}
	var out bytes.Buffer
	tag, field := false, false
	for i := 0; i < len(page); {
		r, size := utf8.DecodeRune(page[i:])
		switch {
		case r == '<':
			tag, field = true, bytes.HasPrefix(page[i:], []byte("<textarea"))
		case r == '>':
			tag = false
		case !tag && !field && turning(r):
			out.WriteString(escaped(string(r)))
			i += size
			continue
		}
		out.Write(page[i : i+size])
		i += size
	}
	return out.Bytes()
}

// escaped is text with these characters as JSON writes them: JSON means the same
// afterwards.
func escaped(text string) string {
	var out strings.Builder
	for _, r := range text {
		if turning(r) {
			fmt.Fprintf(&out, `\u%04x`, r)
		} else {
			out.WriteRune(r)
		}
	}
	return out.String()
}
