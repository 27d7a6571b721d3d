package queue

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"
)

// MaxDepth is how deep arrays and objects may be nested: MariaDB refuses to
// look into JSON that is deeper.
const MaxDepth = 31

// CheckJSON reports whether every supported database keeps data unchanged: one
// JSON value in valid UTF-8, nested at most MaxDepth deep, without U+0000 and
// lone surrogates (PostgreSQL refuses both), its numbers within the range of a
// double. The error is ErrInvalid and names the place, as in args.user.name,
// where name ("args") is what the value is called.
func CheckJSON(name string, data []byte) error {
	if !utf8.Valid(data) {
		return invalidf("%s must be UTF-8", name)
	}
	if !json.Valid(data) {
		return invalidf("%s must be one JSON value", name)
	}
	if isPlainJSON(data) {
		return nil
	}
	return walkJSON(name, data)
}

// checkEncoded is CheckJSON for what encode returned. It is known to be JSON,
// since encoding/json checks what a json.RawMessage or a MarshalJSON gives it,
// but not to be UTF-8, which it takes from them as it is.
func checkEncoded(name string, data []byte) error {
	if utf8.Valid(data) && isPlainJSON(data) {
		return nil
	}
	return CheckJSON(name, data)
}

// longestPlainNumber is how many bytes a number without an exponent may have
// and be surely within the range of a double, which has up to 309 digits.
const longestPlainNumber = 300

// isPlainJSON reports whether a well-formed value is one that walkJSON surely
// accepts, as nearly every value is: not too deep, no number with an exponent or
// of hundreds of digits, and no \u escape. It allocates nothing.
func isPlainJSON(data []byte) bool {
	depth := 0
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case c == '"':
			for i++; i < len(data) && data[i] != '"'; i++ {
				if data[i] != '\\' {
					continue
				}
				if i++; i < len(data) && data[i] == 'u' {
					return false
				}
			}
		case c == '{' || c == '[':
			if depth++; depth > MaxDepth {
				return false
			}
		case c == '}' || c == ']':
			depth--
		case c == '-' || c >= '0' && c <= '9':
			start := i
			for i+1 < len(data) && (data[i+1] == '.' || data[i+1] >= '0' && data[i+1] <= '9') {
				i++
			}
			exponent := i+1 < len(data) && (data[i+1] == 'e' || data[i+1] == 'E')
			if exponent || i-start >= longestPlainNumber {
				return false
			}
		}
	}
	return true
}

// walkJSON finds in a well-formed value what a database would not keep.
func walkJSON(name string, data []byte) error {
	c := jsonChecker{data: data, path: []string{name}}
	return c.value()
}

// jsonChecker walks a value that is known to be well-formed.
type jsonChecker struct {
	data []byte
	pos  int
	path []string // where pos is; its length less one is the depth
}

func (c *jsonChecker) fail(format string, args ...any) error {
	return invalidf("%s %s", strings.Join(c.path, ""), fmt.Sprintf(format, args...))
}

func (c *jsonChecker) skipSpace() {
	for c.pos < len(c.data) && strings.IndexByte(" \t\r\n,:", c.data[c.pos]) >= 0 {
		c.pos++
	}
}

func (c *jsonChecker) value() error {
	c.skipSpace()
	switch c.data[c.pos] {
	case '{':
		return c.container('}')
	case '[':
		return c.container(']')
	case '"':
		_, err := c.text()
		return err
	case 't', 'n':
		c.pos += len("true")
	case 'f':
		c.pos += len("false")
	default:
		return c.number()
	}
	return nil
}

func (c *jsonChecker) container(end byte) error {
	if len(c.path) > MaxDepth {
		return invalidf("%s is nested deeper than %d levels", c.path[0], MaxDepth)
	}
	c.pos++
	for i := 0; ; i++ {
		c.skipSpace()
		if c.data[c.pos] == end {
			c.pos++
			return nil
		}
		step := "[" + strconv.Itoa(i) + "]"
		if end == '}' {
			key, err := c.text()
			if err != nil {
				return err
			}
			step = "." + key
		}
		c.path = append(c.path, step)
		if err := c.value(); err != nil {
			return err
		}
		c.path = c.path[:len(c.path)-1]
	}
}

// text reads a string and returns it as it is written, escapes included.
func (c *jsonChecker) text() (string, error) {
	c.pos++ // the opening quote
	start := c.pos
	for c.data[c.pos] != '"' {
		if c.data[c.pos] != '\\' {
			c.pos++
			continue
		}
		if c.data[c.pos+1] != 'u' {
			c.pos += 2
			continue
		}
		unit := c.codeUnit(c.pos)
		c.pos += 6
		switch {
		case unit == 0:
			return "", c.fail("contains U+0000, which databases cannot store")
		case unit >= 0xDC00 && unit <= 0xDFFF:
			return "", c.fail("contains a lone surrogate (\\u%04x), which is not a character", unit)
		case unit >= 0xD800 && unit <= 0xDBFF:
			if low := c.codeUnit(c.pos); low < 0xDC00 || low > 0xDFFF {
				return "", c.fail("contains a lone surrogate (\\u%04x), which is not a character", unit)
			}
			c.pos += 6
		}
	}
	s := string(c.data[start:c.pos])
	c.pos++
	return s, nil
}

// codeUnit returns the value of the escape \uXXXX at i, or -1 if none is there.
func (c *jsonChecker) codeUnit(i int) int {
	if i+6 > len(c.data) || c.data[i] != '\\' || c.data[i+1] != 'u' {
		return -1
	}
	n, err := strconv.ParseUint(string(c.data[i+2:i+6]), 16, 32)
	if err != nil {
		return -1
	}
	return int(n)
}

func (c *jsonChecker) number() error {
	start := c.pos
	for c.pos < len(c.data) && strings.IndexByte("+-.eE0123456789", c.data[c.pos]) >= 0 {
		c.pos++
	}
	if _, err := strconv.ParseFloat(string(c.data[start:c.pos]), 64); err != nil {
		return c.fail("is a number beyond ±1.8e308")
	}
	return nil
}

// SameRequest reports whether a and b are the same task with the same
// arguments, whatever the order of keys and the white space in them.
func SameRequest(a, b *Row) bool {
	return a.Task == b.Task && (bytes.Equal(a.Args, b.Args) || reflect.DeepEqual(decoded(a.Args), decoded(b.Args)))
}

// decoded is data as a comparable tree; numbers are compared as written.
func decoded(data []byte) any {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return string(data)
	}
	return v
}

// cleanText makes s storable in every database: valid UTF-8, no NUL, at most
// limit bytes. Without it the very write that records a failure could fail.
func cleanText(s string, limit int) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
	if len(s) <= limit {
		return s
	}
	const mark = " … (cut)"
	cut := limit - len(mark)
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + mark
}
