package queue

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
)

// explainEncoding names the place inside v that could not be encoded, which
// encoding/json's own error does not.
func explainEncoding(name string, v any, err error) error {
	return invalidf("%s cannot be encoded as JSON: %w", name+badPath(reflect.ValueOf(v), MaxDepth), err)
}

// badPath returns the path of the innermost part of v that json.Marshal
// refuses, as in .user.photo or [3]. It goes no deeper than depth, for values
// that contain themselves.
func badPath(v reflect.Value, depth int) string {
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	// A type with an encoding of its own fails as a whole.
	if v.IsValid() {
		if _, own := v.Interface().(json.Marshaler); own {
			return ""
		}
	}
	if depth == 0 {
		return ""
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() && f.Tag.Get("json") != "-" && refused(v.Field(i)) {
				return "." + jsonName(f) + badPath(v.Field(i), depth-1)
			}
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			if refused(v.MapIndex(key)) {
				return fmt.Sprintf(".%v", key) + badPath(v.MapIndex(key), depth-1)
			}
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			if refused(v.Index(i)) {
				return fmt.Sprintf("[%d]", i) + badPath(v.Index(i), depth-1)
			}
		}
	}
	return ""
}

func refused(v reflect.Value) bool {
	_, err := json.Marshal(v.Interface())
	return err != nil
}

func jsonName(f reflect.StructField) string {
	if tag, _, _ := strings.Cut(f.Tag.Get("json"), ","); tag != "" {
		return tag
	}
	return f.Name
}
