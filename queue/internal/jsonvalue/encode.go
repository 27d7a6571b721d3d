package jsonvalue

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
)

// encoder is an encoder with its output buffer, pooled for the next value.
type encoder struct {
	text bytes.Buffer
	json *json.Encoder
}

var encoders = sync.Pool{New: func() any {
	e := &encoder{}
	e.json = json.NewEncoder(&e.text)
	e.json.SetEscapeHTML(false)
	return e
}}

// maxPooledBuffer is the largest buffer, in bytes, that returns to the pool.
const maxPooledBuffer = 64 << 10

// Encode returns v as compact JSON, with <, > and & unescaped. An empty
// json.RawMessage is null. The error names the part of v that cannot be encoded;
// name is what the value is called in it.
func Encode(name string, v any) (json.RawMessage, error) {
	if raw, ok := v.(json.RawMessage); ok && len(raw) == 0 {
		return json.RawMessage("null"), nil
	}
	e := encoders.Get().(*encoder)
	e.text.Reset()
	if err := e.json.Encode(v); err != nil {
		// encoding/json's own error does not name the place.
		return nil, &Problem{Name: name, path: badPath(reflect.ValueOf(v), MaxDepth), text: "cannot be encoded as JSON", err: err}
	}
	text := bytes.Clone(bytes.TrimSuffix(e.text.Bytes(), []byte("\n")))
	if e.text.Cap() <= maxPooledBuffer {
		encoders.Put(e)
	}
	return text, nil
}

// badPath returns the path of the innermost part of v that json.Marshal
// refuses, as in .user.photo or [3]. It goes no deeper than depth, for values
// that contain themselves.
func badPath(v reflect.Value, depth int) string {
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	// A type with its own encoding fails as a whole.
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
				return "." + fieldName(f) + badPath(v.Field(i), depth-1)
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

// fieldName is the name of a field in JSON.
func fieldName(f reflect.StructField) string {
	if tag, _, _ := strings.Cut(f.Tag.Get("json"), ","); tag != "" {
		return tag
	}
	return f.Name
}

// Decode reads a value into T; no data at all is T's zero value. The error names
// the field and its type.
func Decode[T any](data json.RawMessage) (T, error) {
	var v T
	if len(data) == 0 {
		return v, nil
	}
	if raw, ok := any(&v).(*json.RawMessage); ok {
		*raw = data
		return v, nil
	}
	if err := json.Unmarshal(data, &v); err != nil {
		var typeErr *json.UnmarshalTypeError
		if errors.As(err, &typeErr) && typeErr.Field != "" {
			return v, fmt.Errorf("%s: cannot use a JSON %s as %s", typeErr.Field, typeErr.Value, typeErr.Type)
		} else if typeErr != nil {
			return v, fmt.Errorf("cannot use a JSON %s as %s", typeErr.Value, typeErr.Type)
		}
		return v, err
	}
	return v, nil
}

// Equal reports whether two values are the same, whatever the order of keys and
// the white space in them. Numbers are compared as written.
func Equal(a, b []byte) bool {
	return bytes.Equal(a, b) || reflect.DeepEqual(tree(a), tree(b))
}

// Canonical returns the one spelling of all values that are [Equal] to data.
func Canonical(data []byte) []byte {
	text, err := json.Marshal(tree(data)) // the keys are sorted
	if err != nil {
		return data
	}
	return text
}

// tree is data as a comparable tree; text that is not JSON is itself.
func tree(data []byte) any {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return string(data)
	}
	return v
}
