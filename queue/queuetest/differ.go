package queuetest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// differentJSON says where two JSON values differ, by the paths of what differs. The order
// of fields and white space do not matter.
func differentJSON(path string, got, want json.RawMessage) []string {
	a, errA := decoded(got)
	b, errB := decoded(want)
	if errA != nil || errB != nil {
		return []string{fmt.Sprintf("%s are %s, want %s", path, got, want)}
	}
	return differ(path, a, b)
}

func decoded(data json.RawMessage) (value any, err error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	err = d.Decode(&value)
	return value, err
}

func differ(path string, got, want any) (how []string) {
	switch want := want.(type) {
	case map[string]any:
		got, ok := got.(map[string]any)
		if !ok {
			break
		}
		both := maps.Clone(want)
		maps.Copy(both, got)
		for _, name := range slices.Sorted(maps.Keys(both)) {
			g, has := got[name]
			w, wanted := want[name]
			at := path + "." + name
			switch {
			case !has:
				how = append(how, fmt.Sprintf("%s is missing, want %s", at, shown(w)))
			case !wanted:
				how = append(how, fmt.Sprintf("%s is %s, want none", at, shown(g)))
			default:
				how = append(how, differ(at, g, w)...)
			}
		}
		return how
	case []any:
		got, ok := got.([]any)
		if !ok || len(got) != len(want) {
			break
		}
		for i := range want {
			how = append(how, differ(fmt.Sprintf("%s[%d]", path, i), got[i], want[i])...)
		}
		return how
	default:
		if got == want {
			return nil
		}
	}
	return []string{fmt.Sprintf("%s is %s, want %s", path, shown(got), shown(want))}
}

func shown(value any) string {
	var text strings.Builder
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	if err := e.Encode(value); err != nil {
		return fmt.Sprint(value)
	}
	return strings.TrimSpace(text.String())
}
