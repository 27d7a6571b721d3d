package jsonvalue

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/agnivade/levenshtein"
)

// field is a field of a struct as encoding/json sees it.
type field struct {
	name   string
	typ    reflect.Type
	tag    reflect.StructTag
	depth  int
	tagged bool
}

// Field is a field of a struct, for what describes the type.
type Field struct {
	Name string // in JSON
	Type reflect.Type
	Tag  reflect.StructTag
	// Omits says that encoding/json leaves the field out when it is empty, and Quoted
	// that it writes the value as a string.
	Omits, Quoted bool
}

// Fields returns the fields that encoding/json writes and reads of a struct, promoted
// ones included, in their order.
func Fields(t reflect.Type) []Field {
	all := fieldsOf(t)
	fields := make([]Field, len(all))
	for i, f := range all {
		_, text, _ := strings.Cut(f.tag.Get("json"), ",")
		options := strings.Split(text, ",")
		omits := slices.Contains(options, "omitempty") || slices.Contains(options, "omitzero")
		fields[i] = Field{f.name, f.typ, f.tag, omits, slices.Contains(options, "string") && canBeQuoted(f.typ)}
	}
	return fields
}

// canBeQuoted reports whether the tag's option string applies to a type.
func canBeQuoted(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer && t.Name() == "" {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.Bool, reflect.String, reflect.Float32, reflect.Float64,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return true
	}
	return false
}

type fields []field

var fieldCache sync.Map // reflect.Type → fields

// fieldsOf returns the fields that encoding/json writes and reads of a struct,
// promoted ones included.
func fieldsOf(t reflect.Type) fields {
	if known, ok := fieldCache.Load(t); ok {
		return known.(fields)
	}
	var all, visible fields
	collectFields(t, 0, nil, &all)
	for _, f := range all {
		if f.dominates(all) {
			visible = append(visible, f)
		}
	}
	fieldCache.Store(t, visible)
	return visible
}

func collectFields(t reflect.Type, depth int, above []reflect.Type, all *fields) {
	if slices.Contains(above, t) {
		return
	}
	above = append(above, t)
	for i := range t.NumField() {
		f := t.Field(i)
		tag := f.Tag.Get("json")
		if tag == "-" {
			continue
		}
		name, _, _ := strings.Cut(tag, ",")
		embedded := f.Type
		if embedded.Kind() == reflect.Pointer {
			embedded = embedded.Elem()
		}
		switch {
		case f.Anonymous && name == "" && embedded.Kind() == reflect.Struct:
			collectFields(embedded, depth+1, above, all)
		case f.IsExported():
			*all = append(*all, field{name: fieldName(f), typ: f.Type, tag: f.Tag, depth: depth, tagged: name != ""})
		}
	}
}

// dominates applies the rule of Go and encoding/json for fields of one name: the
// shallowest wins, of several the only one with a tag, and otherwise none.
func (f field) dominates(all fields) bool {
	for _, other := range all {
		if other == f || other.name != f.name {
			continue
		}
		if other.depth < f.depth || other.depth == f.depth && (other.tagged || !f.tagged) {
			return false
		}
	}
	// Two that are equal in everything exclude each other as well.
	return all.count(f) == 1
}

func (all fields) count(f field) (n int) {
	for _, other := range all {
		if other == f {
			n++
		}
	}
	return n
}

// find looks a key up as encoding/json does: exactly, or else ignoring case.
func (all fields) find(key string) (field, bool) {
	for _, f := range all {
		if f.name == key {
			return f, true
		}
	}
	for _, f := range all {
		if strings.EqualFold(f.name, key) {
			return f, true
		}
	}
	return field{}, false
}

// suggestion names the fields that were probably meant, or else those that exist.
func (all fields) suggestion(key string) string {
	if len(all) == 0 {
		return "no fields are accepted here"
	}
	var near, names []string
	for _, f := range all {
		names = append(names, f.name)
		if isNear(key, f.name) {
			near = append(near, f.name)
		}
	}
	if len(near) > 0 {
		return "did you mean " + strings.Join(near, " or ") + "?"
	}
	const limit = 10
	if rest := len(names) - limit; rest > 0 {
		names = append(names[:limit], fmt.Sprintf("and %d more", rest))
	}
	return "accepted: " + strings.Join(names, ", ")
}

// isNear reports whether name is probably a misspelt known: a quarter of its
// letters may differ, and case, "_" and "-" do not count.
func isNear(name, known string) bool {
	if len(name) > 2*len(known)+2 {
		return false
	}
	letters := strings.NewReplacer("_", "", "-", "")
	a, b := letters.Replace(strings.ToLower(name)), letters.Replace(strings.ToLower(known))
	return levenshtein.ComputeDistance(a, b) <= 1+len(b)/4
}

// LostField returns the path of a part of t that has fields and loses all of
// them in JSON, since none is exported; empty if there is no such part. path is
// that of t.
func LostField(path string, t reflect.Type) string { return lostField(path, t, nil) }

func lostField(path string, t reflect.Type, above []reflect.Type) string {
	if slices.Contains(above, t) || encodesItself(t) || decodesItself(t) {
		return ""
	}
	above = append(above, t)
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		return lostField(path, t.Elem(), above)
	case reflect.Struct:
		visible := fieldsOf(t)
		if len(visible) == 0 && hasHiddenField(t) {
			return path
		}
		for _, f := range visible {
			if lost := lostField(path+"."+f.name, f.typ, above); lost != "" {
				return lost
			}
		}
	default:
	}
	return ""
}

// hasHiddenField reports whether a struct has a field that only its package sees.
func hasHiddenField(t reflect.Type) bool {
	for i := range t.NumField() {
		if f := t.Field(i); !f.IsExported() && f.Name != "_" && f.Tag.Get("json") != "-" {
			return true
		}
	}
	return false
}

// OwnDecoding reports whether t decodes itself, from any JSON or only from strings.
func OwnDecoding(t reflect.Type) (fromJSON, fromText bool) {
	p := reflect.PointerTo(t)
	return p.Implements(reflect.TypeFor[json.Unmarshaler]()), p.Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// decodesItself reports whether t has its own decoding, which alone knows what
// it accepts.
func decodesItself(t reflect.Type) bool {
	return implements(t, reflect.TypeFor[json.Unmarshaler](), reflect.TypeFor[encoding.TextUnmarshaler]())
}

// encodesItself reports whether t has its own encoding.
func encodesItself(t reflect.Type) bool {
	return implements(t, reflect.TypeFor[json.Marshaler](), reflect.TypeFor[encoding.TextMarshaler]())
}

// implements reports whether t is an interface, or a pointer to t implements one
// of the given ones.
func implements(t reflect.Type, interfaces ...reflect.Type) bool {
	return t.Kind() == reflect.Interface || slices.ContainsFunc(interfaces, reflect.PointerTo(t).Implements)
}
