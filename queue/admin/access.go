package admin

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/time/rate"
)

// Access decides who may open the pages. An error of Identify is ErrLogin,
// ErrForbidden, or one of the way's own, whose HTTPStatus method, if it has one,
// gives the status, else 403. It is called for every request, by many goroutines
// at once.
type Access interface {
	Identify(r *http.Request) (Person, error)
}

// Person is who looks at the pages.
type Person struct {
	Name     string // for the audit log
	ReadOnly bool   // sees everything and changes nothing
}

// Errors of Access.
var (
	// ErrLogin: log in first; the login form is shown.
	ErrLogin = errors.New("log in first")
	// ErrForbidden: not allowed in.
	ErrForbidden = errors.New("not allowed")
)

// Open lets everybody in under one name: for a server on loopback that refuses
// other sites' pages, and behind a proxy that has asked already.
func Open(name string) Access { return open(name) }

type open string

func (o open) Identify(*http.Request) (Person, error) { return Person{Name: string(o)}, nil }

// Closed lets nobody in, and says why.
func Closed(why string) Access { return closed{&refusal{why}} }

type closed struct{ err error }

func (c closed) Identify(*http.Request) (Person, error) { return Person{}, c.err }

type refusal struct{ text string }

func (r *refusal) Error() string        { return r.text }
func (r *refusal) Is(target error) bool { return target == ErrForbidden }

// FirstOf lets in whom any of the ways does, asked in this order. If none does,
// the answer is that of the last.
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

func (f firstOf) Login(w http.ResponseWriter, r *http.Request, token string) bool {
	for _, way := range f {
		if l, ok := way.(loginer); ok {
			return l.Login(w, r, token)
		}
	}
	return false
}

func (f firstOf) Logout(w http.ResponseWriter, r *http.Request) {
	for _, way := range f {
		if l, ok := way.(loginer); ok {
			l.Logout(w, r)
		}
	}
}

// loginer is an Access with a login form.
type loginer interface {
	// Login checks a token and begins a session, whose cookie it sets.
	Login(w http.ResponseWriter, r *http.Request, token string) bool
	Logout(w http.ResponseWriter, r *http.Request)
}

// Tokens lets in who logs in with one of two secrets (ADMIN_TOKEN,
// ADMIN_READONLY_TOKEN); an empty one is nobody's. Sessions last twelve hours, on
// every instance that has the same secrets, and end when these change.
func Tokens(admin, readOnly string) Access {
	t := &tokens{limiter: rate.NewLimiter(20, 50)}
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
	limiter *rate.Limiter // of guesses, by everybody together
}

const (
	sessionCookie = "claimcheck_admin"
	sessionLength = 12 * time.Hour
)

func (t *tokens) Identify(r *http.Request) (Person, error) {
	cookie, err := r.Cookie(sessionCookie)
	if err != nil {
		return Person{}, ErrLogin
	}
	name, rest, _ := strings.Cut(cookie.Value, ".")
	expires, signature, _ := strings.Cut(rest, ".")
	seconds, err := strconv.ParseInt(expires, 10, 64)
	if err != nil || time.Now().Unix() >= seconds {
		return Person{}, ErrLogin
	}
	for _, role := range t.roles {
		if role.name == name && hmac.Equal([]byte(signature), []byte(role.sign(expires))) {
			return Person{Name: role.name, ReadOnly: role.readOnly}, nil
		}
	}
	return Person{}, ErrLogin
}

// sign makes the signature of a session that ends at expires.
func (r role) sign(expires string) string {
	key := sha256.Sum256([]byte("claimcheck admin session\n" + r.secret))
	mac := hmac.New(sha256.New, key[:])
	mac.Write([]byte(r.name + "." + expires))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// Login begins a session if the token is one of the secrets.
func (t *tokens) Login(w http.ResponseWriter, r *http.Request, token string) bool {
	if !t.limiter.Allow() {
		return false
	}
	given := sha256.Sum256([]byte(strings.TrimSpace(token)))
	for _, role := range t.roles {
		want := sha256.Sum256([]byte(role.secret))
		if subtle.ConstantTimeCompare(given[:], want[:]) == 1 {
			expires := strconv.FormatInt(time.Now().Add(sessionLength).Unix(), 10)
			setSession(w, r, role.name+"."+expires+"."+role.sign(expires), int(sessionLength.Seconds()))
			return true
		}
	}
	return false
}

// Logout ends a session in its browser.
func (t *tokens) Logout(w http.ResponseWriter, r *http.Request) { setSession(w, r, "", -1) }

func setSession(w http.ResponseWriter, r *http.Request, value string, maxAge int) {
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // secure wherever there is TLS
		Name: sessionCookie, Value: value, Path: "/", MaxAge: maxAge, HttpOnly: true, SameSite: http.SameSiteLaxMode,
		// Cloud Run and App Engine speak plain HTTP to the process.
		Secure: r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https",
	})
}
