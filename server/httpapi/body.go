package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// bodyError is the refusal of a body, with its status code.
type bodyError struct {
	status int
	text   string
}

func (e *bodyError) Error() string { return e.text }

func badRequest(format string, args ...any) error {
	return &bodyError{http.StatusBadRequest, fmt.Sprintf(format, args...)}
}

// Refusals whose texts callers may rely on.
var (
	errNotJSON = &bodyError{http.StatusBadRequest, "Invalid JSON"}
	errBackend = &bodyError{http.StatusBadRequest, "Invalid backend name"}
)

// bodyReadTimeout is how long a client may take to send its body.
const bodyReadTimeout = 15 * time.Second

// LimitBodyTime makes reading the request's body fail after 15 s. net/http reads what
// a handler leaves of a body before it sends the answer, so without a limit a slow
// client holds a connection as long as it likes, even when its request is refused. A
// handler of this package that has read the body to its end lifts the limit.
func LimitBodyTime(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength != 0 {
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyReadTimeout)) // not supported by test recorders
	}
}

// readBody reads a whole body of at most limit bytes.
func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var over *http.MaxBytesError
	if errors.As(err, &over) {
		return nil, &bodyError{http.StatusRequestEntityTooLarge, tooLarge(limit)}
	}
	if err != nil {
		return nil, badRequest("the body could not be read")
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	return body, nil
}

// checkEncoding refuses a compressed body: as it is, it is no JSON, and decompressing
// it would make a small request a large one.
func checkEncoding(r *http.Request) error {
	if r.ContentLength == 0 {
		return nil
	}
	for _, list := range r.Header.Values("Content-Encoding") {
		for coding := range strings.SplitSeq(list, ",") {
			if coding = strings.TrimSpace(coding); coding != "" && !strings.EqualFold(coding, "identity") {
				return &bodyError{http.StatusUnsupportedMediaType, fmt.Sprintf("Content-Encoding %.60q is not supported: send the body without compression", coding)}
			}
		}
	}
	return nil
}

func tooLarge(limit int64) string { return fmt.Sprintf("the body is larger than %d bytes", limit) }

// decodeObject reads one JSON object into fields, which has a pointer for each name.
// It is stricter than encoding/json: names match exactly, and unknown and repeated
// ones are refused. An empty body counts as {}, null as absent.
func decodeObject(body []byte, fields map[string]any) error {
	if !utf8.Valid(body) {
		return badRequest("the body must be UTF-8")
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
			return badRequest("unknown field %.100q; accepted: %s", name, accepted(fields))
		}
		if seen[name] {
			return badRequest("field %q is given twice", name)
		}
		seen[name] = true
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return errNotJSON
		}
		if err := json.Unmarshal(raw, into); err != nil {
			return badRequest("%s must be %s", name, wanted(into))
		}
	}
	return nil
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

// count is a parameter that is a whole number, not below least; value is its default.
type count struct {
	value int
	least int
}

// UnmarshalJSON reads the number; null leaves it as it is.
func (c *count) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		return nil
	}
	var n int
	if err := json.Unmarshal(data, &n); err != nil {
		return err
	}
	if n < c.least {
		return errors.New("too small")
	}
	c.value = n
	return nil
}

// fromQuery reads the number from a query parameter, if it is present.
func (c *count) fromQuery(query url.Values, name string) error {
	value := provided(query, name)
	if value == nil {
		return nil
	}
	n, err := strconv.Atoi(*value)
	if err != nil || n < c.least {
		return badRequest("%s must be %s", name, wanted(c))
	}
	c.value = n
	return nil
}

// wanted describes the values that a field accepts.
func wanted(into any) string {
	switch into := into.(type) {
	case *count:
		if into.least > 0 {
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
