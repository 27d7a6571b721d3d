package argschema

import (
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/invopop/jsonschema"
)

// tags are the tags of a field that concern its schema.
type tags struct {
	hidden, required, nullable bool
	more                       bool // there are others
	field                      reflect.StructTag
}

func tagsOf(field reflect.StructTag) tags {
	words := strings.Split(field.Get("jsonschema"), ",")
	_, described := field.Lookup("jsonschema_description")
	_, extras := field.Lookup("jsonschema_extras")
	return tags{
		hidden: words[0] == "-", required: slices.Contains(words, "required"), nullable: slices.Contains(words, "nullable"),
		more: words[0] != "" || described || extras, field: field,
	}
}

// standIns are types with the keywords of a schema's type, to which the tags of a field
// are applied.
var standIns = map[string]reflect.Type{
	"string": reflect.TypeFor[string](), "integer": reflect.TypeFor[int64](), "number": reflect.TypeFor[float64](), "boolean": reflect.TypeFor[bool](),
}

func standIn(schema *jsonschema.Schema) reflect.Type {
	for _, name := range Types(schema) {
		if t, ok := standIns[name]; ok {
			return t
		}
		if name == "array" && schema.Items != nil {
			return reflect.SliceOf(standIn(schema.Items))
		}
	}
	return reflect.TypeFor[any]()
}

// apply returns the schema of a field with what its tags say. The package jsonschema reads
// them, for a field of the same tags and a simple type: it takes structs, embedded ones
// above all, otherwise than encoding/json does.
func (t tags) apply(member *jsonschema.Schema) *jsonschema.Schema {
	if !t.more {
		return member
	}
	stand := standIn(member)
	tag := `json:"v"`
	for _, name := range []string{"jsonschema", "jsonschema_description", "jsonschema_extras"} {
		if text, ok := t.field.Lookup(name); ok {
			tag += " " + name + ":" + strconv.Quote(text)
		}
	}
	holder := reflect.StructOf([]reflect.StructField{{Name: "V", Type: stand, Tag: reflect.StructTag(tag)}})
	reflector := jsonschema.Reflector{Anonymous: true, DoNotReference: true, RequiredFromJSONSchemaTags: true}
	said, ok := reflector.ReflectFromType(holder).Properties.Get("v")
	if !ok {
		return member
	}
	if t.nullable { // which wraps it
		said = said.OneOf[0]
	}
	if untagged := reflector.ReflectFromType(stand); said.Type != untagged.Type { // a tag chooses the type
		member.Type, member.Ref, member.AnyOf, member.Items = said.Type, "", nil, nil
		delete(member.Extras, "type")
		if t.nullable && said.Type != "" {
			member = nullable(member)
		}
	}
	overlay(member, said)
	return member
}

// overlay copies the keywords that tags have.
func overlay(member, said *jsonschema.Schema) {
	accepts := Nullable(member)
	if said.Description != "" {
		member.Description = said.Description
	}
	member.Title, member.Default, member.Examples = said.Title, said.Default, said.Examples
	member.MinLength, member.MaxLength, member.Pattern = said.MinLength, said.MaxLength, said.Pattern
	member.MinItems, member.MaxItems, member.UniqueItems = said.MinItems, said.MaxItems, said.UniqueItems
	member.MultipleOf, member.ExclusiveMinimum, member.ExclusiveMaximum = said.MultipleOf, said.ExclusiveMinimum, said.ExclusiveMaximum
	member.ReadOnly, member.WriteOnly = said.ReadOnly, said.WriteOnly
	if said.Minimum != "" {
		member.Minimum = said.Minimum
	}
	if said.Maximum != "" {
		member.Maximum = said.Maximum
	}
	if said.Format != "" {
		member.Format = said.Format
	}
	if said.OneOf != nil {
		member.OneOf = said.OneOf
	}
	if said.AnyOf != nil && member.Ref == "" {
		member.AnyOf = said.AnyOf
	}
	if member.Enum = said.Enum; said.Enum != nil && accepts {
		member.Enum = append(member.Enum, nil)
	}
	for keyword, value := range said.Extras {
		with(member, keyword, value)
	}
	if member.Items != nil && said.Items != nil && member.Items.Ref == "" {
		overlay(member.Items, said.Items)
	}
}
