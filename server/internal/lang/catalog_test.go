package lang

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

// update rewrites the catalogues: CLAIMCHECK_CATALOGS=update go test ./server/internal/lang
// adds what is missing, empty, and removes what is not used. Then each empty text is to be
// translated.
var update = os.Getenv("CLAIMCHECK_CATALOGS") == "update"

// wanted are the keys that a catalogue must have: in English, those with numbers.
func wanted(tag string, all map[string]string) []string {
	keys := slices.Sorted(maps.Keys(all))
	if tag == "en" {
		keys = slices.DeleteFunc(keys, func(key string) bool { return !strings.Contains(strings.Join(verbs(key), " "), "d") })
	}
	return keys
}

// Each catalogue has all messages and no other, with the arguments of the English text.
func TestCataloguesAreComplete(t *testing.T) {
	all := messages(t)
	for _, l := range Languages() {
		keys := wanted(l.Tag, all)
		if update {
			rewrite(t, l.Tag, keys)
		}
		entries, err := readCatalog(l.Tag)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := load(l.Tag); err != nil {
			t.Error(err)
		}
		for _, key := range keys {
			e, ok := entries[key]
			if !ok {
				t.Errorf("%s: %q of %s is missing", l.Tag, key, all[key])
				continue
			}
			checkEntry(t, l.Tag, key, e)
		}
		for key := range entries {
			if !slices.Contains(keys, key) {
				t.Errorf("%s: %q is not used", l.Tag, key)
			}
		}
	}
}

func checkEntry(t *testing.T, tag, key string, e entry) {
	t.Helper()
	forms := []string{e.Text}
	if e.Other != "" {
		forms = []string{e.Other}
		if e.One != nil {
			forms = append(forms, *e.One)
		}
	}
	for _, form := range forms {
		if form == "" {
			t.Errorf("%s: %q has no text", tag, key)
			continue
		}
		if got, want := verbs(form), verbs(key); !slices.Equal(got, want) {
			t.Errorf("%s: %q has the arguments %v, want %v", tag, key, got, want)
		}
		if strings.ContainsAny(form, "<>&") {
			t.Errorf("%s: %q has what HTML would escape", tag, key)
		}
		if len(verbs(key)) == 0 && strings.Contains(form, "%") {
			t.Errorf("%s: %q has a %% without an argument", tag, key)
		}
	}
	if tag == "en" && e.Other != key {
		t.Errorf("en: the form other of %q is %q, want the key", key, e.Other)
	}
}

// rewrite adds missing keys to a catalogue and removes those that are not used.
func rewrite(t *testing.T, tag string, keys []string) {
	t.Helper()
	path := "catalogs/" + tag + ".json"
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	old := make(map[string]json.RawMessage)
	if err := json.Unmarshal(data, &old); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	b.WriteString("{")
	for i, key := range keys {
		if i > 0 {
			b.WriteString(",")
		}
		b.WriteString("\n\t" + quoted(t, key) + ": ")
		switch text, ok := old[key]; {
		case ok:
			var spaced bytes.Buffer
			if err := json.Compact(&spaced, text); err != nil {
				t.Fatal(err)
			}
			b.Write(spaced.Bytes())
		case tag == "en":
			b.WriteString(`{"one":"","other":` + quoted(t, key) + `}`)
		default:
			b.WriteString(`""`)
		}
	}
	b.WriteString("\n}\n")
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

func quoted(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(text); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(b.String())
}
