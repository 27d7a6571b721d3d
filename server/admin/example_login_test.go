package admin_test

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"

	"github.com/claimcheck-go/claimcheck/server/admin"
)

// users is a program's own login, such as one made with golang.org/x/oauth2 and
// github.com/coreos/go-oidc: its callback stores a session and sets the cookie.
type users struct {
	byCookie map[string]string // email addresses; a real one is in a store, and expires
}

func (u users) Identify(r *http.Request) (admin.Person, error) {
	cookie, err := r.Cookie("__Host-session")
	if err != nil || u.byCookie[cookie.Value] == "" {
		return admin.Person{}, admin.Redirect("/login")
	}
	return admin.Person{Name: u.byCookie[cookie.Value], Logout: "/logout"}, nil
}

// login is the handler of /login. Keep the page to return to while the provider asks who
// the user is, and redirect to it in the callback.
func (u users) login(w http.ResponseWriter, r *http.Request) {
	back := admin.ReturnTo(r, "/ops/tasks") // never an address elsewhere
	// state := newState(w, back)
	// http.Redirect(w, r, oauth2Config.AuthCodeURL(state), http.StatusFound)
	_, _ = fmt.Fprintln(w, "after the login:", back)
}

// The login of a program that uses an OpenID Connect library.
func ExampleRedirect() {
	access := users{byCookie: map[string]string{"c0ffee": "ann@example.com"}}
	_, err := access.Identify(httptest.NewRequest(http.MethodGet, "/ops/tasks/queues", nil))
	fmt.Println(errors.Is(err, admin.ErrLogin))

	w := httptest.NewRecorder()
	access.login(w, httptest.NewRequest(http.MethodGet, "/login?return_to=https://evil.example/", nil))
	fmt.Print(w.Body)
	w = httptest.NewRecorder()
	access.login(w, httptest.NewRequest(http.MethodGet, "/login?return_to=%2Fops%2Ftasks%2Fqueues", nil))
	fmt.Print(w.Body)
	// Output:
	// true
	// after the login: /ops/tasks/
	// after the login: /ops/tasks/queues
}

// basicAuth asks for a password by the browser's own dialog.
type basicAuth struct{ user, password string }

func (b basicAuth) Identify(r *http.Request) (admin.Person, error) {
	user, password, _ := r.BasicAuth()
	right := subtle.ConstantTimeCompare([]byte(user), []byte(b.user)) & subtle.ConstantTimeCompare([]byte(password), []byte(b.password))
	if right != 1 {
		return admin.Person{}, admin.Challenge(`Basic realm="tasks", charset="UTF-8"`)
	}
	return admin.Person{Name: user}, nil
}

// Basic authentication.
func ExampleChallenge() {
	access := basicAuth{"ann", "s3cret"}
	r := httptest.NewRequest(http.MethodGet, "/admin/", nil)
	_, err := access.Identify(r)
	fmt.Println(err)
	r.SetBasicAuth("ann", "s3cret")
	who, _ := access.Identify(r)
	fmt.Println(who.Name)
	// Output:
	// log in first
	// ann
}

// behindProxy believes the header of a proxy that authenticates, such as oauth2-proxy,
// if the proxy sent the request: anyone else can send the header too.
type behindProxy struct{ proxy string }

func (b behindProxy) Identify(r *http.Request) (admin.Person, error) {
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	email := r.Header.Get("X-Forwarded-Email")
	if host != b.proxy || email == "" {
		return admin.Person{}, admin.ErrForbidden
	}
	return admin.Person{Name: email}, nil
}

// A proxy that authenticates and sends who the user is.
func ExampleAccess_proxy() {
	access := behindProxy{"192.0.2.1"}
	r := httptest.NewRequest(http.MethodGet, "/admin/", nil) // from 192.0.2.1
	r.Header.Set("X-Forwarded-Email", "ann@example.com")
	who, err := access.Identify(r)
	fmt.Println(who.Name, err)
	r.RemoteAddr = "203.0.113.9:4711"
	_, err = access.Identify(r)
	fmt.Println(err)
	// Output:
	// ann@example.com <nil>
	// not allowed
}
