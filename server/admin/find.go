package admin

import (
	"net/url"
	"regexp"
	"strings"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// wantedArg is what someone writes who looks for a value in arguments: user_id = 4711.
var wantedArg = regexp.MustCompile(`^(?:args\.)?([^\s="'{}]+)\s*=\s*(\S.*)$`)

// found returns the address of the list that what was written into the field find asks
// for: besides the other filters of the query, by an ID or the beginning of one, by a
// value in the arguments, or by a text.
func (h *handler) found(query url.Values) string {
	text := strings.TrimSpace(query.Get("find"))
	query.Del("find")
	query.Del("after")
	switch arg := wantedArg.FindStringSubmatch(text); {
	case text == "":
	case isID(text):
		query.Set("id", text)
	case arg != nil:
		query.Set(argField+arg[1], arg[2])
	default:
		query.Set("text", text)
	}
	return h.with(query)
}

// isID reports whether a text is a task ID, or looks like the beginning of one: eight digits
// or more, not all of them decimal, since those are rather a number of something else.
func isID(text string) bool {
	if _, err := uuid.Parse(text); err == nil {
		return true
	}
	prefix, begins := queue.IDPrefix(text)
	return begins && len(prefix) >= 8 && strings.ContainsAny(strings.ToLower(text), "abcdef-")
}
