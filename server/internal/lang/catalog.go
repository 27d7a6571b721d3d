package lang

import (
	"embed"
	"encoding/json"
	"fmt"
	"strings"

	"golang.org/x/text/feature/plural"
	"golang.org/x/text/language"
	"golang.org/x/text/message/catalog"
)

//go:embed catalogs/*.json
var catalogFiles embed.FS

// entry is a message of a catalogue: a text, or its plural forms.
type entry struct {
	Text  string
	One   *string // nil: the language has no such form, or the message does not need it
	Other string
	Arg   int // the number that chooses the form; 0: the first %d
}

// UnmarshalJSON accepts a string, or an object with plural forms.
func (e *entry) UnmarshalJSON(data []byte) error {
	if data[0] == '"' {
		return json.Unmarshal(data, &e.Text)
	}
	return json.Unmarshal(data, (*struct {
		Text  string `json:"-"`
		One   *string
		Other string
		Arg   int
	})(e))
}

// message returns an entry as the library takes it.
func (e entry) message(key string) catalog.Message {
	if e.Other == "" {
		return catalog.String(e.Text)
	}
	arg := e.Arg
	if arg == 0 {
		arg = numberArg(key)
	}
	if e.One == nil {
		return plural.Selectf(arg, "%d", plural.Other, e.Other)
	}
	return plural.Selectf(arg, "%d", plural.One, *e.One, plural.Other, e.Other)
}

// numberArg returns the position of the first %d of a key, from 1.
func numberArg(key string) int {
	n := 0
	for rest := key; ; {
		_, after, found := strings.Cut(rest, "%")
		if !found || after == "" {
			return 1
		}
		if rest = after; after[0] == '%' {
			rest = after[1:]
			continue
		}
		if n++; after[0] == 'd' {
			return n
		}
	}
}

// readCatalog returns the messages of a language by their keys.
func readCatalog(tag string) (map[string]entry, error) {
	data, err := catalogFiles.ReadFile("catalogs/" + tag + ".json")
	if err != nil {
		return nil, fmt.Errorf("lang: %w", err)
	}
	entries := make(map[string]entry)
	if err := json.Unmarshal(data, &entries); err != nil {
		return nil, fmt.Errorf("lang: catalogs/%s.json: %w", tag, err)
	}
	return entries, nil
}

// load returns the catalogue of a language, and its keys.
func load(tag string) (catalog.Catalog, map[string]bool, error) {
	entries, err := readCatalog(tag)
	if err != nil {
		return nil, nil, err
	}
	t, known := language.MustParse(tag), make(map[string]bool, len(entries))
	messages := catalog.NewBuilder(catalog.Fallback(language.English))
	for key, e := range entries {
		if err := messages.Set(t, key, e.message(key)); err != nil {
			return nil, nil, fmt.Errorf("lang: catalogs/%s.json: %q: %w", tag, key, err)
		}
		known[key] = true
	}
	return messages, known, nil
}
