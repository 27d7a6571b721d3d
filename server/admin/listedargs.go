package admin

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/lang"
)

// listedValues is how many characters values may have that a list reads, and shownArgs how
// many of arguments it shows.
const (
	listedValues    = 2000
	listedArgsShown = 140
)

// listedArgs are the arguments of a task in a list.
type listedArgs struct {
	Text string
	Why  string // they are not shown
}

// Pieces are the parts of the text between which a line may break: after a comma or a colon.
func (a listedArgs) Pieces() []string {
	var pieces []string
	for part := range strings.SplitAfterSeq(a.Text, ",") {
		pieces = append(pieces, strings.SplitAfter(part, ":")...)
	}
	return pieces
}

// addArgs adds the arguments to the lines of a list. beginnings are those of long ones.
func (h *handler) addArgs(lines []rowLine, beginnings map[uuid.UUID]string, p *lang.Printer) {
	for i := range lines {
		lines[i].Args = h.listedArgs(lines[i].Row, beginnings[lines[i].ID], p)
	}
}

func (h *handler) listedArgs(row *queue.Row, beginning string, p *lang.Printer) listedArgs {
	switch {
	case h.Redact(row.Task):
		return listedArgs{Why: p.T("arguments hidden")}
	case row.ArgsSealed(), row.KeyID != "" && row.Unreadable != "":
		return listedArgs{Why: p.T("arguments not decrypted")}
	case row.Dropped():
		return listedArgs{Why: p.T("arguments dropped")}
	case len(row.Args) == 0 && beginning == "":
		return listedArgs{Why: p.T("arguments too long")} // encrypted, and not read
	case h.hidden != nil && (strings.Contains(beginning, `"task_path"`) || h.ofRedacted(row)):
		return listedArgs{Why: p.T("arguments hidden")} // or may be
	case beginning != "":
		return listedArgs{Text: cut(beginning, listedArgsShown)}
	}
	var compact bytes.Buffer
	text := string(row.Args)
	if json.Compact(&compact, row.Args) == nil {
		text = compact.String()
	}
	if text == "null" || text == "{}" {
		return listedArgs{}
	}
	return listedArgs{Text: cut(text, listedArgsShown)}
}

// cut shortens a text to so many characters.
func cut(text string, most int) string {
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return text
}
