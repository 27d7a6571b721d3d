package argform

import (
	"encoding/json"
	"errors"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/claimcheck-go/claimcheck/internal/timearg"
	"github.com/claimcheck-go/claimcheck/server/internal/lang"
)

// Args returns the arguments that the form says. If there is a problem, it is at its
// field, and Wrong is set.
func (f *Form) Args() json.RawMessage {
	text := f.value(f.Root)
	if text == "" && !f.Wrong { // there is no member to leave out
		text = "null"
	}
	return json.RawMessage(text)
}

// wrong notes a problem at a field.
func (f *Form) wrong(field *Field, problem lang.Text) string {
	field.Wrong, f.Wrong = f.p.Text(problem), true
	return ""
}

// value is the JSON of a field; empty if it is left out or wrong.
func (f *Form) value(field *Field) string {
	text := f.plain(field)
	if field.shape.quoted && text != "" && text != "null" {
		return quote(text)
	}
	return text
}

// plain is value before it is put into a string.
func (f *Form) plain(field *Field) string {
	switch field.Kind {
	case Object:
		if !field.Present {
			return f.empty(field, "")
		}
		return f.object(field)
	case List, Map:
		return f.several(field)
	}
	text := field.Text
	if field.Kind != Text {
		text = strings.TrimSpace(text)
	}
	if text == "" {
		return f.empty(field, `""`)
	}
	switch field.Kind {
	case Number:
		return f.number(field, text)
	case Time:
		return f.time(field, text)
	case Boolean, Choice:
		if !slices.ContainsFunc(field.Choices, func(o Option) bool { return o.Value == text }) {
			return f.wrong(field, lang.M("Choose one of the options."))
		}
		return text
	case JSON:
		if problem := BadJSON(text); !problem.IsEmpty() {
			return f.wrong(field, problem)
		}
		return text
	}
	return f.text(field, text)
}

// empty is the JSON of a field without a value.
func (f *Form) empty(field *Field, value string) string {
	switch field.Empty {
	case EmptyValue:
		if value == `""` {
			return f.text(field, "")
		}
		return value
	case Null:
		return "null"
	case Missing:
		return f.wrong(field, lang.M("This is required."))
	}
	return ""
}

func (f *Form) text(field *Field, text string) string {
	s, n := field.shape.schema, uint64(max(0, utf8.RuneCountInString(text)))
	switch pattern, err := regexp.Compile(s.Pattern); {
	case s.MinLength != nil && n < *s.MinLength:
		return f.wrong(field, lang.M("Use at least %d characters.", *s.MinLength))
	case s.MaxLength != nil && n > *s.MaxLength:
		return f.wrong(field, lang.M("Use at most %d characters.", *s.MaxLength))
	case err == nil && !pattern.MatchString(text):
		return f.wrong(field, lang.M("This must match %s.", s.Pattern))
	}
	return quote(text)
}

