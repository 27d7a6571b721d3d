package lang

import (
	"fmt"
	"html/template"
	"strings"
	"sync"
	"time"

	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// Printer formats messages in one language. It is safe for concurrent use.
type Printer struct {
	tag     string
	printer *message.Printer
	known   map[string]bool // the keys of the catalogue
	marked  bool            // each message is marked, for tests
}

func newPrinter(tag string) *Printer {
	messages, known, err := load(tag)
	if err != nil {
		panic(err) // the catalogues are embedded, and tests read each
	}
	return &Printer{tag: tag, printer: message.NewPrinter(language.MustParse(tag), message.Catalog(messages)), known: known}
}

// Marked is [English] with each message between ⟦ and ⟧: what a page has outside of them
// is not a message.
func Marked() *Printer {
	p := newPrinter("en")
	p.marked = true
	return p
}

// Text is a message for a reader whose language is not known yet. Its arguments may be
// messages and lengths of time as well.
type Text struct {
	Key       string
	Args      []any
	sentences []Text // instead of them
}

// M is the message with a key.
func M(key string, args ...any) Text { return Text{Key: key, Args: args} }

// Join is a text of several sentences. Those with no key are left out.
func Join(sentences ...Text) Text { return Text{sentences: sentences} }

// IsEmpty reports whether there is no message.
func (t Text) IsEmpty() bool { return t.Key == "" && len(t.sentences) == 0 }

// String is the message in English.
func (t Text) String() string { return English().Text(t) }

// Tag is the language, as in the attribute lang.
func (p *Printer) Tag() string { return p.tag }

// T formats the message with a key. Arguments that are a [Text] or a [time.Duration] are
// formatted as well, as %s. A message without arguments has no %.
func (p *Printer) T(key string, args ...any) string {
	resolved := make([]any, len(args))
	for i, arg := range args {
		switch of := arg.(type) {
		case Text:
			arg = p.Text(of)
		case time.Duration:
			arg = p.Span(of)
		}
		resolved[i] = arg
	}
	text := key
	if len(args) > 0 || p.known[key] {
		text = p.printer.Sprintf(key, resolved...)
	}
	return p.mark(text)
}

func (p *Printer) mark(text string) string {
	if p.marked {
		return "⟦" + text + "⟧"
	}
	return text
}

// Text formats a message. That with no key is empty.
func (p *Printer) Text(t Text) string {
	if t.sentences != nil {
		formatted := make([]string, len(t.sentences))
		for i, sentence := range t.sentences {
			formatted[i] = p.Text(sentence)
		}
		return Sentences(formatted...)
	}
	if t.Key == "" {
		return ""
	}
	return p.T(t.Key, t.Args...)
}

// provided are the messages of [Provide] by their English texts.
var provided sync.Map

// Provide returns a message in English, for a program that configures its pages with texts:
// [Provided] finds it again. It has no number; a start reads no catalogue for it.
func Provide(t Text) string {
	text := t.Key
	if len(t.Args) > 0 {
		text = fmt.Sprintf(t.Key, t.Args...)
	}
	provided.Store(text, t)
	return text
}

// Provided is the message that a text was made of by [Provide]; any other is [Verbatim].
func Provided(text string) Text {
	if t, ok := provided.Load(text); ok {
		return t.(Text)
	}
	return Verbatim(text)
}

// Verbatim is a text that is the same in all languages: that of an error, or of a program.
func Verbatim(text string) Text { return M("%s", text) }

// Known is [Provided], formatted.
func (p *Printer) Known(text string) string { return p.Text(Provided(text)) }

// HTML formats a message whose arguments are elements. Other arguments are escaped; the
// messages themselves have nothing to escape, as a test ensures.
func (p *Printer) HTML(key string, args ...any) template.HTML {
	escaped := make([]any, len(args))
	for i, arg := range args {
		switch arg := arg.(type) {
		case int, int64, template.HTML:
			escaped[i] = arg
		case Text:
			escaped[i] = template.HTMLEscapeString(p.Text(arg))
		case time.Duration:
			escaped[i] = p.Span(arg)
		default:
			escaped[i] = template.HTMLEscapeString(fmt.Sprint(arg))
		}
	}
	return template.HTML(p.T(key, escaped...)) //nolint:gosec // each argument is an element or escaped
}

// Sentences joins formatted sentences; empty ones are left out. Scripts whose full stops have
// the width of a character need no space behind them.
func Sentences(list ...string) string {
	joined := ""
	for _, sentence := range list {
		if joined != "" && sentence != "" && !strings.HasSuffix(joined, "。") {
			joined += " "
		}
		joined += sentence
	}
	return joined
}

// Number is a number with separators: 38,200.
func (p *Printer) Number(n int) string { return p.printer.Sprintf("%d", n) }

// Tenths is a number with one decimal: 1.5.
func (p *Printer) Tenths(x float64) string { return p.printer.Sprintf("%.1f", x) }

// Percent is a share: 0.3%.
func (p *Printer) Percent(share float64) string { return p.part(percentage, 100*share) }

var percentage = M("%.1f%%")

// Units of time, behind a number, and what has two of them.
var (
	milliseconds = M("%s ms")
	seconds      = M("%s s")
	minutes      = M("%s min")
	hours        = M("%s h")
	days         = M("%s d")
	twoUnits     = M("%s %s")
)

// Span is a length of time in one unit, or two where one would be too rough: 850 ms, 4.2 s,
// 2 min 5 s, 3 d.
func (p *Printer) Span(d time.Duration) string { return p.mark(p.span(d)) }

func (p *Printer) span(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < 0:
		return p.unit(seconds, 0)
	case d < time.Second:
		return p.unit(milliseconds, int(d.Milliseconds()))
	case d < 10*time.Second:
		tenths := d.Truncate(100 * time.Millisecond)
		if tenths%time.Second == 0 {
			return p.unit(seconds, int(tenths/time.Second))
		}
		return p.part(seconds, p.printer.Sprintf("%.1f", tenths.Seconds()))
	case d < time.Minute:
		return p.unit(seconds, int(d/time.Second))
	case d < time.Hour:
		return p.two(d, time.Minute, time.Second, minutes, seconds)
	case d < day:
		return p.two(d, time.Hour, time.Minute, hours, minutes)
	default:
		return p.two(d, day, time.Hour, days, hours)
	}
}

// two is a length of time in two units. The second is left out if it is 0, or the first is 10
// or more.
func (p *Printer) two(d, unit, small time.Duration, unitText, smallText Text) string {
	whole, rest := int(d/unit), int(d%unit/small)
	if rest == 0 || whole >= 10 {
		return p.unit(unitText, whole)
	}
	return p.part(twoUnits, p.unit(unitText, whole), p.unit(smallText, rest))
}

func (p *Printer) unit(t Text, n int) string { return p.part(t, p.Number(n)) }

// part formats a part of a message, which tests do not mark.
func (p *Printer) part(t Text, args ...any) string { return p.printer.Sprintf(t.Key, args...) }
