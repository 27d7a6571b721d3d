package admin

import (
	"bytes"
	"encoding/json"

	"github.com/claimcheck-go/claimcheck/queue"
)

// hidesArgs reports whether not all of a task's arguments may be shown.
func (h *handler) hidesArgs(row *queue.Row) bool {
	return h.Redact(row.Task) || row.ArgsSealed() || h.ofRedacted(row)
}

// ofRedacted reports whether a task's arguments are those that OnFailed makes, of a
// redacted task that has FAILED: they have a copy of its arguments.
func (h *handler) ofRedacted(row *queue.Row) bool { return row.ContentsHidden(h.hidden) }

// shownArgs are the arguments of a task that is not redacted itself.
func (h *handler) shownArgs(row *queue.Row, whole bool) document {
	switch {
	case row.ArgsSealed():
		return document{Sealed: true}
	case !h.ofRedacted(row):
		return pretty(row.Args, whole)
	}
	var failed queue.Failed
	d := json.NewDecoder(bytes.NewReader(row.Args))
	d.DisallowUnknownFields()
	if d.Decode(&failed) != nil { // it is not known where they are
		return document{Redacted: true}
	}
	failed.Args = json.RawMessage(`"redacted"`)
	shown, err := json.Marshal(failed)
	if err != nil {
		return document{Redacted: true}
	}
	return pretty(shown, whole)
}
