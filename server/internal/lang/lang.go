// Package lang has the messages of the pages in the languages of their readers.
//
// A message is written in English where it is used, in the notation of package fmt: the
// English text is its key in the catalogues of the other languages, which are in the folder
// catalogs. A message is a whole sentence or a whole label, since the order of words differs
// among languages. Numbers are formatted as the language does, and choose the plural form:
//
//	p.T("%d tasks were retried, %s skipped", n, p.Number(skipped))
//
// A message with a %d has an entry in the English catalogue too, with its forms "one" and
// "other". Tests of this package find all messages in the sources and in the templates, and
// require each in every catalogue.
package lang

import (
	"sync"

	"golang.org/x/text/language"
)

// Language is one of those that the pages are available in.
type Language struct {
	Tag  string // BCP 47, as in the attribute lang
	Name string // in the language itself
}

// Languages are all of them, English first.
func Languages() []Language {
	return []Language{{"en", "English"}, {"ja", "日本語"}, {"zh-Hans", "简体中文"}, {"pt-BR", "Português (Brasil)"}, {"es", "Español"}}
}

// English is the printer of the language that messages are written in.
func English() *Printer { return For("en") }

// For returns the printer of a language of [Languages], or nil. A catalogue is read when it
// is first needed.
func For(tag string) *Printer {
	printer := printers()[tag]
	if printer == nil {
		return nil
	}
	return printer()
}

var printers = sync.OnceValue(func() map[string]func() *Printer {
	all := make(map[string]func() *Printer)
	for _, l := range Languages() {
		all[l.Tag] = sync.OnceValue(func() *Printer { return newPrinter(l.Tag) })
	}
	return all
})

var matcher = sync.OnceValue(func() language.Matcher {
	var tags []language.Tag
	for _, l := range Languages() {
		tags = append(tags, language.MustParse(l.Tag))
	}
	return language.NewMatcher(tags)
})

// maxAccept bounds how much of a header is parsed.
const maxAccept = 300

// Match returns the printer of the language that was chosen, if it is one of [Languages],
// else of the one that fits a header Accept-Language best.
func Match(chosen, accept string) *Printer {
	if p := For(chosen); p != nil {
		return p
	}
	if accept == "" || len(accept) > maxAccept {
		return English()
	}
	wanted, _, err := language.ParseAcceptLanguage(accept)
	if err != nil {
		return English()
	}
	_, i, confidence := matcher().Match(wanted...)
	if confidence == language.No {
		return English()
	}
	return For(Languages()[i].Tag)
}
