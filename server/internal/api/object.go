package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// BodyError is the refusal of a request, with its status code.
type BodyError struct {
	Status int
	Text   string
}

func (e *BodyError) Error() string { return e.Text }

// BadRequest returns a [BodyError] with status 400.
func BadRequest(format string, args ...any) error {
	return &BodyError{http.StatusBadRequest, fmt.Sprintf(format, args...)}
}

// errNotJSON has a text that callers may rely on.
var errNotJSON = &BodyError{http.StatusBadRequest, "Invalid JSON"}

// DecodeObject reads one JSON object into fields, which has a pointer for each name.
// It is stricter than encoding/json: names match exactly, and unknown and repeated
// ones are refused. An empty body counts as {}, null as absent.
func DecodeObject(body []byte, fields map[string]any) error {
	if !utf8.Valid(body) {
		return BadRequest("the body must be UTF-8")
	}
	if len(bytes.Trim(body, " \t\r\n")) == 0 { // the white space of JSON, and no other
		return nil
	}
	if !json.Valid(body) {
		return errNotJSON
	}
	d := json.NewDecoder(bytes.NewReader(body))
	if first, err := d.Token(); err != nil || first != json.Delim('{') {
		return errNotJSON
	}
	seen := make(map[string]bool, len(fields))
	for d.More() {
		token, err := d.Token()
		name, isName := token.(string)
		if err != nil || !isName {
			return errNotJSON
		}
		into, known := fields[name]
		if !known {
			return BadRequest("unknown field %.100q; accepted: %s", name, accepted(fields))
		}
		if seen[name] {
			return BadRequest("field %q is given twice", name)
		}
		seen[name] = true
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return errNotJSON
		}
		if _, isJSON := into.(*json.RawMessage); !isJSON && hasBadText(raw) { // others would be equal after decoding
			return BadRequest("%s must not contain U+0000 or lone surrogates (\\ud800 to \\udfff, but in pairs): not every database can store them", name)
		}
		if err := json.Unmarshal(raw, into); err != nil {
			return BadRequest("%s must be %s", name, wanted(into))
		}
	}
	return nil
}

// hasBadText reports whether a string in a well-formed value has an escape for U+0000, or
// for half of a surrogate pair, which encoding/json decodes to U+FFFD.
func hasBadText(value []byte) bool {
	unit := func(i int) int { // of the escape \uXXXX at i; -1: there is none
		if i+6 > len(value) || value[i] != '\\' || value[i+1] != 'u' {
			return -1
		}
		n, _ := strconv.ParseUint(string(value[i+2:i+6]), 16, 16)
		return int(n)
	}
	for i := 0; i < len(value); i++ {
		if value[i] != '\\' {
			continue
		}
		switch u := unit(i); {
		case u == 0, u >= 0xDC00 && u <= 0xDFFF:
			return true
		case u >= 0xD800 && u <= 0xDBFF:
			if low := unit(i + 6); low < 0xDC00 || low > 0xDFFF {
				return true
			}
			i += 11
		default:
			i++ // the character after the backslash
		}
	}
	return false
}

func accepted(fields map[string]any) string {
	if len(fields) == 0 {
		return "none"
	}
	names := make([]string, 0, len(fields))
	for name := range fields {
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// Count is a parameter that is a whole number, not below Least; Value is its default.
type Count struct {
	Value int
	Least int
}

// UnmarshalJSON reads the number; null leaves it as it is.
func (c *Count) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		return nil
	}
	var n int
	if err := json.Unmarshal(data, &n); err != nil {
		return err
	}
	if n < c.Least {
		return errors.New("too small")
	}
	c.Value = n
	return nil
}

// Set reads the number from a parameter of that name; nil leaves it as it is.
func (c *Count) Set(name string, text *string) error {
	if text == nil {
		return nil
	}
	n, err := strconv.Atoi(*text)
	if err != nil || n < c.Least {
		return BadRequest("%s must be %s", name, wanted(c))
	}
	c.Value = n
	return nil
}

// wanted describes the values that a field accepts.
func wanted(into any) string {
	switch into := into.(type) {
	case *Count:
		if into.Least > 0 {
			return "a positive integer"
		}
		return "a non-negative integer"
	case *string, **string:
		return "a string"
	case *int, **int:
		return "a whole number"
	case *bool, **bool:
		return "true or false"
	default:
		return "valid"
	}
}
