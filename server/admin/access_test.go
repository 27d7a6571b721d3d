package admin

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
)

// login tries a token and returns the session's cookie, nil if it was refused.
func login(access Access, token string, header ...string) *http.Cookie {
	w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/admin/login", nil)
	if len(header) > 0 {
		r.Header.Set(header[0], header[1])
	}
	if l, ok := withLogin(access); !ok || l.login(w, r, "/", token) != nil {
		return nil
	}
	return w.Result().Cookies()[0]
}

func with(cookie *http.Cookie) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/admin/", nil)
	if cookie != nil {
		r.AddCookie(cookie)
	}
	return r
}

func TestTokensBeginSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		access := Tokens("secret-of-admins", "secret-of-guests")
		for token, want := range map[string]Person{
			"secret-of-admins":    {Name: "admin"},
			" secret-of-admins\n": {Name: "admin"},
			"secret-of-guests":    {Name: "read-only", ReadOnly: true},
		} {
			cookie := login(access, token)
			if cookie == nil || !cookie.HttpOnly || cookie.SameSite != http.SameSiteLaxMode || cookie.Secure {
				t.Fatalf("%q: %+v", token, cookie)
			}
			got, err := access.Identify(with(cookie))
			session := got.session
			got.session = uuid.Nil
			if err != nil || got != want || session == uuid.Nil {
				t.Errorf("%q: %+v, %v", token, got, err)
			}
			// Another instance knows it too; one with other secrets does not.
			if _, err := Tokens("secret-of-admins", "secret-of-guests").Identify(with(cookie)); err != nil {
				t.Errorf("another instance: %v", err)
			}
			if _, err := Tokens("new", "newer").Identify(with(cookie)); !errors.Is(err, ErrLogin) {
				t.Errorf("other secrets: %v", err)
			}
			time.Sleep(sessionLength)
			if _, err := access.Identify(with(cookie)); !errors.Is(err, ErrLogin) {
				t.Errorf("after its time: %v", err)
			}
		}
		if cookie := login(access, "secret-of-admins", "X-Forwarded-Proto", "https"); !cookie.Secure {
			t.Error("behind TLS the cookie is not secure")
		}
	})
}

func TestTokensRefuseOthers(t *testing.T) {
	access := Tokens("secret-of-admins", "")
	for _, token := range []string{"", " ", "secret", "secret-of-admins2"} {
		if login(access, token) != nil {
			t.Errorf("%q is let in", token)
		}
	}
	guest := login(Tokens("x", "secret-of-admins"), "secret-of-admins") // signed with the same secret
	sound := login(access, "secret-of-admins")
	parts := strings.Split(sound.Value, ".")
	for name, value := range map[string]string{
		"nothing": "", "another role": guest.Value,
		"a longer session":  strings.Join([]string{parts[0], parts[1], "9999999999", parts[3]}, "."),
		"another session":   strings.Join([]string{parts[0], uuid.NewString(), parts[2], parts[3]}, "."),
		"a renamed one":     strings.Join([]string{"read-only", parts[1], parts[2], parts[3]}, "."),
		"no time":           strings.Join([]string{parts[0], parts[1], "x", parts[3]}, "."),
		"no signature":      strings.Join(parts[:3], ".") + ".",
		"without a session": strings.Join([]string{parts[0], parts[2], parts[3]}, "."),
	} {
		if _, err := access.Identify(with(&http.Cookie{Name: sessionCookie, Value: value})); !errors.Is(err, ErrLogin) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := access.Identify(with(nil)); !errors.Is(err, ErrLogin) {
		t.Errorf("no cookie: %v", err)
	}
}

func TestOpenAndClosed(t *testing.T) {
	if who, err := Open("local").Identify(with(nil)); err != nil || who != (Person{Name: "local"}) {
		t.Errorf("%+v, %v", who, err)
	}
	if _, err := Closed("set ADMIN_TOKEN").Identify(with(nil)); !errors.Is(err, ErrForbidden) || err.Error() != "set ADMIN_TOKEN" {
		t.Errorf("got %v", err)
	}
}

func TestFirstOfAsksEach(t *testing.T) {
	access := FirstOf(Closed("not through the proxy"), Tokens("secret-of-admins", ""))
	if _, err := access.Identify(with(nil)); !errors.Is(err, ErrLogin) {
		t.Errorf("got %v", err)
	}
	if cookie := login(access, "secret-of-admins"); cookie == nil {
		t.Error("the right token does not log in")
	} else if who, err := access.Identify(with(cookie)); err != nil || who.Name != "admin" {
		t.Errorf("%+v, %v", who, err)
	}
	if who, err := FirstOf(Open("proxy"), Tokens("secret-of-admins", "")).Identify(with(nil)); err != nil || who.Name != "proxy" {
		t.Errorf("%+v, %v", who, err)
	}
}
