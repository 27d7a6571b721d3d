package argschema

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/invopop/jsonschema"

	"github.com/claimcheck-go/claimcheck/queue/internal/jsonvalue"
)

// describesItself is a type that provides its schema.
type describesItself interface{ JSONSchema() *jsonschema.Schema }

// known are types whose kind does not say what encoding/json makes of them.
var known = map[reflect.Type]func() *jsonschema.Schema{
	reflect.TypeFor[time.Time]():       func() *jsonschema.Schema { return &jsonschema.Schema{Type: "string", Format: "date-time"} },
	reflect.TypeFor[uuid.UUID]():       func() *jsonschema.Schema { return &jsonschema.Schema{Type: "string", Format: "uuid"} },
	reflect.TypeFor[json.RawMessage](): func() *jsonschema.Schema { return &jsonschema.Schema{} },
	reflect.TypeFor[json.Number](): func() *jsonschema.Schema {
		return &jsonschema.Schema{Extras: map[string]any{"type": []string{"number", "string"}}}
	},
	reflect.TypeFor[time.Duration](): func() *jsonschema.Schema {
		return &jsonschema.Schema{Type: "integer", Description: "Nanoseconds."}
	},
}

// value is the schema of a type: a reference if it is a struct with a name.
func (s *Set) value(t reflect.Type) *jsonschema.Schema {
	if t.Kind() != reflect.Struct || t.Name() == "" || !s.plain(t) {
		return s.expanded(t)
	}
	name, ok := s.names[t]
	if !ok {
		name = s.name(t)
		s.names[t] = name
		s.Definitions[name] = nil // taken, while its parts are described
		s.Definitions[name] = s.expanded(t)
	}
	return &jsonschema.Schema{Ref: s.prefix + name}
}

// plain reports whether the kind of a type says how it is decoded.
func (s *Set) plain(t reflect.Type) bool {
	fromJSON, fromText := jsonvalue.OwnDecoding(t)
	return known[t] == nil && !fromJSON && !fromText && !reflect.PointerTo(t).Implements(reflect.TypeFor[describesItself]())
}

// name is a free name for the definition of a type.
func (s *Set) name(t reflect.Type) string {
	base := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' {
			return r
		}
		return '_'
	}, t.Name())
	name := base
	for n := 2; ; n++ {
		if _, taken := s.Definitions[name]; !taken {
			return name
		}
		name = base + strconv.Itoa(n)
	}
}

// expanded is the schema of a type, without a reference for the type itself.
func (s *Set) expanded(t reflect.Type) *jsonschema.Schema {
	if t.Kind() == reflect.Pointer {
		if fromJSON, fromText := jsonvalue.OwnDecoding(t); !fromJSON && !fromText {
			return nullable(s.value(t.Elem()))
		}
	}
	if own := ofItself(t); own != nil {
		return own
	}
	if describe, ok := known[t]; ok {
		return describe()
	}
	switch fromJSON, fromText := jsonvalue.OwnDecoding(t); {
	case fromJSON: // it alone knows what it accepts
		return &jsonschema.Schema{}
	case fromText:
		return &jsonschema.Schema{Type: "string"}
	}
	return s.ofKind(t)
}

// ofItself is the schema that a type gives itself; nil: it gives none.
func ofItself(t reflect.Type) (schema *jsonschema.Schema) {
	own, ok := reflect.New(t).Interface().(describesItself)
	if !ok {
		return nil
	}
	defer func() {
		if recover() != nil { // its zero value has no schema: anything may be right
			schema = &jsonschema.Schema{}
		}
	}()
	given := own.JSONSchema()
	if given == nil {
		return &jsonschema.Schema{}
	}
	copied := *given // it is extended, and may be the same for all values
	copied.Version, copied.Extras = "", maps.Clone(given.Extras)
	return &copied
}

