package admin

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// tryFrom sends a token from an address.
func tryFrom(access Access, address, token string) error {
	r := httptest.NewRequest(http.MethodPost, "/admin/login", nil)
	r.RemoteAddr = netip.AddrPortFrom(netip.MustParseAddr(address), 1234).String()
	l, _ := withLogin(access)
	return l.login(httptest.NewRecorder(), r, "/", token)
}

// A guesser does not lock the operator out, where addresses distinguish clients and
// where they do not, as behind a proxy on the same machine.
func TestGuessesFromElsewhereDoNotLockOutTheOperator(t *testing.T) {
	for name, c := range map[string]struct{ guesser, operator string }{
		"elsewhere":                {"203.0.113.7", "198.51.100.9"},
		"in another IPv6 network":  {"2001:db8:1::7", "2001:db8:2::7"},
		"on this machine":          {"127.0.0.1", "127.0.0.1"},
		"behind a proxy":           {"10.0.0.3", "10.0.0.3"},
		"behind the platform's":    {"169.254.1.1", "169.254.1.1"},
		"behind a proxy over IPv6": {"fd00::3", "fd00::3"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				access := Tokens("secret-of-admins", "secret-of-guests")
				for n := range 30 {
					for range 40 {
						if tryFrom(access, c.guesser, "guess") == nil {
							t.Fatal("a guess was accepted")
						}
					}
					for _, token := range []string{"secret-of-admins", "secret-of-guests"} {
						if err := tryFrom(access, c.operator, token); err != nil {
							t.Fatalf("login %d of the operator: %v", n, err)
						}
					}
				}
			})
		})
	}
}

// One address tries twenty tokens, and then one in six seconds; the answer says
// so, and waiting is enough.
func TestOneAddressGuessesSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		access := Tokens("secret-of-admins", "")
		from := "203.0.113.7"
		var wrong *wrongToken
		for n := range addressBurst {
			if err := tryFrom(access, from, "guess"); !errors.As(err, &wrong) || wrong.status != http.StatusUnauthorized || wrong.Error() != "This token is wrong." {
				t.Fatalf("guess %d: %v", n, err)
			}
		}
		for _, token := range []string{"guess", "secret-of-admins"} {
			err := tryFrom(access, from, token)
			if !errors.As(err, &wrong) || wrong.status != http.StatusTooManyRequests || wrong.wait != guessEvery || !strings.Contains(wrong.Error(), from) {
				t.Fatalf("%q: %+v", token, wrong)
			}
		}
		time.Sleep(wrong.wait)
		if err := tryFrom(access, from, "secret-of-admins"); err != nil {
			t.Errorf("after the wait: %v", err)
		}
		accepted := 0
		for range 600 {
			if err := tryFrom(access, from, "guess"); errors.As(err, &wrong) && wrong.status == http.StatusUnauthorized {
				accepted++
			}
			time.Sleep(time.Second)
		}
		if accepted > 600/6+1 {
			t.Errorf("%d guesses in ten minutes", accepted)
		}
		// IPv6 clients choose the lower half of their addresses.
		for n := range addressBurst {
			_ = tryFrom(access, fmt.Sprintf("2001:db8::%x", n+1), "guess")
		}
		if err := tryFrom(access, "2001:db8::ffff", "guess"); !errors.As(err, &wrong) || wrong.wait == 0 {
			t.Errorf("another address of the same network: %v", err)
		}
	})
}

// Guessing from many addresses takes a bounded amount of memory, and its log too.
func TestGuessersAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		access := Tokens("secret-of-admins", "").(*tokens)
		counted := 0
		for n := range 3 * maxAddresses {
			address := netip.AddrFrom4([4]byte{203, byte(n >> 16), byte(n >> 8), byte(n)})
			var wrong *wrongToken
			if err := tryFrom(access, address.String(), "guess"); !errors.As(err, &wrong) {
				t.Fatal(err)
			} else if wrong.counted {
				counted++
			}
		}
		if n := len(access.guesses.by); n > maxAddresses {
			t.Errorf("%d addresses are remembered", n)
		}
		if counted > allBurst {
			t.Errorf("%d lines in the log", counted)
		}
		if err := tryFrom(access, "198.51.100.9", "secret-of-admins"); err != nil {
			t.Errorf("the operator: %v", err)
		}
		time.Sleep(guessEvery)
		_ = tryFrom(access, "198.51.100.10", "guess")
		if n := len(access.guesses.by); n != 1 {
			t.Errorf("%d addresses are remembered for ever", n)
		}
	})
}

func TestClientAddressComesFromTheProxy(t *testing.T) {
	access := Tokens("secret-of-admins", "", ClientAddress(func(*http.Request) netip.Addr { return netip.MustParseAddr("203.0.113.1") }))
	for range addressBurst {
		_ = tryFrom(access, "127.0.0.1", "guess")
	}
	if err := tryFrom(access, "127.0.0.1", "secret-of-admins"); err == nil || !strings.Contains(err.Error(), "203.0.113.1") {
		t.Errorf("got %v", err)
	}
	unknown := Tokens("secret-of-admins", "", ClientAddress(func(*http.Request) netip.Addr { return netip.Addr{} }))
	for range 100 {
		_ = tryFrom(unknown, "127.0.0.1", "guess")
	}
	if err := tryFrom(unknown, "127.0.0.1", "secret-of-admins"); err != nil {
		t.Errorf("an address that is not known: %v", err)
	}
}
