package lang_test

import (
	"testing"
	"time"

	"github.com/claimcheck-go/claimcheck/server/internal/api"
	"github.com/claimcheck-go/claimcheck/server/internal/lang"
)

func TestMatch(t *testing.T) {
	for _, test := range []struct{ chosen, accept, want string }{
		{"", "", "en"}, {"", "ja", "ja"}, {"", "ja-JP,en;q=0.5", "ja"}, {"", "de,fr", "en"}, {"", "de,es-MX;q=0.8,en;q=0.7", "es"},
		{"", "pt", "pt-BR"}, {"", "pt-PT", "pt-BR"}, {"", "zh-CN,zh;q=0.9", "zh-Hans"}, {"", "zh", "zh-Hans"}, {"", "en-GB,ja;q=0.9", "en"},
		{"es", "ja", "es"}, {"xx", "ja", "ja"}, {"", ";;;", "en"}, {"", "en;q=0,ja", "ja"}, {"zh-Hans", "", "zh-Hans"},
	} {
		if got := lang.Match(test.chosen, test.accept).Tag(); got != test.want {
			t.Errorf("chosen %q, accepted %q: %s, want %s", test.chosen, test.accept, got, test.want)
		}
	}
}

// English lengths of time are those of the API and the command line.
func TestSpansAreThoseOfTheAPI(t *testing.T) {
	for d := time.Millisecond; d < 200*24*time.Hour; d = d*5/3 + 7*time.Millisecond {
		if got, want := lang.English().Span(d), api.Span(d); got != want {
			t.Errorf("%d ms: %q, want %q", d.Milliseconds(), got, want)
		}
	}
}

func TestHTMLEscapesArguments(t *testing.T) {
	got := lang.English().HTML("%s and %s and %d", "<b>", lang.M("a & b %s", "<i>"), 1234)
	if want := "&lt;b&gt; and a &amp; b &lt;i&gt; and 1,234"; string(got) != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestProvidedTexts(t *testing.T) {
	text := lang.Provide(lang.M("Run: %s", "shop migrate"))
	if text != "Run: shop migrate" {
		t.Errorf("%q", text)
	}
	if got := lang.Provided(text); got.Key != "Run: %s" {
		t.Errorf("%+v", got)
	}
	if got := lang.English().Known("100 % of mine"); got != "100 % of mine" {
		t.Errorf("%q", got)
	}
}

func TestLengthsOfTimeAreArguments(t *testing.T) {
	if got, want := lang.M("in %s: %s", 90*time.Second, lang.M("after %s", time.Hour)).String(), "in 1 min 30 s: after 1 h"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got, want := lang.English().HTML("in %s", 2*time.Second), "in 2 s"; string(got) != want {
		t.Errorf("%s, want %s", got, want)
	}
}
