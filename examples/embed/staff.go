package main

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net/http"

	"github.com/claimcheck-go/claimcheck/server/admin"
)

// staff is the program's own login: HTTP's basic authentication with one password.
// It admits callers of /tasks/ and readers of /admin/.
type staff struct{ password string }

var errNotStaff = errors.New("log in as staff")

// Authenticate is httpapi.Authenticator's.
func (s staff) Authenticate(r *http.Request) error {
	_, password, _ := r.BasicAuth()
	given, want := sha256.Sum256([]byte(password)), sha256.Sum256([]byte(s.password))
	if subtle.ConstantTimeCompare(given[:], want[:]) != 1 {
		return errNotStaff
	}
	return nil
}

// Identify is admin.Access's. The name is kept in the audit log.
func (s staff) Identify(r *http.Request) (admin.Person, error) {
	name, _, _ := r.BasicAuth()
	return admin.Person{Name: name}, s.Authenticate(r)
}

// require makes a browser ask for the password.
func (s staff) require(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := s.Authenticate(r); err != nil {
			w.Header().Set("WWW-Authenticate", `Basic realm="staff"`)
			http.Error(w, err.Error(), http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}
