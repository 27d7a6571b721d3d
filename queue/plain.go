package queue

import (
	"encoding"
	"encoding/json"
	"reflect"
	"time"
)

// plainType returns the type T if whatever encoding/json writes of it, it also
// reads back into it, and nil if that must be tried for each value.
func plainType[T any]() reflect.Type {
	t := reflect.TypeFor[T]()
	if !isPlain(t, make(map[reflect.Type]bool)) {
		return nil
	}
	return t
}

var ownEncodings = []reflect.Type{
	reflect.TypeFor[json.Marshaler](), reflect.TypeFor[json.Unmarshaler](),
	reflect.TypeFor[encoding.TextMarshaler](), reflect.TypeFor[encoding.TextUnmarshaler](),
}

// isPlain says it of t, and of all it consists of; seen are those above it.
func isPlain(t reflect.Type, seen map[reflect.Type]bool) bool {
	if seen[t] || t == reflect.TypeFor[time.Time]() || t == reflect.TypeFor[json.RawMessage]() {
		return true
	}
	for _, own := range ownEncodings {
		if t.Implements(own) || reflect.PointerTo(t).Implements(own) {
			return false
		}
	}
	seen[t] = true
	switch t.Kind() {
	case reflect.Bool, reflect.String, reflect.Float32, reflect.Float64,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return true
	case reflect.Interface:
		return t.NumMethod() == 0
	case reflect.Slice, reflect.Array, reflect.Pointer:
		return isPlain(t.Elem(), seen)
	case reflect.Map:
		return isPlain(t.Key(), seen) && isPlain(t.Elem(), seen)
	case reflect.Struct:
		for i := range t.NumField() {
			f := t.Field(i)
			if f.Anonymous && f.Type.Kind() == reflect.Pointer { // of an unexported type, it is only written
				return false
			}
			if (f.IsExported() || f.Anonymous) && f.Tag.Get("json") != "-" && !isPlain(f.Type, seen) {
				return false
			}
		}
		return true
	default:
		return false
	}
}
