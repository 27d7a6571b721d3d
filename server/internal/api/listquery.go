package api

import (
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/internal/timearg"
	"github.com/claimcheck-go/claimcheck/queue"
)

// Bounds of a page of a list, and the most IDs in a filter.
const (
	DefaultListLimit = 50
	MaxListLimit     = 1000
	MaxListIDs       = 100
)

// ArgsPrefix begins the name of a filter on an argument.
const ArgsPrefix = "args."

// ListStatus reads a status, in any case; ok is false if there is none of that name.
func ListStatus(text string) (status queue.Status, ok bool) {
	status = queue.Status(strings.ToUpper(text))
	return status, text != "" && ordersOf(status) != nil
}

// AddID adds an ID, or the beginning of one, to a selection. ok is false for another text.
func AddID(s *queue.Selection, text string) (ok bool) {
	text = strings.TrimSpace(text)
	if id, err := ParseID(text); err == nil {
		s.IDs = append(s.IDs, id)
		return true
	}
	prefix, ok := queue.IDPrefix(text)
	if ok {
		s.IDPrefixes = append(s.IDPrefixes, prefix)
	}
	return ok
}

// ParseList reads the query of a list. Its errors name the parameter, and what it accepts.
// Parameters that it does not know were refused before.
func ParseList(query url.Values, now time.Time) (r ListRequest, err error) {
	r.Limit = DefaultListLimit
	for _, name := range slices.Sorted(maps.Keys(query)) { // the error is the same one every time
		value := query.Get(name)
		if path, ok := strings.CutPrefix(name, ArgsPrefix); ok {
			r.Args = append(r.Args, queue.ArgFilter{Path: path, Value: value})
			continue
		}
		if value == "" {
			return r, BadRequest("%s must not be empty; leave it out for all", name)
		}
		if err := r.parse(name, value, now); err != nil {
			return r, err
		}
	}
	return r, nil
}

// parse reads one parameter.
func (r *ListRequest) parse(name, value string, now time.Time) (err error) {
	switch name {
	case "task":
		r.Task = value
	case "queue_name":
		r.Queue = value
	case "backend_name":
		r.Backend = value
	case "error":
		r.Error = value
	case "text":
		r.Text = value
	case "cursor":
		r.Cursor = value
	case "since":
		r.Since, err = listTime(name, value, now)
	case "until":
		r.Until, err = listTime(name, value, now)
	case "status":
		var ok bool
		if r.Status, ok = ListStatus(value); !ok {
			return BadRequest("status must be READY, RUNNING, SUCCESSFUL, FAILED or CANCELLED, not %.40q", value)
		}
	case "priority":
		var n int
		n, err = listNumber(name, value, queue.MinPriority, queue.MaxPriority)
		r.Priority = &n
	case "limit":
		r.Limit, err = listNumber(name, value, 1, MaxListLimit)
	case "group_id":
		if r.MemberOf, err = ParseID(value); err != nil || r.MemberOf == uuid.Nil {
			return BadRequest("group_id must be the ID of a group, a UUID, not %.60q", value)
		}
	case "id":
		return r.parseIDs(value)
	}
	return err
}

func (r *ListRequest) parseIDs(list string) error {
	for text := range strings.SplitSeq(list, ",") {
		if !AddID(&r.Selection, text) {
			return BadRequest("id must be IDs of tasks, or beginnings of such, separated by commas, not %.60q", text)
		}
	}
	if n := len(r.IDs) + len(r.IDPrefixes); n > MaxListIDs {
		return BadRequest("id takes at most %d IDs, not %d", MaxListIDs, n)
	}
	return nil
}

func listTime(name, value string, now time.Time) (time.Time, error) {
	t, ok := timearg.Past(value, now)
	if !ok {
		return t, BadRequest("%s must be a time such as 2026-01-31T15:04:05Z, or how long ago it was: 90m, 12h, 7d; not %.60q", name, value)
	}
	return t, nil
}

func listNumber(name, value string, least, most int) (int, error) {
	n, err := strconv.Atoi(value)
	if err != nil || n < least || n > most {
		return 0, BadRequest("%s must be a whole number from %d to %d, not %.40q", name, least, most, value)
	}
	return n, nil
}
