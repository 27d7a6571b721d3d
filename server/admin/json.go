package admin

import (
	"bytes"
	"encoding/json"

	"github.com/dustin/go-humanize"
)

// shownJSON bounds how much of arguments or a result a page shows at first.
const shownJSON = 16 << 10

// document is JSON as a page shows it.
type document struct {
	Text     string // empty: there is none
	Size     string // of the whole, if more is there than Text
	Redacted bool
	Sealed   bool // it could not be decrypted
}

// pretty is JSON with a member a line. Numbers stay as they were written: they
// are never made floating-point.
func pretty(raw json.RawMessage, whole bool) document {
	if len(raw) == 0 {
		return document{}
	}
	var out bytes.Buffer
	if json.Indent(&out, raw, "", "  ") != nil {
		out.Reset()
		out.Write(raw)
	}
	text := out.String()
	if whole || len(text) <= shownJSON {
		return document{Text: text}
	}
	return document{Text: clip(text, shownJSON), Size: humanize.IBytes(uint64(len(raw)))}
}
