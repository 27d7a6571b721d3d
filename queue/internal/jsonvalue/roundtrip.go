package jsonvalue

import (
	"encoding"
	"encoding/json"
	"reflect"
	"time"
)

// RoundTrips returns the type T if T reads back whatever encoding/json writes of
// it, and nil if that has to be tried for each value.
func RoundTrips[T any]() reflect.Type {
	t := reflect.TypeFor[T]()
	if !roundTrips(t, make(map[reflect.Type]bool)) {
		return nil
	}
	return t
}

var ownEncodings = []reflect.Type{
	reflect.TypeFor[json.Marshaler](), reflect.TypeFor[json.Unmarshaler](),
	reflect.TypeFor[encoding.TextMarshaler](), reflect.TypeFor[encoding.TextUnmarshaler](),
}

// roundTrips answers for t and all its parts. The types in seen are those that
// contain t.
func roundTrips(t reflect.Type, seen map[reflect.Type]bool) bool {
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
		return roundTrips(t.Elem(), seen)
	case reflect.Map:
		return roundTrips(t.Key(), seen) && roundTrips(t.Elem(), seen)
	case reflect.Struct:
		for i := range t.NumField() {
			f := t.Field(i)
			// An embedded pointer to an unexported type is written and not read.
			if f.Anonymous && f.Type.Kind() == reflect.Pointer {
				return false
			}
			if (f.IsExported() || f.Anonymous) && f.Tag.Get("json") != "-" && !roundTrips(f.Type, seen) {
				return false
			}
		}
		return true
	default:
		return false
	}
}
