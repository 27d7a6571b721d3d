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

// Identify is admin.Access's. The name is kept in the audit log; without the password
// the browser asks for it.
func (s staff) Identify(r *http.Request) (admin.Person, error) {
	if s.Authenticate(r) != nil {
		return admin.Person{}, admin.Challenge(`Basic realm="staff"`)
	}
	name, _, _ := r.BasicAuth()
	return admin.Person{Name: name}, nil
}
