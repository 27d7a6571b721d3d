package admin

import (
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
	"github.com/claimcheck-go/claimcheck/server/internal/lang"
	"github.com/claimcheck-go/claimcheck/server/internal/waiting"
)

// filter is the selection of a list of tasks, as its address has it.
type filter struct {
	queue.Selection
	Reverse bool
	Written url.Values        // the fields as they were written, without empty ones
	Wrong   map[string]string // what is wrong with a field, by its name
	p       *lang.Printer     // of Wrong
}

// filterFields are the fields of an address that choose tasks, in the order in
// which problems with them are reported.
var filterFields = []string{"view", "task", "queue", "backend", "group", "error", "text", "id", "since", "until", "priority", "stranded", "parked", "limited"}

// argField begins the names of the fields that are filters on arguments.
const argField = "args."

// filterNames are the names of the fields that an address may have: filterFields, and those
// of its filters on arguments.
func filterNames(query url.Values) []string {
	names := slices.Clone(filterFields)
	for _, name := range slices.Sorted(maps.Keys(query)) {
		if strings.HasPrefix(name, argField) && len(name) > len(argField) {
			names = append(names, name)
		}
	}
	return names
}

// maxFilterIDs bounds the IDs in one field.
const maxFilterIDs = 100

// parseFilter reads a filter. A field with a problem is left out, and the problem is
// noted: the page shows both.
func (h *handler) parseFilter(query url.Values, w words) filter {
	f := filter{Written: url.Values{}, Wrong: map[string]string{}, Reverse: query.Get("order") == "reverse", p: w.p}
	names := filterNames(query)
	for _, name := range names {
		value := strings.TrimSpace(query.Get(name))
		if !utf8.ValidString(value) || strings.ContainsRune(value, 0) {
			f.Wrong[name] = f.p.T("This is not text: it has bytes that no name and no error can have.")
			value = strings.ToValidUTF8(strings.ReplaceAll(value, "\x00", "\uFFFD"), "\uFFFD")
		}
		if len(query[name]) > 1 {
			f.Wrong[name] = f.p.Text(givenTwice(name))
		}
		path, isArg := strings.CutPrefix(name, argField)
		if value != "" || isArg && query.Has(name) {
			f.Written.Set(name, value)
		}
		if isArg {
			f.Args = append(f.Args, queue.ArgFilter{Path: path, Value: value})
		}
	}
	f.refuseUnknown(query, names)
	get := f.Written.Get
	f.View = queue.View(get("view"))
	if err := f.Check(); err != nil { // of the view, or a filter on arguments
		f.Wrong[map[bool]string{true: "text", false: "view"}[slices.Contains(queue.Views(), f.View)]] = f.p.Text(verbatim(err.Error()))
		f.View, f.Args = queue.ViewAll, nil
	}
	f.Task, f.Queue, f.Backend, f.Error, f.Text = get("task"), get("queue"), get("backend"), get("error"), get("text")
	f.Stranded, f.Parked, f.Limited = get("stranded") != "", get("parked") != "", get("limited") != ""
	if f.Hidden = h.hidden; len(f.Text) > maxFilterText {
		f.Wrong["text"], f.Text = f.p.T("Use at most %d characters.", maxFilterText), ""
	}
	if group, err := uuid.Parse(get("group")); err == nil {
		f.MemberOf = group
	} else {
		f.Group = get("group") // of failures
	}
	f.Since = f.time("since", w.now)
	f.Until = f.time("until", w.now)
	if text := get("priority"); text != "" {
		if n, err := strconv.Atoi(text); err == nil {
			f.Priority = &n
		} else {
			f.Wrong["priority"] = f.p.T("Enter a whole number, such as 10 or -5.")
		}
	}
	f.parseIDs(get("id"))
	return f
}

// maxFilterText bounds the text that is searched for.
const maxFilterText = 1000

// parseIDs reads IDs and beginnings of IDs.
func (f *filter) parseIDs(list string) {
	for _, text := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' || r == '\r' || r == '\t' }) {
		id, err := uuid.Parse(text)
		prefix, begins := queue.IDPrefix(text)
		switch {
		case err != nil && !begins:
			f.Wrong["id"] = f.p.T("%.60q is neither a task ID nor the beginning of one.", text)
		case len(f.IDs)+len(f.IDPrefixes) == maxFilterIDs:
			f.Wrong["id"] = f.p.T("Enter at most %d IDs.", maxFilterIDs)
		case err == nil:
			f.IDs = append(f.IDs, id)
		default:
			f.IDPrefixes = append(f.IDPrefixes, prefix)
		}
	}
}

// beside are parameters of an address that select no tasks: those of these pages'
// lists and forms.
var beside = []string{"order", "after", "all", "do", "pick", "back", "expected", "done", "undispatched", "beyond"}

// byProxy reports whether a parameter is one that a proxy adds.
func byProxy(name string) bool { return name == "authuser" || strings.HasPrefix(name, "gcp-iap-") }

// givenTwice is what is wrong with a parameter of which only one value would be read: an
// action would be one on other tasks than its address has.
func givenTwice(name string) lang.Text {
	return lang.M("%.40q is given more than once. Give it once.", name)
}

