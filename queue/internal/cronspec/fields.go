package cronspec

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// field is one of the five fields of an expression.
type field struct {
	name        string
	first, last int
	names       []string // of the values from first on
}

var fiveFields = [5]field{
	{name: "minute", last: 59},
	{name: "hour", last: 23},
	{name: "day of month", first: 1, last: 31},
	{name: "month", first: 1, last: 12, names: []string{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}},
	{name: "day of week", last: 7, names: []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}},
}

// checkFields returns the error of the first field that is not understood. The parser
// knows the same fields, but its errors are about its own code, and it accepts steps that
// are longer than a field.
func checkFields(texts []string) error {
	if len(texts) != len(fiveFields) {
		return fmt.Errorf("it must have five fields, not %d", len(texts))
	}
	for i, text := range texts {
		for item := range strings.SplitSeq(text, ",") {
			if err := fiveFields[i].check(item); err != nil {
				return err
			}
		}
	}
	return nil
}

// check returns the error of one item of the field: *, a value or a range, with or without
// a step.
func (f *field) check(item string) error {
	if item == "" {
		return fmt.Errorf("the %s has an empty item", f.name)
	}
	values, step, stepped := strings.Cut(item, "/")
	if stepped {
		if n, ok := number(step); !ok || n < 1 || n > f.last {
			return fmt.Errorf("the step of the %s must be from 1 to %d, not %.20q", f.name, f.last, step)
		}
	}
	if values == "*" || values == "?" {
		return nil
	}
	from, to, ranged := strings.Cut(values, "-")
	first, err := f.value(from)
	if err != nil || !ranged {
		return err
	}
	last, err := f.value(to)
	if err != nil {
		return err
	}
	if f.last == 7 && last == 0 && strings.EqualFold(to, "sun") {
		last = 7
	}
	if first > last {
		return fmt.Errorf("the range %.20q of the %s ends before it begins", values, f.name)
	}
	return nil
}

// value reads a number of the field, or the name of one.
func (f *field) value(text string) (int, error) {
	if i := slices.Index(f.names, strings.ToLower(text)); i >= 0 {
		return f.first + i, nil
	}
	if n, ok := number(text); ok && n >= f.first && n <= f.last {
		return n, nil
	}
	or := ""
	if f.names != nil {
		or = ", or a name such as " + strings.ToUpper(f.names[1])
	}
	return 0, fmt.Errorf("the %s must be from %d to %d%s, not %.20q", f.name, f.first, f.last, or, text)
}

// number reads a number without a sign.
func number(text string) (int, bool) {
	n, err := strconv.Atoi(text)
	return n, err == nil && text[0] >= '0' && text[0] <= '9'
}
