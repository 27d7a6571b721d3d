package storekit

import (
	"encoding/json"
	"strconv"
	"strings"
	"unicode"

	"github.com/claimcheck-go/claimcheck/queue"
)

// Escape begins an escape in a JSON text that may stand for any character. A value that
// has none has each [Clue] of a text that it has.
const Escape = `\u`

// Clue returns the longest part of a text that is written as it is in every JSON text that
// has the text in a string, unless [Escape] is in that, too. With fold, it is in lower case,
// and in the JSON text once the ASCII letters of that are. A clue may be empty.
func Clue(text string, fold bool) string {
	longest := ""
	for _, part := range strings.FieldsFunc(text, func(r rune) bool { return !plain(r, fold) }) {
		if len(part) > len(longest) {
			longest = part
		}
	}
	if fold {
		return strings.ToLower(longest) // it has no other letters with a case than those of ASCII
	}
	return longest
}

// plain reports whether a JSON text has a character as it is. With fold, letters of which
// databases may not know the case are none; U+0130 (İ) has one although nothing folds to it.
func plain(r rune, fold bool) bool {
	if r < unicode.MaxASCII {
		return r >= ' ' && !strings.ContainsRune(`"\/<>&'=`, r) // encoders of JSON escape some of these
	}
	escaped := r == '\u2028' || r == '\u2029' || r == unicode.ReplacementChar || r == unicode.MaxASCII
	return !escaped && (!fold || unicode.SimpleFold(r) == r && unicode.ToLower(r) == r)
}

// Clues returns clues to one value in arguments: to its name, unless that is a position in
// a list, and to the value.
func Clues(arg queue.ArgFilter) (clues []string) {
	name := arg.Path[strings.LastIndexByte(arg.Path, '.')+1:]
	if _, err := strconv.Atoi(name); err != nil && Clue(name, false) == name {
		clues = append(clues, name+`"`) // it may be the end of a longer name
	}
	value := arg.Value
	if text := ""; strings.HasPrefix(value, `"`) && json.Unmarshal([]byte(value), &text) == nil {
		value = text
	}
	if clue := Clue(value, false); clue != "" {
		clues = append(clues, clue)
	}
	return clues
}

// Light takes the values from a row, which a list does not have.
func Light(row *queue.Row) *queue.Row {
	row.Args, row.ReturnValue, row.Errors = nil, nil, nil
	return row
}

// TaskPattern returns a pattern of task names in the form of a database: with any in place
// of each *, and escape before each character of special, which has to be escaped.
func TaskPattern(pattern, anyText, special, escape string) string {
	var b strings.Builder
	for _, r := range pattern {
		switch {
		case r == '*':
			b.WriteString(anyText)
			continue
		case strings.ContainsRune(special, r):
			b.WriteString(escape)
		}
		b.WriteRune(r)
	}
	return b.String()
}
