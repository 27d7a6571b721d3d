package admin

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/internal/timearg"
	"github.com/claimcheck-go/claimcheck/queue"
)

// filter is the selection of a list of tasks, as its address has it.
type filter struct {
	queue.Selection
	Reverse bool
	Written url.Values        // the fields as they were written, without empty ones
	Wrong   map[string]string // what is wrong with a field, by its name
}

// filterFields are the fields of an address that choose tasks, in the order in
// which problems with them are reported.
var filterFields = []string{"view", "task", "queue", "backend", "group", "error", "id", "since", "until", "priority", "stranded", "parked", "limited"}

// maxFilterIDs bounds the IDs in one field.
const maxFilterIDs = 100

// parseFilter reads a filter. A field with a problem is left out, and the problem is
// noted: the page shows both.
func parseFilter(query url.Values, now time.Time) filter {
	f := filter{Written: url.Values{}, Wrong: map[string]string{}, Reverse: query.Get("order") == "reverse"}
	for _, name := range filterFields {
		value := strings.TrimSpace(query.Get(name))
		if !utf8.ValidString(value) || strings.ContainsRune(value, 0) {
			f.Wrong[name] = "This is not text: it has bytes that no name and no error can have."
			value = strings.ToValidUTF8(strings.ReplaceAll(value, "\x00", "\uFFFD"), "\uFFFD")
		}
		if value != "" {
			f.Written.Set(name, value)
		}
	}
	f.refuseUnknown(query)
	get := f.Written.Get
	f.View, f.Task, f.Queue, f.Backend = queue.View(get("view")), get("task"), get("queue"), get("backend")
	f.Group, f.Error, f.Stranded = get("group"), get("error"), get("stranded") != ""
	f.Parked, f.Limited = get("parked") != "", get("limited") != ""
	if err := f.Check(); err != nil { // of what is read so far, only the view can be wrong
		f.Wrong["view"] = err.Error()
		f.View = queue.ViewAll
	}
	f.Since = f.time("since", now)
	f.Until = f.time("until", now)
	if text := get("priority"); text != "" {
		if n, err := strconv.Atoi(text); err == nil {
			f.Priority = &n
		} else {
			f.Wrong["priority"] = "Priority is a whole number, such as 10 or -5."
		}
	}
	for _, text := range strings.FieldsFunc(get("id"), func(r rune) bool { return r == ',' || r == ' ' || r == '\n' || r == '\r' || r == '\t' }) {
		id, err := uuid.Parse(text)
		switch {
		case err != nil:
			f.Wrong["id"] = fmt.Sprintf("%.60q is not a whole task ID.", text)
		case len(f.IDs) < maxFilterIDs:
			f.IDs = append(f.IDs, id)
		default:
			f.Wrong["id"] = fmt.Sprintf("At most %d IDs can be looked for at once.", maxFilterIDs)
		}
	}
	return f
}

// beside are parameters of an address that select no tasks: those of these pages'
// lists and forms, and those that a proxy adds.
var beside = []string{"order", "after", "all", "do", "pick", "back", "expected", "done", "undispatched", "beyond", "authuser"}

// refuseUnknown notes unknown parameters: "status=FAILED" would otherwise select all
// tasks.
func (f filter) refuseUnknown(query url.Values) {
	for _, name := range slices.Sorted(maps.Keys(query)) {
		if !slices.Contains(filterFields, name) && !slices.Contains(beside, name) && !strings.HasPrefix(name, "gcp-iap-") {
			f.Wrong[""] = fmt.Sprintf("There is no filter %.40q. The filters are: %s.", name, strings.Join(filterFields, ", "))
			return
		}
	}
}

// OK reports whether every field was understood: only then may an action apply to all
// that match.
func (f filter) OK() bool { return len(f.Wrong) == 0 }

// Elsewhere returns the problems of parameters that have no field on the page.
func (f filter) Elsewhere() (problems []string) {
	for _, name := range []string{"", "view", "group", "stranded", "parked", "limited"} {
		if problem := f.Wrong[name]; problem != "" {
			problems = append(problems, problem)
		}
	}
	return problems
}

const wrongTime = "Write a time in UTC, such as 2026-01-31 15:04, or how long ago: 90m, 12h, 7d."

// time reads a field that is a time, or how long ago one was.
func (f filter) time(name string, now time.Time) time.Time {
	text := f.Written.Get(name)
	if text == "" {
		return time.Time{}
	}
	if t, ok := timearg.Past(text, now); ok {
		return t
	}
	f.Wrong[name] = wrongTime
	return time.Time{}
}

// fixed returns the filter with absolute times, for what is confirmed now and done
// later.
func (f filter) fixed() url.Values {
	values := url.Values{}
	for name := range f.Written {
		values.Set(name, f.Written.Get(name))
	}
	for name, t := range map[string]time.Time{"since": f.Since, "until": f.Until} {
		if !t.IsZero() {
			values.Set(name, t.Format(time.RFC3339Nano))
		}
	}
	return values
}

// narrowed reports whether the filter selects by more than the view.
func (f filter) narrowed() bool {
	for name := range f.Written {
		if name != "view" {
			return true
		}
	}
	return false
}

// chip is one part of a filter in words, and the address without it.
type chip struct{ Words, Without string }

// chips are the parts of a filter beyond its view.
func (f filter) chips(h *handler) []chip {
	var chips []chip
	for _, name := range filterFields[1:] {
		if !f.Written.Has(name) || f.Wrong[name] != "" {
			continue
		}
		rest := url.Values{}
		for other := range f.Written {
			if other != name {
				rest.Set(other, f.Written.Get(other))
			}
		}
		chips = append(chips, chip{f.part(name), h.link("/tasks") + "?" + rest.Encode()})
	}
	return chips
}

// part describes one field.
func (f filter) part(name string) string {
	value := clip(f.Written.Get(name), 120)
	switch name {
	case "task":
		return "named " + value
	case "queue":
		return "in queue " + value
	case "backend":
		return "of backend " + value
	case "group":
		return "failing with " + value
	case "error":
		return "with “" + value + "” in the error"
	case "id":
		return count(len(f.IDs), "ID")
	case "since":
		return "enqueued since " + f.Since.Format("2006-01-02 15:04:05 UTC")
	case "until":
		return "enqueued before " + f.Until.Format("2006-01-02 15:04:05 UTC")
	case "priority":
		return "of priority " + value
	case "parked":
		return "set aside, because their queue is paused"
	case "limited":
		return "that wait for a limit"
	default:
		return "stranded"
	}
}

// String describes the selection, for pages and the audit log.
func (f filter) String() string {
	kind := "tasks"
	if f.View != queue.ViewAll {
		kind = string(f.View) + " tasks"
	}
	var parts []string
	for _, name := range filterFields[1:] {
		if f.Written.Has(name) {
			parts = append(parts, f.part(name))
		}
	}
	if len(parts) == 0 {
		return "all " + kind
	}
	return kind + " " + strings.Join(parts, ", ")
}
