package queue

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
)

// StrictArgs makes Enqueue refuse arguments with fields that the task's type
// does not have, at any depth: encoding/json ignores them, so a misspelt field
// runs with its zero value. Config.StrictArgs does it for every task; without
// either, Handle.Warnings lists the fields. Maps, interfaces, json.RawMessage
// and types with an UnmarshalJSON or UnmarshalText of their own accept every
// field. Rows that are stored already are not checked again when they run, so
// that a version whose type has lost a field still runs the rows of an older one.
// It belongs to NewTask or Declare.
func StrictArgs() Option { return func(o *options) { o.strictArgs = true } }

// maxUnknownFields bounds how many unknown fields one enqueue reports.
const maxUnknownFields = 5

// unknownFields describes the fields in data, a valid JSON value, that decoding
// into t ignores. name is what the value is called in the paths.
func unknownFields(name string, t reflect.Type, data json.RawMessage) []string {
	w := &unknownWalk{}
	w.value(name, t, data)
	return w.found
}

type unknownWalk struct{ found []string }

func (w *unknownWalk) value(path string, t reflect.Type, data json.RawMessage) {
	for t.Kind() == reflect.Pointer && !decodesItself(t) {
		t = t.Elem()
	}
	if len(w.found) == maxUnknownFields || len(data) == 0 || decodesItself(t) {
		return
	}
	switch t.Kind() {
	case reflect.Struct:
		eachMember(data, func(key string, value json.RawMessage) { w.member(path, t, key, value) })
	case reflect.Map:
		eachMember(data, func(key string, value json.RawMessage) { w.value(path+"."+shortName(key), t.Elem(), value) })
	case reflect.Slice, reflect.Array:
		eachElement(data, func(i int, value json.RawMessage) {
			w.value(fmt.Sprintf("%s[%d]", path, i), t.Elem(), value)
		})
	default:
	}
}

func (w *unknownWalk) member(path string, t reflect.Type, key string, value json.RawMessage) {
	fields := jsonFieldsOf(t)
	if field, ok := fields.find(key); ok {
		w.value(path+"."+field.name, field.typ, value)
		return
	}
	if len(w.found) < maxUnknownFields {
		w.found = append(w.found, "unknown field "+path+"."+shortName(key)+"; "+fields.suggestion(key))
	}
}

