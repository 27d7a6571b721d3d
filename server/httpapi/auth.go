package httpapi

import (
	"cmp"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/claimcheck-go/claimcheck/internal/loopback"
	"github.com/claimcheck-go/claimcheck/server/internal/api"
)

// An Authenticator decides whether a request may call the API. Its error may have a
// method HTTPStatus() int that returns 401 (no or bad credentials), 403 (known, but
// not allowed), 413 (a body too large to verify), 429 (too many bodies to verify at
// once) or 503 (verification is not possible now); an error without it means 401. The
// caller sees the error's text. *oidc.Verifier is an Authenticator.
type Authenticator interface {
	Authenticate(r *http.Request) error
}

// authError is a refusal with its status code.
type authError struct {
	status int
	text   string
}

func (e *authError) Error() string   { return e.text }
func (e *authError) HTTPStatus() int { return e.status }

// authStatus is the status code that an Authenticator's error asks for.
func authStatus(err error) int {
	var coded interface{ HTTPStatus() int }
	if errors.As(err, &coded) {
		return coded.HTTPStatus()
	}
	return http.StatusUnauthorized
}

// AnyOf accepts a request that any of the authenticators accepts. If none does, the
// caller gets the most specific refusal: 503 before 429 before 413 before 403 before
// 401, and the first of equal ones; a signed request without an Authorization header
// gets that of [HMAC]. HMAC, which reads bodies, is tried last, so that a request with
// other credentials never depends on it.
func AnyOf(authenticators ...Authenticator) Authenticator {
	var all anyOf
	for _, authenticator := range authenticators {
		if several, nested := authenticator.(anyOf); nested {
			all = append(all, several...)
		} else {
			all = append(all, authenticator)
		}
	}
	slices.SortStableFunc(all, func(a, b Authenticator) int { return cmp.Compare(readsBody(a), readsBody(b)) })
	return all
}

// readsBody is 1 for an authenticator that reads the request's body, else 0.
func readsBody(a Authenticator) int {
	if _, reads := a.(*signed); reads {
		return 1
	}
	return 0
}

type anyOf []Authenticator

func (a anyOf) Authenticate(r *http.Request) error {
	var refusal error
	for _, authenticator := range a {
		err := authenticator.Authenticate(r)
		if err == nil {
			return nil
		}
		more := refusal == nil || authStatus(err) > authStatus(refusal) // 503 > 429 > 413 > 403 > 401
		if more || authStatus(err) == authStatus(refusal) && readsBody(authenticator) == 1 && onlySigned(r) {
			refusal = err
		}
	}
	if refusal == nil {
		return &authError{http.StatusUnauthorized, "no way to authenticate is configured"}
	}
	return refusal
}

// onlySigned reports whether a signature is the only credential that r carries.
func onlySigned(r *http.Request) bool {
	sent := len(r.Header.Values(SignatureHeader)) > 0 || len(r.Header.Values(TimestampHeader)) > 0
	return sent && len(r.Header.Values("Authorization")) == 0
}