// refuseUnknown notes unknown parameters: "status=FAILED" would otherwise select all
// tasks.
func (f filter) refuseUnknown(query url.Values, known []string) {
	for _, name := range []string{"order", "after"} {
		if len(query[name]) > 1 {
			f.Wrong[""] = f.p.Text(givenTwice(name))
		}
	}
	if unknown := unknownFilters(query, known); len(unknown) > 0 {
		f.Wrong[""] = f.p.T("There is no filter %.40q. The filters are: %s, and args. with the name of a field.", unknown[0], strings.Join(filterFields, ", "))
	}
}

// unknownFilters returns the parameters that are neither known nor beside the filters.
func unknownFilters(query url.Values, known []string) []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(query)), func(name string) bool {
		return slices.Contains(known, name) || slices.Contains(beside, name) || byProxy(name)
	})
}

// OK reports whether every field was understood: only then may an action apply to all
// that match.
func (f filter) OK() bool { return len(f.Wrong) == 0 }

// Elsewhere returns the problems of parameters that have no field on the page.
func (f filter) Elsewhere() (problems []string) {
	for _, name := range append([]string{"", "view", "group", "text", "stranded", "parked", "limited"}, filterNames(f.Written)[len(filterFields):]...) {
		if problem := f.Wrong[name]; problem != "" {
			problems = append(problems, problem)
		}
	}
	return problems
}

var wrongTime = lang.M("Enter a time in UTC, such as 2026-01-31 15:04, or how long ago: 90m, 12h, 7d.")

// time reads a field that is a time, or how long ago one was.
func (f filter) time(name string, now time.Time) time.Time {
	text := f.Written.Get(name)
	if text == "" {
		return time.Time{}
	}
	if t, ok := timearg.Past(text, now); ok {
		return t
	}
	f.Wrong[name] = f.p.Text(wrongTime)
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
	for _, name := range filterNames(f.Written)[1:] {
		if !f.Written.Has(name) || f.Wrong[name] != "" {
			continue
		}
		rest := url.Values{}
		for other := range f.Written {
			if other != name {
				rest.Set(other, f.Written.Get(other))
			}
		}
		chips = append(chips, chip{f.p.Text(f.part(name)), h.link("/tasks") + "?" + rest.Encode()})
	}
	return chips
}

// part describes one field.
func (f filter) part(name string) lang.Text {
	value := clip(f.Written.Get(name), 120)
	switch name {
	case "task":
		return lang.M("named %s", value)
	case "queue":
		return lang.M("in queue %s", value)
	case "backend":
		return lang.M("of backend %s", value)
	case "group":
		if f.MemberOf != uuid.Nil {
			return lang.M("of group %s", value)
		}
		return lang.M("of failure group %s", value)
	case "text":
		return lang.M("with the text “%s”", value)
	case "error":
		return lang.M("with “%s” in the error", value)
	case "id":
		if len(f.IDs) == 0 && len(f.IDPrefixes) == 1 {
			return lang.M("with an ID that begins with %s", f.IDPrefixes[0])
		}
		return lang.M("with one of %d IDs", len(f.IDs)+len(f.IDPrefixes))
	case "since":
		return lang.M("enqueued since %s", f.Since.Format("2006-01-02 15:04:05 UTC"))
	case "until":
		return lang.M("enqueued before %s", f.Until.Format("2006-01-02 15:04:05 UTC"))
	case "priority":
		return lang.M("of priority %s", value)
	case "parked":
		return lang.M("held because their queue is paused")
	case "limited":
		return lang.M("waiting for a limit")
	case "stranded":
		return lang.M("currently stranded")
	default:
		return lang.M("with %s = %s", clip(strings.TrimPrefix(name, argField), 120), value)
	}
}

// Words describe the selection, for pages.
func (f filter) Words() lang.Text {
	var parts []lang.Text
	for _, name := range filterNames(f.Written)[1:] {
		if f.Written.Has(name) {
			parts = append(parts, f.part(name))
		}
	}
	list := waiting.List(parts)
	all := len(parts) == 0
	switch f.View {
	case queue.ViewPending:
		return either(all, lang.M("all pending tasks"), lang.M("pending tasks %s", list))
	case queue.ViewDelayed:
		return either(all, lang.M("all delayed tasks"), lang.M("delayed tasks %s", list))
	case queue.ViewRunning:
		return either(all, lang.M("all running tasks"), lang.M("running tasks %s", list))
	case queue.ViewFailed:
		return either(all, lang.M("all failed tasks"), lang.M("failed tasks %s", list))
	case queue.ViewSuccessful:
		return either(all, lang.M("all successful tasks"), lang.M("successful tasks %s", list))
	case queue.ViewCancelled:
		return either(all, lang.M("all cancelled tasks"), lang.M("cancelled tasks %s", list))
	}
	return either(all, lang.M("all tasks"), lang.M("tasks %s", list))
}

// either returns the first message if a condition holds, else the second.
func either(first bool, yes, no lang.Text) lang.Text {
	if first {
		return yes
	}
	return no
}

// String describes the selection in English, for the audit log.
func (f filter) String() string { return f.Words().String() }