// ofKind is the schema of a type that is decoded by its kind.
func (s *Set) ofKind(t reflect.Type) *jsonschema.Schema {
	switch t.Kind() {
	case reflect.Bool:
		return &jsonschema.Schema{Type: "boolean"}
	case reflect.String:
		return &jsonschema.Schema{Type: "string"}
	case reflect.Float32, reflect.Float64:
		return &jsonschema.Schema{Type: "number"}
	case reflect.Int8, reflect.Int16, reflect.Int32:
		bits := t.Bits() - 1
		return integer(-1<<bits, 1<<bits-1)
	case reflect.Uint8, reflect.Uint16, reflect.Uint32:
		return integer(0, 1<<t.Bits()-1)
	case reflect.Uint, reflect.Uint64, reflect.Uintptr:
		return &jsonschema.Schema{Type: "integer", Minimum: "0"}
	case reflect.Int, reflect.Int64:
		return &jsonschema.Schema{Type: "integer"}
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return nullable(&jsonschema.Schema{Type: "string", ContentEncoding: "base64"})
		}
		return nullable(&jsonschema.Schema{Type: "array", Items: s.value(t.Elem())})
	case reflect.Array: // of any length: the rest is zero, or ignored
		return &jsonschema.Schema{Type: "array", Items: s.value(t.Elem())}
	case reflect.Map:
		return nullable(s.ofMap(t))
	case reflect.Struct:
		return s.ofStruct(t)
	}
	return &jsonschema.Schema{}
}

func integer(least, most int64) *jsonschema.Schema {
	number := func(n int64) json.Number { return json.Number(strconv.FormatInt(n, 10)) }
	return &jsonschema.Schema{Type: "integer", Minimum: number(least), Maximum: number(most)}
}

func (s *Set) ofMap(t reflect.Type) *jsonschema.Schema {
	schema := &jsonschema.Schema{Type: "object", AdditionalProperties: s.value(t.Elem())}
	if _, fromText := jsonvalue.OwnDecoding(t.Key()); fromText {
		return schema
	}
	switch t.Key().Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		schema.PropertyNames = &jsonschema.Schema{Pattern: "^[+-]?[0-9]+$"}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		schema.PropertyNames = &jsonschema.Schema{Pattern: "^[0-9]+$"}
	}
	return schema
}

func (s *Set) ofStruct(t reflect.Type) *jsonschema.Schema {
	schema := &jsonschema.Schema{Type: "object", Properties: jsonschema.NewProperties()}
	for _, f := range jsonvalue.Fields(t) {
		tags := tagsOf(f.Tag)
		if tags.hidden {
			continue
		}
		member := s.member(f, tags)
		if f.Omits {
			member = with(member, Optional, true)
		}
		if tags.required {
			schema.Required = append(schema.Required, f.Name)
		}
		schema.Properties.Set(f.Name, member)
	}
	return schema
}

// member is the schema of a field.
func (s *Set) member(f jsonvalue.Field, tags tags) *jsonschema.Schema {
	if f.Quoted {
		return s.quoted(f.Type, tags)
	}
	member := s.value(f.Type)
	if tags.nullable {
		member = nullable(member)
	}
	return tags.apply(member)
}

// quoted is the schema of a field that encoding/json writes as a string of JSON, which the
// tags of the field are about.
func (s *Set) quoted(t reflect.Type, tags tags) *jsonschema.Schema {
	null := tags.nullable
	if t.Kind() == reflect.Pointer {
		t, null = t.Elem(), true
	}
	content := tags.apply(s.value(t))
	member := &jsonschema.Schema{Type: "string", Title: content.Title, Description: content.Description, ContentMediaType: "application/json", ContentSchema: content}
	content.Title, content.Description = "", ""
	if null {
		return nullable(member)
	}
	return member
}

// with returns a schema with one more keyword.
func with(schema *jsonschema.Schema, keyword string, value any) *jsonschema.Schema {
	if schema.Extras == nil {
		schema.Extras = make(map[string]any)
	}
	schema.Extras[keyword] = value
	return schema
}

// nullable returns a schema that accepts null too.
func nullable(schema *jsonschema.Schema) *jsonschema.Schema {
	if Nullable(schema) {
		return schema
	}
	if schema.Type != "" && schema.Enum == nil && schema.Const == nil {
		own := schema.Type
		schema.Type = ""
		return with(schema, "type", []string{own, "null"})
	}
	return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{schema, {Type: "null"}}}
}

// Types returns the types that a schema names, as in string and null; none: any.
func Types(schema *jsonschema.Schema) []string {
	if schema.Type != "" {
		return []string{schema.Type}
	}
	types, _ := schema.Extras["type"].([]string)
	return types
}

// Nullable reports whether a schema accepts null.
func Nullable(schema *jsonschema.Schema) bool {
	if types := Types(schema); types != nil {
		return slices.Contains(types, "null")
	}
	for _, either := range [][]*jsonschema.Schema{schema.AnyOf, schema.OneOf} {
		if either != nil {
			return slices.ContainsFunc(either, Nullable)
		}
	}
	return schema.Ref == "" && schema.AllOf == nil && schema.Enum == nil && schema.Const == nil && schema.Not == nil
}
