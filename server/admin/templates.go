package admin

import (
	"bytes"
	"embed"
	"html/template"
	"strings"
	"sync"
	"time"

	"github.com/claimcheck-go/claimcheck/server/internal/lang"
)

//go:embed templates
var templateFiles embed.FS

// sharedTemplates are read with each page.
var sharedTemplates = []string{"templates/layout.html", "templates/parts.html", "templates/fields.html", "templates/figures.html"}

// templates are the pages, parsed when first needed: most programs show a few of them. One set
// is for all languages and all prefixes, because it takes megabytes; so the functions of the
// templates are those of the page that is being rendered, and pages are rendered one at a
// time. It is safe for concurrent use.
type templates struct {
	mu    sync.Mutex
	base  *template.Template // the shared templates
	pages map[string]*template.Template
	h     *handler      // of the page that is being rendered
	p     *lang.Printer // likewise
}

func newTemplates() *templates { return &templates{pages: make(map[string]*template.Template)} }

// render renders a page of a handler in a language, to memory.
func (t *templates) render(name string, h *handler, p *lang.Printer, data any) ([]byte, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	page, err := t.page(name)
	if err != nil {
		return nil, err
	}
	var rendered bytes.Buffer
	t.h, t.p = h, p
	err = page.ExecuteTemplate(&rendered, "page", data)
	return rendered.Bytes(), err
}

// page returns the template of a page.
func (t *templates) page(name string) (page *template.Template, err error) {
	if page := t.pages[name]; page != nil {
		return page, nil
	}
	if t.base == nil {
		if t.base, err = template.New("layout.html").Funcs(t.functions()).ParseFS(templateFiles, sharedTemplates...); err != nil {
			return nil, err
		}
	}
	if page, err = t.base.Clone(); err == nil {
		page, err = page.ParseFS(templateFiles, "templates/"+name+".html")
	}
	if err != nil {
		return nil, err
	}
	t.pages[name] = page
	return page, nil
}

// functions are those of the templates. t and th format messages: th those that have
// elements as arguments, which link, when and strong return.
func (t *templates) functions() template.FuncMap {
	return template.FuncMap{
		"t":     func(key string, args ...any) string { return t.p.T(key, args...) },
		"th":    func(key string, args ...any) template.HTML { return t.p.HTML(key, args...) },
		"known": func(text string) string { return t.p.Known(text) },
		"text":  func(text lang.Text) string { return t.p.Text(text) },
		"num":   func(n int) string { return t.p.Number(n) },
		"span":  func(d time.Duration) string { return t.p.Span(d) },
		"url":   func(path string, pairs ...string) string { return t.h.link(path, pairs...) },
		"asset": func(name string) (string, error) { return t.h.assetURL(name) },
		"link":  link, "named": named, "when": when, "strong": strong, "code": code, "elapsed": elapsed, "both": both, "data": data,
		"languages": lang.Languages, "lower": strings.ToLower, "add": func(a, b int) int { return a + b },
	}
}

// link is a link of these pages, as an argument of a message.
func link(address, text string) template.HTML {
	return template.HTML(`<a href="` + template.HTMLEscapeString(address) + `">` + template.HTMLEscapeString(text) + `</a>`) //nolint:gosec // escaped
}

// named is a link whose text is data, as an argument of a message.
func named(address, name string) template.HTML {
	return template.HTML(`<a href="` + template.HTMLEscapeString(address) + `" translate="no">` + template.HTMLEscapeString(name) + `</a>`) //nolint:gosec // escaped
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
