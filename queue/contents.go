package queue

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ArgFilter selects rows by one value in their arguments.
type ArgFilter struct {
	// Path leads to it: names of fields, and positions in lists from 0, with dots between
	// them, as in "user.id" or "items.0.sku". A name may have dots itself.
	Path string
	// Value is the number, true, false or null as the arguments have it, or the text of
	// a string, with or without its JSON quotes.
	Value string
}

func (a ArgFilter) check() error {
	switch {
	case a.Path == "" || len(a.Path) > maxSearched || !utf8.ValidString(a.Path):
		return invalidf("a filter on arguments must name a field, such as user_id or user.id, not %.60q", a.Path)
	case len(a.Value) > maxSearched:
		return invalidf("the value of a filter on arguments may have at most %d bytes, not %d", maxSearched, len(a.Value))
	}
	return nil
}

// ByContents reports whether the selection is by Args or Text. A store then reads the
// values of rows, and an action on rows finds them by [Client.List].
func (s *Selection) ByContents() bool { return len(s.Args) > 0 || s.Text != "" }

// MatchesContents reports whether a row has what Args and Text search for, and is not
// Hidden. Values that are still encrypted, and arguments that were dropped, match nothing.
//
// An [ArgFilter] matches the value at its path: a number, true, false or null by its JSON
// text, so that 4711 is not 4711.0, and a string by its text. Text is searched for in
// strings, names of fields, numbers and JSON texts of the arguments and the return value,
// in the note, and in the types, messages and tracebacks of the errors. It ignores the case
// of letters, but those of ASCII match only those of ASCII.
func (s *Selection) MatchesContents(row *Row) bool {
	if len(s.Args) > 0 && !s.matchesArgs(row) {
		return false
	}
	if s.Text != "" && !s.matchesText(row) {
		return false
	}
	return !row.ContentsHidden(s.Hidden)
}

// ContentsHidden reports whether hidden is true for the task of a row, or for one whose
// arguments the row has because of [OnFailed]. The row must be decrypted. hidden may be nil.
func (r *Row) ContentsHidden(hidden func(task string) bool) bool {
	if hidden == nil {
		return false
	}
	if hidden(r.Task) {
		return true
	}
	for args := r.Args; len(args) > 0; {
		var failed struct {
			Task string          `json:"task_path"`
			Args json.RawMessage `json:"args"`
		}
		if json.Unmarshal(args, &failed) != nil || failed.Task == "" {
			return false
		}
		if hidden(failed.Task) {
			return true
		}
		args = failed.Args // of a task that got arguments in the same way
	}
	return false
}

// readableArgs returns the arguments of a row, or nothing if they are encrypted.
func (r *Row) readableArgs() json.RawMessage {
	if r.ArgsSealed() {
		return nil
	}
	return r.Args
}

// readableResult is readableArgs of the return value.
func (r *Row) readableResult() json.RawMessage {
	if r.KeyID != "" && !r.Decrypted.ReturnValue && keyOfSealed(r.ReturnValue) != "" {
		return nil
	}
	return r.ReturnValue
}

func (s *Selection) matchesArgs(row *Row) bool {
	args := row.readableArgs()
	if len(args) == 0 || row.Dropped() {
		return false
	}
	d := json.NewDecoder(bytes.NewReader(args))
	d.UseNumber()
	var value any
	if d.Decode(&value) != nil {
		return false
	}
	for _, arg := range s.Args {
		if !arg.matches(value, strings.Split(arg.Path, ".")) {
			return false
		}
	}
	return true
}

// matches reports whether the value at a path, whose parts are left, is the filter's.
func (a ArgFilter) matches(value any, path []string) bool {
	if len(path) == 0 {
		return a.isScalar(value)
	}
	switch v := value.(type) {
	case map[string]any:
		for n := 1; n <= len(path); n++ { // names may have dots
			if field, ok := v[strings.Join(path[:n], ".")]; ok && a.matches(field, path[n:]) {
				return true
			}
		}
	case []any:
		if i, err := strconv.Atoi(path[0]); err == nil && i >= 0 && i < len(v) {
			return a.matches(v[i], path[1:])
		}
	}
	return false
}

func (a ArgFilter) isScalar(value any) bool {
	switch v := value.(type) {
	case nil:
		return a.Value == "null"
	case bool:
		return a.Value == strconv.FormatBool(v)
	case json.Number:
		return a.Value == v.String()
	case string:
		if a.Value == v {
			return true
		}
		var quoted string
		return strings.HasPrefix(a.Value, `"`) && json.Unmarshal([]byte(a.Value), &quoted) == nil && quoted == v
	}
	return false
}

func (s *Selection) matchesText(row *Row) bool {
	want := foldCase(s.Text)
	has := func(text string) bool { return strings.Contains(foldCase(text), want) }
	if has(row.Note) {
		return true
	}
	for _, e := range row.Errors {
		if has(e.ExceptionClassPath) || has(e.Message) || has(e.Traceback) {
			return true
		}
	}
	args := row.readableArgs()
	if row.Dropped() {
		args = nil
	}
	return jsonHas(args, has) || jsonHas(row.readableResult(), has)
}

// jsonHas reports whether a JSON text has a text, as it is written or in a string or name.
func jsonHas(data json.RawMessage, has func(string) bool) bool {
	if len(data) == 0 {
		return false
	}
	if has(string(data)) {
		return true
	}
	if !bytes.ContainsRune(data, '\\') { // then strings are what is written
		return false
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	for {
		token, err := d.Token()
		if err != nil {
			return false
		}
		if text, ok := token.(string); ok && has(text) {
			return true
		}
	}
}

// foldCase returns text in lower case, for comparing. A letter that is not of ASCII stays
// as it is if its lower case is of ASCII, so that databases which know the case of ASCII
// letters alone find all that may match.
func foldCase(text string) string {
	return strings.Map(func(r rune) rune {
		lower := unicode.ToLower(r)
		if r >= utf8.RuneSelf && lower < utf8.RuneSelf {
			return r
		}
		return lower
	}, text)
}
