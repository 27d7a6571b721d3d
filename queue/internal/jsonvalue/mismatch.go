package jsonvalue

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Mismatch says where a value does not fit a type, for an error of [Decode] that must not
// contain any of the value: the innermost field, its kind of JSON, and its type.
func Mismatch(data json.RawMessage, t reflect.Type) string {
	path, part, data := mismatch(data, t)
	if path != "" {
		path = strings.TrimPrefix(path, ".") + ": "
	}
	return fmt.Sprintf("%scannot use a JSON %s as %s", path, kindOf(data), part)
}

// mismatch finds the innermost part of a value that does not fit its part of a type.
func mismatch(data json.RawMessage, t reflect.Type) (path string, part reflect.Type, value json.RawMessage) {
	for t.Kind() == reflect.Pointer && !decodesItself(t) {
		t = t.Elem()
	}
	if decodesItself(t) {
		return "", t, data
	}
	switch kind := kindOf(data); {
	case t.Kind() == reflect.Struct && kind == "object":
		fields := objectOf(data)
		for i := range t.NumField() {
			f := t.Field(i)
			_, options, _ := strings.Cut(f.Tag.Get("json"), ",")
			if strings.Contains(options, "string") { // fits would decode it in another way
				continue
			}
			if f.Anonymous && f.Tag.Get("json") == "" { // its fields are those of t
				if !fits(data, f.Type) {
					return mismatch(data, f.Type)
				}
				continue
			}
			name := fieldName(f)
			for key, value := range fields {
				if f.IsExported() && strings.EqualFold(key, name) && !fits(value, f.Type) {
					return below("."+name, value, f.Type)
				}
			}
		}
	case t.Kind() == reflect.Map && kind == "object":
		fields := objectOf(data)
		for _, key := range slices.Sorted(maps.Keys(fields)) {
			if !fits(fields[key], t.Elem()) {
				return below("[key]", fields[key], t.Elem()) // a key is a part of the value
			}
		}
	case (t.Kind() == reflect.Slice || t.Kind() == reflect.Array) && kind == "array":
		var items []json.RawMessage
		_ = json.Unmarshal(data, &items) // it is JSON
		for i, item := range items {
			if !fits(item, t.Elem()) {
				return below(fmt.Sprintf("[%d]", i), item, t.Elem())
			}
		}
	}
	return "", t, data
}

// below is mismatch of a part.
func below(step string, data json.RawMessage, t reflect.Type) (path string, part reflect.Type, value json.RawMessage) {
	path, part, value = mismatch(data, t)
	return step + path, part, value
}

func fits(data json.RawMessage, t reflect.Type) bool {
	return json.Unmarshal(data, reflect.New(t).Interface()) == nil
}

func objectOf(data json.RawMessage) (fields map[string]json.RawMessage) {
	_ = json.Unmarshal(data, &fields) // it is JSON
	return fields
}

// kindOf is the kind of a JSON value.
func kindOf(data json.RawMessage) string {
	for _, c := range data {
		switch c {
		case ' ', '\t', '\r', '\n':
			continue
		case '{':
			return "object"
		case '[':
			return "array"
		case '"':
			return "string"
		case 't', 'f':
			return "bool"
		case 'n':
			return "null"
		}
		return "number"
	}
	return "value"
}
