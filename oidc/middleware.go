package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
)

// retryAfter, in seconds, goes with a 503. Keys are fetched again at most every few
// seconds, see the rules in keys.go.
const retryAfter = "5"

// Authenticate verifies the bearer token of a request. Nil means that the caller is
// admitted; the error is an [*Error].
func (v *Verifier) Authenticate(r *http.Request) error {
	_, err := v.Identify(r)
	return err
}

// Identify is [Verifier.Authenticate] and returns the caller. It reads only the
// Authorization header, of which there must be exactly one.
func (v *Verifier) Identify(r *http.Request) (*Identity, error) {
	headers := r.Header.Values("Authorization")
	switch {
	case len(headers) == 0:
		return nil, unauthenticated("no Authorization header")
	case len(headers) > 1:
		return nil, unauthenticated("more than one Authorization header")
	}
	scheme, token, _ := strings.Cut(headers[0], " ")
	token = strings.Trim(token, " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return nil, unauthenticated("the Authorization header is not of the form: Bearer TOKEN")
	}
	if strings.HasSuffix(token, removedSignature) && len(r.Header.Values("X-Serverless-Authorization")) > 0 {
		// The platform checks that header instead, and passes this one on as it
		// was sent: any caller can write the word in place of a signature.
		return nil, unauthenticated("the token's signature was not taken off by the platform, which looks at X-Serverless-Authorization when that is sent")
	}
	return v.Verify(r.Context(), token)
}

type identityKey struct{}

// FromContext returns the identity that [Require] found in the request with this
// context.
func FromContext(ctx context.Context) (*Identity, bool) {
	identity, ok := ctx.Value(identityKey{}).(*Identity)
	return identity, ok
}

// Require returns middleware that lets only verified requests through and puts the
// caller's identity into their context. Others are answered with {"error":"…"} and
// 401 (WWW-Authenticate: Bearer), 403, or 503 (Retry-After). It panics if v is nil.
func Require(v *Verifier) func(http.Handler) http.Handler {
	if v == nil {
		panic("oidc: Require needs a Verifier")
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			identity, err := v.Identify(r)
			if err != nil {
				refuse(w, err)
				return
			}
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), identityKey{}, identity)))
		})
	}
}

func refuse(w http.ResponseWriter, err error) {
	status := http.StatusUnauthorized
	var refusal *Error
	if errors.As(err, &refusal) {
		status = refusal.HTTPStatus()
	}
	header := w.Header()
	switch status {
	case http.StatusUnauthorized:
		header.Set("WWW-Authenticate", "Bearer")
	case http.StatusServiceUnavailable:
		header.Set("Retry-After", retryAfter)
	}
	header.Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// The client may be gone; nothing is left to do.
	_ = json.NewEncoder(w).Encode(map[string]string{"error": err.Error()})
}
