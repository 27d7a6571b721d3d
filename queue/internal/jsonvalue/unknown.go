package jsonvalue

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/claimcheck-go/claimcheck/internal/plainname"
)

// maxUnknownFields bounds how many unknown fields of one value are reported.
const maxUnknownFields = 5

// UnknownFields describes the fields in data, a valid JSON value, that decoding
// into t ignores, at any depth, at most five of them. name is what the value is
// called in the paths. Maps, interfaces and types with their own decoding accept
// every field.
func UnknownFields(name string, t reflect.Type, data json.RawMessage) []string {
	s := &unknownSearch{}
	s.value(name, t, data)
	return s.found
}

type unknownSearch struct{ found []string }

func (s *unknownSearch) value(path string, t reflect.Type, data json.RawMessage) {
	t = withoutPointers(t)
	if len(s.found) == maxUnknownFields || len(data) == 0 || decodesItself(t) {
		return
	}
	switch t.Kind() {
	case reflect.Struct:
		eachMember(data, func(key string, value json.RawMessage) { s.member(path, t, key, value) })
	case reflect.Map:
		eachMember(data, func(key string, value json.RawMessage) { s.value(path+"."+shortName(key), t.Elem(), value) })
	case reflect.Slice, reflect.Array:
		eachElement(data, func(i int, value json.RawMessage) {
			s.value(fmt.Sprintf("%s[%d]", path, i), t.Elem(), value)
		})
	default:
	}
}

func (s *unknownSearch) member(path string, t reflect.Type, key string, value json.RawMessage) {
	all := fieldsOf(t)
	if f, ok := all.find(key); ok {
		s.value(path+"."+f.name, f.typ, value)
		return
	}
	if len(s.found) < maxUnknownFields {
		s.found = append(s.found, "unknown field "+path+"."+shortName(key)+"; "+all.suggestion(key))
	}
}

// SharesNoField reports whether data is an object with members and t a struct
// with fields, and no member is a field: data is a value of another type.
func SharesNoField(t reflect.Type, data json.RawMessage) bool {
	t = withoutPointers(t)
	if t.Kind() != reflect.Struct || decodesItself(t) || len(data) == 0 {
		return false
	}
	all := fieldsOf(t)
	known, members := 0, 0
	eachMember(data, func(key string, _ json.RawMessage) {
		members++
		if _, ok := all.find(key); ok {
			known++
		}
	})
	return members > 0 && known == 0 && len(all) > 0
}

// withoutPointers is the type that a chain of pointers ends in.
func withoutPointers(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer && !decodesItself(t) {
		t = t.Elem()
	}
	return t
}

// eachMember calls f for the members of a JSON object, and not at all for any
// other value. The data is known to be valid.
func eachMember(data json.RawMessage, f func(key string, value json.RawMessage)) {
	if bytes.TrimSpace(data)[0] != '{' {
		return
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	_, _ = decoder.Token()
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
// other value. The data is known to be valid.
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

// shortName is a key as a path shows it: quoted unless it is a simple name, and cut.
func shortName(key string) string {
	if plainname.Valid(key, 60, "_.:/-") {
		return key
	}
	return fmt.Sprintf("%.60q", key)
}
