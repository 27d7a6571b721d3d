package admin

import (
	"bytes"
	"encoding/json"

	"github.com/claimcheck-go/claimcheck/queue"
)

// hidesArgs reports whether not all of a task's arguments may be shown.
func (h *handler) hidesArgs(row *queue.Row) bool {
	return h.Redact(row.Task) || row.Sealed(row.Args) || h.ofRedacted(row)
}

// ofRedacted reports whether a task's arguments are those that OnFailed makes, of a
// redacted task that has FAILED: they have a copy of its arguments.
func (h *handler) ofRedacted(row *queue.Row) bool { return row.ContentsHidden(h.hidden) }

// decrypted is a value of a task, unless it is still encrypted.
func decrypted(row *queue.Row, value json.RawMessage, whole bool) document {
	if row.Sealed(value) {
		return document{Sealed: true}
	}
	return pretty(value, whole)
}

// shownArgs are the arguments of a task that is not redacted itself.
func (h *handler) shownArgs(row *queue.Row, whole bool) document {
	if row.Sealed(row.Args) || !h.ofRedacted(row) {
		return decrypted(row, row.Args, whole)
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
