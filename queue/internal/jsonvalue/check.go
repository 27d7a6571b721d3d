// Package jsonvalue handles the JSON values of tasks: arguments and return
// values. It checks that every supported database keeps a value unchanged,
// encodes and decodes values with errors that name the place inside them, and
// compares values with Go types. Its errors are plain; package queue gives them
// their kind.
package jsonvalue

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// MaxDepth is how deep arrays and objects may be nested. MariaDB refuses to look
// into deeper JSON.
const MaxDepth = 31

// Check reports whether every supported database keeps data unchanged: one JSON
// value in valid UTF-8, nested at most [MaxDepth] deep, without U+0000 and lone
// surrogates (PostgreSQL refuses both), its numbers within the range of a double.
// The error names the place, as in args.user.name, where name ("args") is what
// the value is called.
func Check(name string, data []byte) error {
	if !utf8.Valid(data) {
		return fmt.Errorf("%s must be UTF-8", name)
	}
	if !json.Valid(data) {
		return fmt.Errorf("%s must be one JSON value", name)
	}
	if isSimple(data) {
		return nil
	}
	return walk(name, data)
}

// CheckEncoded is [Check] for what [Encode] returned. That is known to be JSON,
// since encoding/json checks what a json.RawMessage or a MarshalJSON method
// gives it, but not to be UTF-8, which encoding/json copies from them unchecked.
func CheckEncoded(name string, data []byte) error {
	if utf8.Valid(data) && isSimple(data) {
		return nil
	}
	return Check(name, data)
}

// longestSimpleNumber is how many bytes a number without an exponent may have
// and still be within the range of a double for certain, which has up to 309 digits.
const longestSimpleNumber = 300

// isSimple reports whether a well-formed value is one that walk certainly
// accepts, as nearly every value is: not too deep, no number with an exponent or
// of hundreds of digits, and no \u escape. It allocates nothing.
func isSimple(data []byte) bool {
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
			if exponent || i-start >= longestSimpleNumber {
				return false
			}
		}
	}
	return true
}

// walk finds the first part of a well-formed value that a database would not keep.
func walk(name string, data []byte) error {
	w := walker{data: data, path: []string{name}}
	return w.value()
}

// walker reads a value that is known to be well-formed.
type walker struct {
	data []byte
	pos  int
	path []string // of pos; its length less one is the depth
}

func (w *walker) fail(format string, args ...any) error {
	return &Problem{Name: w.path[0], path: strings.Join(w.path[1:], ""), text: fmt.Sprintf(format, args...)}
}

// Problem is the error of a part of a value.
type Problem struct {
	Name       string // of the value
	path, text string
	err        error // of encoding/json; may be nil
}

func (p *Problem) Error() string {
	text := p.Name + p.path + " " + p.text
	if p.err != nil {
		text += ": " + p.err.Error()
	}
	return text
}

func (p *Problem) Unwrap() error { return p.err }

// Hidden returns the error without what may be of the value: the path, which has the names
// of a map's members, and the text of a MarshalJSON method.
func (p *Problem) Hidden() error {
	if p.err != nil {
		return fmt.Errorf("%s %s (%T)", p.Name, p.text, p.err)
	}
	return fmt.Errorf("%s %s", p.Name, p.text)
}

func (w *walker) skipSpace() {
	for w.pos < len(w.data) && strings.IndexByte(" \t\r\n,:", w.data[w.pos]) >= 0 {
		w.pos++
	}
}

func (w *walker) value() error {
	w.skipSpace()
	switch w.data[w.pos] {
	case '{':
		return w.container('}')
	case '[':
		return w.container(']')
	case '"':
		_, err := w.text()
		return err
	case 't', 'n':
		w.pos += len("true")
	case 'f':
		w.pos += len("false")
	default:
		return w.number()
	}
	return nil
}

func (w *walker) container(end byte) error {
	if len(w.path) > MaxDepth {
		return fmt.Errorf("%s is nested deeper than %d levels", w.path[0], MaxDepth)
	}
	w.pos++
	for i := 0; ; i++ {
		w.skipSpace()
		if w.data[w.pos] == end {
			w.pos++
			return nil
		}
		step := "[" + strconv.Itoa(i) + "]"
		if end == '}' {
			key, err := w.text()
			if err != nil {
				return err
			}
			step = "." + key
		}
		w.path = append(w.path, step)
		if err := w.value(); err != nil {
			return err
		}
		w.path = w.path[:len(w.path)-1]
	}
}

// text reads a string and returns it as written, escapes included.
func (w *walker) text() (string, error) {
	w.pos++ // the opening quote
	start := w.pos
	for w.data[w.pos] != '"' {
		if w.data[w.pos] != '\\' {
			w.pos++
			continue
		}
		if w.data[w.pos+1] != 'u' {
			w.pos += 2
			continue
		}
		unit := w.codeUnit(w.pos)
		w.pos += 6
		switch {
		case unit == 0:
			return "", w.fail("contains U+0000, which databases cannot store")
		case unit >= 0xDC00 && unit <= 0xDFFF:
			return "", w.fail("contains a lone surrogate (\\u%04x), which is not a character", unit)
		case unit >= 0xD800 && unit <= 0xDBFF:
			if low := w.codeUnit(w.pos); low < 0xDC00 || low > 0xDFFF {
				return "", w.fail("contains a lone surrogate (\\u%04x), which is not a character", unit)
			}
			w.pos += 6
		}
	}
	s := string(w.data[start:w.pos])
	w.pos++
	return s, nil
}

// codeUnit returns the value of the escape \uXXXX at i, or -1 if there is none.
func (w *walker) codeUnit(i int) int {
	if i+6 > len(w.data) || w.data[i] != '\\' || w.data[i+1] != 'u' {
		return -1
	}
	n, err := strconv.ParseUint(string(w.data[i+2:i+6]), 16, 32)
	if err != nil {
		return -1
	}
	return int(n)
}

func (w *walker) number() error {
	start := w.pos
	for w.pos < len(w.data) && strings.IndexByte("+-.eE0123456789", w.data[w.pos]) >= 0 {
		w.pos++
	}
	if _, err := strconv.ParseFloat(string(w.data[start:w.pos]), 64); err != nil {
		return w.fail("is a number beyond ±1.8e308")
	}
	return nil
}
