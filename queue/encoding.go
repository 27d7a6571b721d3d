package queue

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"sync"
)

// encoder is an encoder and what it writes to, which are kept for the next value.
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

// keptEncoder is how large a buffer may have grown and still be kept.
const keptEncoder = 64 << 10

// encode returns v as compact JSON, with <, > and & as they are.
func encode(name string, v any) (json.RawMessage, error) {
	if raw, ok := v.(json.RawMessage); ok && len(raw) == 0 {
		return json.RawMessage("null"), nil
	}
	e := encoders.Get().(*encoder)
	e.text.Reset()
	if err := e.json.Encode(v); err != nil {
		return nil, explainEncoding(name, v, err)
	}
	text := bytes.Clone(bytes.TrimSuffix(e.text.Bytes(), []byte("\n")))
	if e.text.Cap() <= keptEncoder {
		encoders.Put(e)
	}
	return text, nil
}

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
