// Package argform makes a form of the JSON Schema of a task's arguments, and arguments of
// what was typed into it. All of the form's state is in its fields, so that it works
// without JavaScript: buttons that add and remove parts send the form, and get it back.
package argform

import (
	"encoding/json"
	"html/template"
	"slices"
	"strconv"
	"strings"

	"github.com/invopop/jsonschema"

	"github.com/claimcheck-go/claimcheck/queue/argschema"
	"github.com/claimcheck-go/claimcheck/server/internal/lang"
)

// Kind says how a field is filled in.
type Kind string

// The kinds of fields.
const (
	Text    Kind = "text"
	Number  Kind = "number"
	Boolean Kind = "boolean"
	Choice  Kind = "choice"
	Time    Kind = "time"
	JSON    Kind = "json"   // anything else, as JSON
	Object  Kind = "object" // Parts are its members
	List    Kind = "list"   // Parts are its items
	Map     Kind = "map"    // Parts are its values, which have keys
)

// What an empty field means.
const (
	EmptyValue = ""     // the empty text or list
	Omitted    = "omit" // its member is left out
	Null       = "null"
	Missing    = "missing" // it must be filled in
)

// Root is the name of the form's first field.
const Root = "args"

// MaxFields bounds a form: what has more is edited as JSON.
const MaxFields = 400

// Field is a field of the form, with its parts.
type Field struct {
	Name  string // in what the form sends
	ID    string // in the page
	Label string
	Named bool   // the label is a name, and not in the reader's language
	Hint  string // the schema's description
	Kind  Kind
	Text  string // as it was typed; of a Choice the JSON of the value
	Long  bool   // the text has several lines
	// Empty is what the field means when it is empty, one of Empties.
	Empty   string
	Empties []string
	Choices []Option
	Present bool // of an Object: it has a value
	Fixed   bool // of an Object: it always has
	Parts   []*Field
	// Key is the key of a value in a Map, as it was typed.
	Key, KeyWrong string
	Keyed         bool
	Removable     bool
	Rest          string // members of an Object that the schema does not have, as JSON
	Focus         bool   // it was just added
	Wrong         string

	member string
	shape  shape
}

// Option is a value of a Choice.
type Option struct{ Value, Label string }

// Form is a form for arguments.
type Form struct {
	Root  *Field
	Wrong bool // some field is
	Large bool // it has more than MaxFields, so that not all are there

	definitions jsonschema.Definitions
	p           *lang.Printer // of labels and problems
	fields      int
}

// New returns the form of a schema with nothing filled in, but for the defaults of the
// schema. Of arguments without a structure, which are edited as JSON, it is nil. Labels and
// problems are in the language of p.
func New(schema *jsonschema.Schema, p *lang.Printer) *Form {
	f := &Form{definitions: schema.Definitions, p: p}
	root := f.shape(schema)
	if root.kind == JSON {
		return nil
	}
	f.Root = f.field(Root, p.T("Arguments"), schema, place{})
	return f
}

// place is where a field is.
type place struct {
	member, optional, required bool // of an object
}

// shape is what a schema says of the form.
type shape struct {
	kind     Kind
	schema   *jsonschema.Schema // without references and null
	hint     string
	title    string
	nullable bool
	integer  bool
	quoted   bool // the value is in a string, as JSON
	place    place
}

// shape resolves a schema.
func (f *Form) shape(schema *jsonschema.Schema) (s shape) {
	s.schema = schema
	for range 16 { // a reference to itself ends
		if s.title == "" {
			s.title = s.schema.Title
		}
		if s.hint == "" {
			s.hint = s.schema.Description
		}
		either := s.schema.AnyOf
		if either == nil {
			either = s.schema.OneOf
		}
		if i := slices.IndexFunc(either, func(one *jsonschema.Schema) bool { return one.Type == "null" }); len(either) == 2 && i >= 0 {
			s.schema, s.nullable = either[1-i], true
			continue
		}
		name, isRef := strings.CutPrefix(s.schema.Ref, "#/$defs/")
		if definition := f.definitions[name]; isRef && definition != nil {
			s.schema = definition
			continue
		}
		if content := s.schema.ContentSchema; content != nil && s.schema.ContentMediaType == "application/json" && !s.quoted {
			s.nullable, s.quoted = s.nullable || argschema.Nullable(s.schema), true
			s.schema = content
			continue
		}
		break
	}
	types := slices.DeleteFunc(slices.Clone(argschema.Types(s.schema)), func(t string) bool { return t == "null" })
	s.nullable = s.nullable || !s.quoted && argschema.Nullable(s.schema)
	s.kind = kindOf(s.schema, types)
	s.integer = len(types) == 1 && types[0] == "integer"
	return s
}

func kindOf(schema *jsonschema.Schema, types []string) Kind {
	complicated := schema.Ref != "" || schema.AnyOf != nil || schema.OneOf != nil || schema.AllOf != nil || schema.Not != nil || schema.Const != nil || schema.If != nil
	switch {
	case complicated:
		return JSON
	case schema.Enum != nil:
		return Choice
	case slices.Equal(types, []string{"number", "string"}): // a json.Number
		return Number
	case len(types) != 1:
		return JSON
	}
	switch types[0] {
	case "string":
		if schema.Format == "date-time" {
			return Time
		}
		return Text
	case "integer", "number":
		return Number
	case "boolean":
		return Boolean
	case "array":
		if schema.Items != nil {
			return List
		}
	case "object":
		if schema.Properties != nil {
			return Object
		}
		if schema.AdditionalProperties != nil {
			return Map
		}
	}
	return JSON
}

