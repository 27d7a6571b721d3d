package jsonvalue

import (
	"encoding"
	"reflect"
	"slices"
)

// UnsupportedPart returns the first part of t that encoding/json has no form for: a
// func, a channel, a complex number, or a map with such keys. It returns the part's
// path and its type, or nil if there is no such part. path is that of t.
func UnsupportedPart(path string, t reflect.Type) (string, reflect.Type) {
	return unsupportedPart(path, t, nil)
}

// unsupportedPart skips the types in above, which are those that contain t.
func unsupportedPart(path string, t reflect.Type, above []reflect.Type) (string, reflect.Type) {
	if slices.Contains(above, t) || encodesItself(t) || decodesItself(t) {
		return "", nil
	}
	above = append(above, t)
	switch t.Kind() {
	case reflect.Func, reflect.Chan, reflect.Complex64, reflect.Complex128, reflect.UnsafePointer:
		return path, t
	case reflect.Map:
		if !isKey(t.Key()) {
			return path, t
		}
		return unsupportedPart(path, t.Elem(), above)
	case reflect.Pointer, reflect.Slice, reflect.Array:
		return unsupportedPart(path, t.Elem(), above)
	case reflect.Struct:
		for _, f := range fieldsOf(t) {
			if found, part := unsupportedPart(path+"."+f.name, f.typ, above); part != nil {
				return found, part
			}
		}
	default:
	}
	return "", nil
}

// isKey reports whether encoding/json writes a map with keys of type t as an object.
func isKey(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.String, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return true
	default:
		return t.Implements(reflect.TypeFor[encoding.TextMarshaler]())
	}
}
