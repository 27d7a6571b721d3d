package admin

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Access decides who may open the pages. Identify returns [ErrLogin], [ErrForbidden],
// [Redirect] to a login of the program's own, a [Challenge] for the browser, or another
// error, whose method HTTPStatus() int, if it has one, is the status code, else 403; its
// text is shown. It is called for every request and must be safe for concurrent use.
type Access interface {
	Identify(r *http.Request) (Person, error)
}

// Person is the user of a request.
type Person struct {
	Name     string // for the audit log
	ReadOnly bool   // sees everything and changes nothing
	// Logout is where the program's own login is ended: a path of this host, such as /logout,
	// or an http or https URL. The header of the pages links to it. Empty: it does not.
	Logout string

	session uuid.UUID // can be ended by a logout; zero: there is none
}

// Errors of Access.
var (
	// ErrLogin: the user must log in; the login form is shown if there is one.
	ErrLogin = errors.New("log in first")
	// ErrForbidden: the user may not open the pages.
	ErrForbidden = errors.New("not allowed")
)

// Open admits every request under one name: behind a check of your own, such as a
// proxy that authenticates, or httpapi.Require(httpapi.LoopbackOnly()), which refuses
// what a proxy forwarded.
func Open(name string) Access { return open(name) }

type open string

func (o open) Identify(*http.Request) (Person, error) { return Person{Name: string(o)}, nil }

// Closed refuses every request with a text that says why.
func Closed(why string) Access { return closed{&refusal{why}} }

type closed struct{ err error }

func (c closed) Identify(*http.Request) (Person, error) { return Person{}, c.err }

type refusal struct{ text string }

func (r *refusal) Error() string        { return r.text }
func (r *refusal) Is(target error) bool { return target == ErrForbidden }

// FirstOf admits a request that any of the ways admits, called in this order. If none
// does, the error is that of the last.
func FirstOf(ways ...Access) Access { return firstOf(ways) }

type firstOf []Access

func (f firstOf) Identify(r *http.Request) (who Person, err error) {
	err = ErrForbidden
	for _, way := range f {
		if who, err = way.Identify(r); err == nil {
			return who, nil
		}
	}
	return Person{}, err
}

// loginer is an Access with a login form.
type loginer interface {
	Access
	// login begins a session, whose cookie it sets for a path, if the token is right.
	// The error is a *wrongToken.
	login(w http.ResponseWriter, r *http.Request, path, token string) error
	// logout ends the session in its browser.
	logout(w http.ResponseWriter, r *http.Request, path string)
}

// withLogin returns the first Access that has a login form.
func withLogin(access Access) (loginer, bool) {
	switch access := access.(type) {
	case loginer:
		return access, true
	case firstOf:
		for _, way := range access {
			if l, ok := withLogin(way); ok {
				return l, true
			}
		}
	}
	return nil, false
}

// Tokens admits users who log in with one of two secrets; an empty one is
// disabled. Sessions last twelve hours, are valid on every instance that has the same
// secrets, and end when these change or the user logs out, which the audit log
// records.
//
// Wrong tokens are limited by client address, as [ClientAddress] finds it; the right
// one is never refused because of requests from other addresses.
func Tokens(admin, readOnly string, options ...TokensOption) Access {
	t := &tokens{guesses: newGuesses(), address: remoteAddress}
	for _, option := range options {
		option(t)
	}
	for _, role := range []role{{"admin", admin, false}, {"read-only", readOnly, true}} {
		if role.secret != "" {
			t.roles = append(t.roles, role)
		}
	}
	return t
}

type role struct {
	name     string
	secret   string
	readOnly bool
}

type tokens struct {
	roles   []role
	guesses *guesses
	address func(*http.Request) netip.Addr
}

// TokensOption changes what [Tokens] returns.
type TokensOption func(*tokens)

// ClientAddress sets how the address of a client is found behind a proxy. The function
// must return what the proxy reports, never what the client can write, and the zero
// Addr if that is unknown. Default: the connection's address.
func ClientAddress(address func(*http.Request) netip.Addr) TokensOption {
	return func(t *tokens) { t.address = address }
}

func remoteAddress(r *http.Request) netip.Addr {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return at.Addr()
}

const (
	sessionCookie = "claimcheck_admin"
	sessionLength = 12 * time.Hour
)

// Identify reads the session's cookie: role.session.expiry.signature.
func (t *tokens) Identify(r *http.Request) (Person, error) {
	cookie, err := r.Cookie(sessionCookie)
	if err != nil {
		return Person{}, ErrLogin
	}
	parts := strings.Split(cookie.Value, ".")
	if len(parts) != 4 {
		return Person{}, ErrLogin
	}
	seconds, err := strconv.ParseInt(parts[2], 10, 64)
	if err != nil || time.Now().Unix() >= seconds {
		return Person{}, ErrLogin
	}
	for _, role := range t.roles {
		content := strings.Join(parts[:3], ".")
		if role.name == parts[0] && hmac.Equal([]byte(parts[3]), []byte(role.sign(content))) {
			session, err := uuid.Parse(parts[1])
			if err != nil {
				return Person{}, ErrLogin
			}
			return Person{Name: role.name, ReadOnly: role.readOnly, session: session}, nil
		}
	}
	return Person{}, ErrLogin
}

// sign makes the signature of a session.
func (r role) sign(content string) string {
	key := sha256.Sum256([]byte("claimcheck admin session\n" + r.secret))
	mac := hmac.New(sha256.New, key[:])
	mac.Write([]byte(content))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func (t *tokens) login(w http.ResponseWriter, r *http.Request, path, token string) error {
	provided, known := sha256.Sum256([]byte(strings.TrimSpace(token))), -1
	for i, role := range t.roles { // all of them, so that every login takes the same time
		want := sha256.Sum256([]byte(role.secret))
		if subtle.ConstantTimeCompare(provided[:], want[:]) == 1 {
			known = i
		}
	}
	if err := t.guesses.check(t.address(r), known >= 0); err != nil {
		return err
	}
	session, err := uuid.NewRandom()
	if err != nil {
		return err
	}
	role := t.roles[known]
	content := role.name + "." + session.String() + "." + strconv.FormatInt(time.Now().Add(sessionLength).Unix(), 10)
	setSession(w, r, path, content+"."+role.sign(content), int(sessionLength.Seconds()))
	return nil
}

func (t *tokens) logout(w http.ResponseWriter, r *http.Request, path string) {
	setSession(w, r, path, "", -1)
}

func setSession(w http.ResponseWriter, r *http.Request, path, value string, maxAge int) {
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // secure wherever there is TLS
		Name: sessionCookie, Value: value, Path: path, MaxAge: maxAge, HttpOnly: true, SameSite: http.SameSiteLaxMode,
		// Cloud Run and App Engine speak plain HTTP to the process.
		Secure: r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https",
	})
}
