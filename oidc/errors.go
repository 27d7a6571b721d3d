package oidc

import (
	"errors"
	"fmt"
	"net/http"
)

// Every error of [Verifier.Verify], [Verifier.Authenticate] and [Verifier.Identify]
// matches exactly one of these with errors.Is.
var (
	// ErrUnauthenticated: no credentials, or bad ones.
	ErrUnauthenticated = errors.New("unauthenticated")
	// ErrForbidden: a good token of an account that is not on the list.
	ErrForbidden = errors.New("forbidden")
	// ErrKeysUnavailable: the keys to verify with cannot be fetched now; retry later.
	ErrKeysUnavailable = errors.New("verification keys unavailable")
)

// Error is a refusal. Its text says what is wrong and may be shown to the caller: it
// holds neither the token nor anything from inside the verifier.
type Error struct {
	kind  error
	text  string
	cause error
}

// Error returns the text for the caller.
func (e *Error) Error() string { return e.text }

// Unwrap returns the sentinel that e matches and, if there is one, the cause, which is
// for logs only.
func (e *Error) Unwrap() []error {
	if e.cause == nil {
		return []error{e.kind}
	}
	return []error{e.kind, e.cause}
}

// HTTPStatus returns the status code to answer with: 401, 403 or 503.
func (e *Error) HTTPStatus() int {
	switch e.kind {
	case ErrForbidden:
		return http.StatusForbidden
	case ErrKeysUnavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusUnauthorized
}

func unauthenticated(format string, args ...any) *Error {
	return &Error{kind: ErrUnauthenticated, text: fmt.Sprintf(format, args...)}
}
