package admin

import (
	"encoding/json"
	"net/http"

	"github.com/claimcheck-go/claimcheck/server/internal/lang"
)

const (
	languageCookie = "claimcheck_language"
	languageAge    = 365 * 24 * 60 * 60 // seconds
	maxLanguage    = 64 << 10           // bytes of the form, which has the address of the page
)

// language returns the printer of the language that a browser has chosen on these pages,
// else of the one that it asks for.
func language(r *http.Request) *lang.Printer {
	chosen := ""
	if cookie, err := r.Cookie(languageCookie); err == nil {
		chosen = cookie.Value
	}
	return lang.Match(chosen, r.Header.Get("Accept-Language"))
}

// setLanguage keeps the choice of a language in a cookie, and returns to the page. It needs
// no login, since the login page has the choice too.
func (h *handler) setLanguage(v *visit) error {
	if v.r.Method != http.MethodPost {
		v.w.Header().Set("Allow", http.MethodPost)
		return &pageError{http.StatusMethodNotAllowed, lang.M("Method not allowed"), lang.M("Use %s.", http.MethodPost)}
	}
	form, err := readForm(v, maxLanguage)
	if err != nil {
		return err
	}
	if lang.For(form.Get("to")) == nil {
		return &pageError{http.StatusBadRequest, lang.M("No such language"), lang.M("Choose one of those below.")}
	}
	http.SetCookie(v.w, &http.Cookie{ //nolint:gosec // Secure wherever the browser came by HTTPS; a local server has none
		Name: languageCookie, Value: form.Get("to"), Path: h.cookiePath(), MaxAge: languageAge, HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: v.secure(),
	})
	v.redirect(h.safe(form.Get("back")))
	return nil
}

// secure reports whether the browser came by HTTPS.
func (v *visit) secure() bool {
	return v.r.TLS != nil || v.r.Header.Get("X-Forwarded-Proto") == "https"
}

// t formats a message in the reader's language.
func (v *visit) t(key string, args ...any) string { return v.p.T(key, args...) }

// words formats times for the reader, relative to the moment of the request.
func (v *visit) words() words { return words{now: v.now, p: v.p} }

// verbatim is a text that is not translated: one of an error, or of the program.
func verbatim(text string) lang.Text { return lang.Verbatim(text) }

// scriptMessages are those of the script, which replaces %s itself.
var scriptMessages = []lang.Text{
	lang.M("Shown as of {}."), lang.M("Your session has ended."), lang.M("Log in again"), lang.M("This no longer exists."),
	lang.M("You no longer have access."), lang.M("Not reachable; retrying."), lang.M("Not reachable (the answer was {}); retrying."),
	lang.M("your time"), lang.M("{} selected"), lang.M("selected"), lang.M("Copied"),
}

// scriptWords returns the messages of the script by their keys, as JSON; in English, none.
func scriptWords(p *lang.Printer) string {
	words := make(map[string]string)
	for _, m := range scriptMessages {
		if text := p.Text(m); text != m.Key {
			words[m.Key] = text
		}
	}
	data, _ := json.Marshal(words) // it cannot fail
	return string(data)
}