var (
	numeral = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?$`)
	whole   = regexp.MustCompile(`^-?(0|[1-9][0-9]*)$`)
)

func (f *Form) number(field *Field, text string) string {
	s := field.shape.schema
	switch {
	case field.shape.integer && !whole.MatchString(text):
		return f.wrong(field, lang.M("Enter a whole number."))
	case !numeral.MatchString(text):
		return f.wrong(field, lang.M("Enter a number, such as 12 or -0.5."))
	}
	n, _ := new(big.Rat).SetString(text)
	for _, bound := range []struct {
		at      json.Number
		outside func(compared int) bool
		says    lang.Text
	}{
		{s.Minimum, func(c int) bool { return c < 0 }, lang.M("This must be at least %s.", s.Minimum)},
		{s.Maximum, func(c int) bool { return c > 0 }, lang.M("This must be at most %s.", s.Maximum)},
		{s.ExclusiveMinimum, func(c int) bool { return c <= 0 }, lang.M("This must be more than %s.", s.ExclusiveMinimum)},
		{s.ExclusiveMaximum, func(c int) bool { return c >= 0 }, lang.M("This must be less than %s.", s.ExclusiveMaximum)},
	} {
		if limit, ok := new(big.Rat).SetString(bound.at.String()); ok && bound.outside(n.Cmp(limit)) {
			return f.wrong(field, bound.says)
		}
	}
	return text
}

func (f *Form) time(field *Field, text string) string {
	if _, err := time.Parse(time.RFC3339, text); err == nil {
		return quote(text)
	}
	at, ok := timearg.Time(text)
	if !ok {
		return f.wrong(field, lang.M("Enter a time in UTC, such as 2026-01-31 15:04, or with its zone: 2026-01-31T15:04:05+02:00."))
	}
	return quote(at.UTC().Format(time.RFC3339Nano))
}

func (f *Form) object(field *Field) string {
	var members []string
	for _, part := range field.Parts {
		if text := f.value(part); text != "" {
			members = append(members, quote(part.member)+":"+text)
		}
	}
	if field.Rest != "" {
		rest, ok := membersOf(json.RawMessage(field.Rest))
		if problem := BadJSON(field.Rest); !problem.IsEmpty() {
			return f.wrong(field, lang.M("Other members must be one JSON object. %s", problem))
		}
		if !ok {
			return f.wrong(field, lang.M("Other members must be one JSON object."))
		}
		for _, m := range rest {
			if slices.ContainsFunc(field.Parts, func(part *Field) bool { return part.member == m.name }) {
				return f.wrong(field, lang.M("Other members have %.100q, which has its own field.", m.name))
			}
			members = append(members, quote(m.name)+":"+string(m.value))
		}
	}
	return "{" + strings.Join(members, ",") + "}"
}

// several is the JSON of a list or a map.
func (f *Form) several(field *Field) string {
	begin, end := "[", "]"
	if field.Kind == Map {
		begin, end = "{", "}"
	}
	if len(field.Parts) == 0 {
		if field.Empty != EmptyValue {
			return f.empty(field, "")
		}
	}
	var parts []string
	for _, part := range field.Parts {
		text := f.value(part)
		if part.Keyed {
			text = f.key(field, part) + ":" + text
		}
		parts = append(parts, text)
	}
	s, n := field.shape.schema, uint64(len(parts))
	switch {
	case s.MinItems != nil && n < *s.MinItems:
		return f.wrong(field, lang.M("Add at least %d.", *s.MinItems))
	case s.MaxItems != nil && n > *s.MaxItems:
		return f.wrong(field, lang.M("Keep at most %d.", *s.MaxItems))
	}
	return begin + strings.Join(parts, ",") + end
}

// key is the key of a value of a map, which no value before it has.
func (f *Form) key(field, part *Field) string {
	names := field.shape.schema.PropertyNames
	for _, other := range field.Parts {
		if other == part {
			break
		}
		if other.Key == part.Key {
			part.KeyWrong, f.Wrong = f.p.T("Another value has this key."), true
		}
	}
	if names != nil {
		if pattern, err := regexp.Compile(names.Pattern); err == nil && !pattern.MatchString(part.Key) {
			part.KeyWrong, f.Wrong = f.p.T("Enter a whole number."), true
			if names.Pattern == "" || !strings.Contains(names.Pattern, "0-9") {
				part.KeyWrong = f.p.T("This must match %s.", names.Pattern)
			}
		}
	}
	return quote(part.Key)
}

// Refused puts the refusal of arguments to the field that it is about: path is what the
// decoder calls it, with a dot between members. It reports whether there is such a field.
func (f *Form) Refused(path, problem string) bool {
	field := f.Root
	for _, step := range strings.Split(path, ".") {
		for field.Kind == List && len(field.Parts) > 0 { // which item is not said
			field = field.Parts[0]
		}
		i := slices.IndexFunc(field.Parts, func(part *Field) bool { return part.member == step || part.Keyed && part.Key == step })
		if i < 0 {
			return false
		}
		field = field.Parts[i]
	}
	if field == f.Root || strings.Contains(field.Name, "/0") {
		return false
	}
	f.wrong(field, lang.Verbatim(problem))
	return true
}

// BadJSON says where a text stops being JSON; the zero Text if it is.
func BadJSON(text string) lang.Text {
	var syntax *json.SyntaxError
	var ignored json.RawMessage
	err := json.Unmarshal([]byte(text), &ignored)
	if err == nil {
		return lang.Text{}
	}
	if !errors.As(err, &syntax) {
		return lang.Verbatim(err.Error())
	}
	before := text[:min(len(text), max(0, int(syntax.Offset)-1))]
	line := strings.Count(before, "\n") + 1
	column := utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:]) + 1
	return lang.M("This is not JSON: %s (line %s, column %s).", syntax.Error(), strconv.Itoa(line), strconv.Itoa(column))
}