// fitsNoField reports whether data is an object with members of which t, a
// struct with fields, has none: it is another type's.
func fitsNoField(t reflect.Type, data json.RawMessage) bool {
	for t.Kind() == reflect.Pointer && !decodesItself(t) {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || decodesItself(t) || len(data) == 0 {
		return false
	}
	fields := jsonFieldsOf(t)
	known, members := 0, 0
	eachMember(data, func(key string, _ json.RawMessage) {
		members++
		if _, ok := fields.find(key); ok {
			known++
		}
	})
	return members > 0 && known == 0 && len(fields) > 0
}

// eachMember calls f for the members of a JSON object, and not at all for any
// other value.
func eachMember(data json.RawMessage, f func(key string, value json.RawMessage)) {
	if bytes.TrimSpace(data)[0] != '{' {
		return
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	_, _ = decoder.Token() // the data is known to be valid
	for decoder.More() {
		key, _ := decoder.Token()
		var value json.RawMessage
		if decoder.Decode(&value) != nil {
			return
		}
		name, _ := key.(string)
		f(name, value)
	}
}

// eachElement calls f for the elements of a JSON array, and not at all for any
// other value.
func eachElement(data json.RawMessage, f func(i int, value json.RawMessage)) {
	if bytes.TrimSpace(data)[0] != '[' {
		return
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	_, _ = decoder.Token()
	for i := 0; decoder.More(); i++ {
		var value json.RawMessage
		if decoder.Decode(&value) != nil {
			return
		}
		f(i, value)
	}
}

// shortName is a key as a path shows it: quoted where it is not a plain name.
func shortName(key string) string {
	if len(key) <= 60 && taskNamePattern.MatchString(key) {
		return key
	}
	return fmt.Sprintf("%.60q", key)
}

// decodesItself reports whether t has a decoding of its own, which alone knows
// what it accepts.
func decodesItself(t reflect.Type) bool {
	if t.Kind() == reflect.Interface {
		return true
	}
	p := reflect.PointerTo(t)
	return p.Implements(reflect.TypeFor[json.Unmarshaler]()) || p.Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// encodesItself reports whether t has an encoding of its own.
func encodesItself(t reflect.Type) bool {
	if t.Kind() == reflect.Interface {
		return true
	}
	p := reflect.PointerTo(t)
	return p.Implements(reflect.TypeFor[json.Marshaler]()) || p.Implements(reflect.TypeFor[encoding.TextMarshaler]())
}

// jsonField is a field of a struct as encoding/json sees it.
type jsonField struct {
	name   string
	typ    reflect.Type
	depth  int
	tagged bool
}

type jsonFields []jsonField

var jsonFieldCache sync.Map // reflect.Type → jsonFields

// jsonFieldsOf returns the fields that encoding/json writes and reads of a
// struct, promoted ones included.
func jsonFieldsOf(t reflect.Type) jsonFields {
	if fields, ok := jsonFieldCache.Load(t); ok {
		return fields.(jsonFields)
	}
	var all jsonFields
	collectJSONFields(t, 0, nil, &all)
	var fields jsonFields
	for _, f := range all {
		if f.dominates(all) {
			fields = append(fields, f)
		}
	}
	jsonFieldCache.Store(t, fields)
	return fields
}

func collectJSONFields(t reflect.Type, depth int, above []reflect.Type, all *jsonFields) {
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
			collectJSONFields(embedded, depth+1, above, all)
		case f.IsExported():
			*all = append(*all, jsonField{name: jsonName(f), typ: f.Type, depth: depth, tagged: name != ""})
		}
	}
}

// dominates applies the rule of Go and encoding/json for fields of one name: the
// shallowest wins, of several the only one with a tag, and otherwise none.
func (f jsonField) dominates(all jsonFields) bool {
	for _, other := range all {
		if other == f || other.name != f.name {
			continue
		}
		if other.depth < f.depth || other.depth == f.depth && (other.tagged || !f.tagged) {
			return false
		}
	}
	// Two that are the same in everything exclude each other as well.
	return all.count(f) == 1
}

func (fields jsonFields) count(f jsonField) (n int) {
	for _, other := range fields {
		if other == f {
			n++
		}
	}
	return n
}

// find looks a key up as encoding/json does: exactly, or else ignoring case.
func (fields jsonFields) find(key string) (jsonField, bool) {
	for _, f := range fields {
		if f.name == key {
			return f, true
		}
	}
	for _, f := range fields {
		if strings.EqualFold(f.name, key) {
			return f, true
		}
	}
	return jsonField{}, false
}

// suggestion names the fields that were probably meant, or those that there are.
func (fields jsonFields) suggestion(key string) string {
	if len(fields) == 0 {
		return "no fields are accepted here"
	}
	var near, names []string
	for _, f := range fields {
		names = append(names, f.name)
		if isNear(key, f.name) {
			near = append(near, f.name)
		}
	}
	if len(near) > 0 {
		return "did you mean " + strings.Join(near, " or ") + "?"
	}
	const most = 10
	if rest := len(names) - most; rest > 0 {
		names = append(names[:most], fmt.Sprintf("and %d more", rest))
	}
	return "accepted: " + strings.Join(names, ", ")
}

// isNear reports whether name is probably a misspelt known: a quarter of its
// letters may differ, and case, "_" and "-" do not count.
func isNear(name, known string) bool {
	if len(name) > 2*len(known)+2 {
		return false
	}
	plain := strings.NewReplacer("_", "", "-", "")
	a, b := plain.Replace(strings.ToLower(name)), plain.Replace(strings.ToLower(known))
	return distance(a, b) <= 1+len(b)/4
}

// lostField returns the path of a part of t that has fields and loses all of
// them in JSON, since none is exported; empty if there is no such part.
func lostField(path string, t reflect.Type, above ...reflect.Type) string {
	if slices.Contains(above, t) || encodesItself(t) || decodesItself(t) {
		return ""
	}
	above = append(above, t)
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		return lostField(path, t.Elem(), above...)
	case reflect.Struct:
		fields := jsonFieldsOf(t)
		if len(fields) == 0 && hasHiddenField(t) {
			return path
		}
		for _, f := range fields {
			if lost := lostField(path+"."+f.name, f.typ, above...); lost != "" {
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

// checkKept panics when values of a task's type do not survive their JSON.
func checkKept[T any](task, what string) {
	t := reflect.TypeFor[T]()
	if path := lostField(what, t); path != "" {
		panic(fmt.Sprintf("queue: task %q: %s (%s) has only unexported fields, which encoding/json does not store, so its values would be lost: begin the names of the fields with capital letters, with tags such as `json:\"user_id\"`", task, path, t))
	}
}