// field returns an empty field for a schema.
func (f *Form) field(name, label string, schema *jsonschema.Schema, at place) *Field {
	f.fields++
	s := f.shape(schema)
	s.place = at
	field := &Field{Name: name, Label: label, Named: at.member, Hint: s.hint, Kind: s.kind, shape: s}
	if s.title != "" && at.member {
		field.Label = s.title
	}
	field.Empties = s.empties()
	field.Empty = field.Empties[0]
	usual := schema.Default
	if s.quoted {
		usual = s.schema.Default
	}
	if text, err := json.Marshal(usual); err == nil && usual != nil && s.kind != Object {
		f.fillPlain(field, text)
	}
	switch s.kind {
	case Object:
		field.Fixed = !s.nullable && !at.optional
		if field.Fixed {
			f.open(field)
		}
	case Choice:
		for _, value := range s.schema.Enum {
			if value == nil {
				continue // one of Empties
			}
			text, _ := json.Marshal(value)
			option := Option{Value: string(text), Label: string(text)}
			if label, ok := value.(string); ok {
				option.Label = label
			}
			field.Choices = append(field.Choices, option)
		}
	case Boolean:
		field.Choices = []Option{{"true", "true"}, {"false", "false"}}
	}
	return field
}

// empties are what an empty field may mean, the usual one first.
func (s shape) empties() (meanings []string) {
	at := s.place
	number := s.kind == Number || s.kind == Time || s.kind == Choice
	if at.optional || at.member && !at.required && (number && !s.nullable || s.kind == JSON) {
		meanings = append(meanings, Omitted)
	}
	several := s.kind == List || s.kind == Map
	written := (several || s.kind == Text) && (s.nullable || !at.optional)
	if written && several { // what Go makes of a list to which nothing was added
		meanings = append(meanings, EmptyValue)
	}
	if s.nullable && s.kind != JSON { // there it is written
		meanings = append(meanings, Null)
	}
	if written && !several {
		meanings = append(meanings, EmptyValue)
	}
	if len(meanings) == 0 {
		meanings = []string{Missing}
	}
	return meanings
}

// open gives an object its members.
func (f *Form) open(field *Field) {
	field.Present = true
	if len(field.Parts) > 0 {
		return
	}
	s := field.shape.schema
	for pair := s.Properties.Oldest(); pair != nil; pair = pair.Next() {
		optional, _ := pair.Value.Extras[argschema.Optional].(bool)
		required := slices.Contains(s.Required, pair.Key)
		part := f.field(field.Name+"/"+escape(pair.Key), pair.Key, pair.Value, place{member: true, optional: optional && !required, required: required})
		part.member = pair.Key
		field.Parts = append(field.Parts, part)
	}
}

// grow adds a part to a list or a map.
func (f *Form) grow(field *Field) *Field {
	n := strconv.Itoa(len(field.Parts))
	schema := field.shape.schema.Items
	if field.Kind == Map {
		schema = field.shape.schema.AdditionalProperties
	}
	part := f.field(field.Name+"/"+n, f.item(len(field.Parts)), schema, place{})
	part.Removable = true
	if part.Keyed = field.Kind == Map; part.Keyed {
		part.Label = f.p.T("Value")
	}
	field.Parts = append(field.Parts, part)
	return part
}

// item is the label of the item of a list.
func (f *Form) item(i int) string { return f.p.T("Item %d", i+1) }

// escape is a member's name in the name of a field, as a JSON pointer has it.
func escape(member string) string { return strings.NewReplacer("~", "~0", "/", "~1").Replace(member) }

// Shown returns the form's first field, for a page: all fields have IDs then.
func (f *Form) Shown() *Field {
	n := 0
	var walk func(*Field)
	walk = func(field *Field) {
		field.ID = "a" + strconv.Itoa(n)
		n++
		for _, part := range field.Parts {
			walk(part)
		}
	}
	walk(f.Root)
	return f.Root
}

// Several reports whether it has to be said what the field means when it is empty.
func (field *Field) Several() bool { return len(field.Empties) > 1 }

// Marks are the attributes that tell a browser of what the page says about the field.
func (field *Field) Marks() template.HTMLAttr {
	var ids, marks []string
	if field.Hint != "" {
		ids = append(ids, field.ID+"-h")
	}
	if field.Wrong != "" {
		ids = append(ids, field.ID+"-w")
		marks = append(marks, `aria-invalid="true"`)
	}
	if len(ids) > 0 {
		marks = append(marks, `aria-describedby="`+strings.Join(ids, " ")+`"`)
	}
	if field.Focus && !field.Keyed {
		marks = append(marks, "autofocus")
	}
	return template.HTMLAttr(strings.Join(marks, " ")) //nolint:gosec // Shown has made the IDs
}