// Require returns ordinary middleware for a program's own routes: requests that auth
// accepts are passed on, others are answered as on /tasks/*. It panics if auth is nil.
func Require(auth Authenticator) func(http.Handler) http.Handler {
	if auth == nil {
		panic("httpapi: Require needs an Authenticator")
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			api.LimitBodyTime(w, r)
			if err := auth.Authenticate(r); err != nil {
				refuse(w, err)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

// refuse answers a request that was not accepted.
func refuse(w http.ResponseWriter, err error) {
	status := authStatus(err)
	switch status {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", "Bearer")
	case http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", seconds(api.InfraRetryAfter))
	case http.StatusTooManyRequests:
		w.Header().Set("Retry-After", seconds(budgetWait))
	}
	writeError(w, status, err.Error())
}

// BearerToken accepts requests with "Authorization: Bearer secret". It panics when
// the secret is empty, since that would accept every request.
func BearerToken(secret string) Authenticator {
	if secret == "" {
		panic("httpapi: BearerToken needs a secret")
	}
	return bearer(sha256.Sum256([]byte(secret)))
}

// bearer is the hash of the secret: comparing hashes takes the same time whatever
// the request contains.
type bearer [sha256.Size]byte

func (b bearer) Authenticate(r *http.Request) error {
	headers := r.Header.Values("Authorization")
	if len(headers) != 1 {
		return &authError{http.StatusUnauthorized, "send one header Authorization: Bearer …"}
	}
	scheme, token, _ := strings.Cut(headers[0], " ")
	sum := sha256.Sum256([]byte(strings.TrimSpace(token)))
	if !strings.EqualFold(scheme, "Bearer") || subtle.ConstantTimeCompare(sum[:], b[:]) != 1 {
		return &authError{http.StatusUnauthorized, "the bearer token is not accepted"}
	}
	return nil
}

// LoopbackOnly accepts requests without a credential from programs on this
// machine: those whose connection has a loopback address at both ends, wherever the
// server listens. It reads them from [http.Request].RemoteAddr and from
// [http.LocalAddrContextKey], which [http.Server] sets; without the latter it
// refuses.
//
// Requests that a proxy forwarded are refused: those with a Forwarded, X-Forwarded-* or
// X-Real-IP header. A proxy on this machine that adds none of them makes every request
// look local, so use a credential behind any proxy.
//
// Pages in a browser on this machine are refused, whatever the method of the
// request: those under a Host that is no loopback name (DNS rebinding), and those
// that the browser marks as coming from another origin. Another port of this machine
// is another origin.
func LoopbackOnly() Authenticator { return loopbackOnly{} }

type loopbackOnly struct{}

func (loopbackOnly) Authenticate(r *http.Request) error {
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); !ok || !loopback.Address(local.String()) || !loopback.Address(r.RemoteAddr) {
		return &authError{http.StatusForbidden, "without credentials only connections between loopback addresses of this machine are accepted"}
	}
	if name := forwardingHeader(r); name != "" {
		return &authError{http.StatusForbidden, "a proxy forwarded this request (it has the header " + name + "): a credential is required"}
	}
	if !loopback.Host(hostname(r.Host)) {
		return &authError{http.StatusForbidden, "without credentials only requests to a loopback host are accepted"}
	}
	if !fromSameOrigin(r) {
		return &authError{http.StatusForbidden, "requests from pages of another origin (Sec-Fetch-Site, Origin) are not accepted without credentials"}
	}
	return nil
}

// forwardingHeader returns the name of a header that proxies add to the requests they
// forward, or "" if r has none.
func forwardingHeader(r *http.Request) string {
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		switch canonical := http.CanonicalHeaderKey(name); {
		case canonical == "Forwarded", canonical == "X-Real-Ip":
			return canonical
		case strings.HasPrefix(canonical, "X-Forwarded-"):
			return "X-Forwarded-*" // the rest of the name is the caller's text
		}
	}
	return ""
}

// fromSameOrigin reports whether a request does not come from a page of another
// origin, as far as its browser says. "none" means that the user typed the address.
func fromSameOrigin(r *http.Request) bool {
	if sites := r.Header.Values("Sec-Fetch-Site"); len(sites) > 0 {
		return len(sites) == 1 && (sites[0] == "same-origin" || sites[0] == "none")
	}
	origin := r.Header.Get("Origin") // all that old browsers send
	if origin == "" {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && strings.EqualFold(u.Host, r.Host)
}

// hostname returns a Host header without its port, which must be a number.
func hostname(host string) string {
	if name, port, err := net.SplitHostPort(host); err == nil && strings.Trim(port, "0123456789") == "" {
		return name
	}
	return strings.Trim(host, "[]")
}

// AppEngineQueue accepts deliveries of App Engine's own queue service, by a header
// that App Engine removes from every request from outside. Elsewhere any client can
// send that header, so use it on App Engine only.
func AppEngineQueue() Authenticator { return platformHeader("X-AppEngine-QueueName") }

// AppEngineCron does the same for App Engine's cron service.
func AppEngineCron() Authenticator { return platformHeader("X-Appengine-Cron") }

// platformHeader is a header that only the platform can set.
type platformHeader string

func (h platformHeader) Authenticate(r *http.Request) error {
	if r.Header.Get(string(h)) == "" {
		return &authError{http.StatusUnauthorized, "no credentials"}
	}
	return nil
}
