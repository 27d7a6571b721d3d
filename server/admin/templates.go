package admin

import (
	"embed"
	"html/template"
	"strings"
	"sync"

	"github.com/claimcheck-go/claimcheck/server/internal/lang"
)

//go:embed templates
var templateFiles embed.FS

// sharedTemplates are read with each page.
var sharedTemplates = []string{"templates/layout.html", "templates/parts.html", "templates/fields.html", "templates/figures.html"}

// templates are the pages in each language, parsed when first needed: most programs show a
// few of them in one language. It is safe for concurrent use.
type templates struct {
	h     *handler
	mu    sync.Mutex
	bases map[*lang.Printer]*template.Template // the shared templates
	pages map[templateKey]*template.Template
}

type templateKey struct {
	name string
	p    *lang.Printer
}

func newTemplates(h *handler) *templates {
	return &templates{h: h, bases: make(map[*lang.Printer]*template.Template), pages: make(map[templateKey]*template.Template)}
}

// page returns the template of a page.
func (t *templates) page(name string, p *lang.Printer) (*template.Template, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	key := templateKey{name, p}
	if page := t.pages[key]; page != nil {
		return page, nil
	}
	base := t.bases[p]
	if base == nil {
		var err error
		if base, err = template.New("layout.html").Funcs(t.h.functions(p)).ParseFS(templateFiles, sharedTemplates...); err != nil {
			return nil, err
		}
		t.bases[p] = base
	}
	page, err := base.Clone()
	if err == nil {
		page, err = page.ParseFS(templateFiles, "templates/"+name+".html")
	}
	if err != nil {
		return nil, err
	}
	t.pages[key] = page
	return page, nil
}

// functions are those of the templates. t and th format messages: th those that have
// elements as arguments, which link, when and strong return.
func (h *handler) functions(p *lang.Printer) template.FuncMap {
	return template.FuncMap{
		"t": p.T, "th": p.HTML, "known": p.Known, "text": p.Text,
		"num": p.Number, "span": p.Span,
		"link": link, "when": when, "strong": strong, "code": code, "elapsed": elapsed, "both": both, "data": data,
		"languages": lang.Languages,
		"url":       h.link, "asset": h.assetURL, "lower": strings.ToLower, "add": func(a, b int) int { return a + b },
	}
}

// link is a link of these pages, as an argument of a message.
func link(address, text string) template.HTML {
	return template.HTML(`<a href="` + template.HTMLEscapeString(address) + `">` + template.HTMLEscapeString(text) + `</a>`) //nolint:gosec // escaped
}

// when is a time, as an argument of a message.
func when(m moment) template.HTML {
	if m.ISO == "" {
		return "–"
	}
	return template.HTML(`<time datetime="` + m.ISO + `" title="` + m.UTC + `">` + template.HTMLEscapeString(m.Words) + `</time>`) //nolint:gosec // escaped
}

// both is a time in words and in figures, as an argument of a message.
func both(m moment) template.HTML {
	if m.ISO == "" {
		return "–"
	}
	return template.HTML(`<time datetime="` + m.ISO + `">` + template.HTMLEscapeString(m.Words) + ` <span class="dim" translate="no">` + m.UTC + `</span></time>`) //nolint:gosec // escaped
}

// data is a text that is not translated, as an argument of a message: a name or an ID.
func data(text string) template.HTML {
	return template.HTML(`<span translate="no">` + template.HTMLEscapeString(text) + `</span>`) //nolint:gosec // escaped
}

// strong is a text that stands out, as an argument of a message.
func strong(text string) template.HTML {
	return template.HTML(`<b>` + template.HTMLEscapeString(text) + `</b>`) //nolint:gosec // escaped
}

// code is something to be written as it is, as an argument of a message.
func code(text string) template.HTML {
	return template.HTML(`<code translate="no">` + template.HTMLEscapeString(text) + `</code>`) //nolint:gosec // escaped
}

// elapsed is how long a task has been running, as an argument of a message. The browser
// counts on.
func elapsed(s state) template.HTML {
	return template.HTML(`<time datetime="` + s.Start() + `" data-elapsed>` + s.Runs + `</time>`) //nolint:gosec // made of digits
}
