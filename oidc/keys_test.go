package oidc

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// verifyNew verifies a token that cannot be remembered, signed with the first key.
func verifyNew(t *testing.T, v *Verifier) error {
	t.Helper()
	_, err := v.Verify(context.Background(), sign(t, but(good(time.Now()), "jti", time.Now().UnixNano())))
	return err
}

func TestKeysAreCachedForMaxAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint()
		v := newVerifier(t, e)
		for _, step := range []struct {
			wait time.Duration
			want int32
		}{{0, 1}, {time.Minute, 1}, {58 * time.Minute, 1}, {2 * time.Minute, 2}, {59 * time.Minute, 2}} {
			time.Sleep(step.wait)
			if err := verifyNew(t, v); err != nil {
				t.Fatal(err)
			}
			if n := e.requests.Load(); n != step.want {
				t.Errorf("after %v: %d fetches, want %d", step.wait, n, step.want)
			}
		}
	})
}

func TestFreshness(t *testing.T) {
	for _, tc := range []struct {
		control, age string
		want         time.Duration
	}{
		{"public, max-age=7200, must-revalidate", "", 2 * time.Hour},
		{"Max-Age=7200", "600", 110 * time.Minute},
		{`max-age="7200"`, "-5", 2 * time.Hour},
		{"max-age=5", "", minFresh},
		{"max-age=-1", "", minFresh},
		{"max-age=60", "99999999", minFresh},
		{"max-age=99999999", "", maxFresh},
		{"max-age=99999999999999999999", "", defaultFresh},
		{"max-age", "", defaultFresh},
		{"no-store", "", defaultFresh},
		{"", "", defaultFresh},
	} {
		if got := freshness(http.Header{"Cache-Control": {tc.control}, "Age": {tc.age}}); got != tc.want {
			t.Errorf("freshness(%q, Age %q) = %v, want %v", tc.control, tc.age, got, tc.want)
		}
	}
}

func TestKeysSurviveAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint()
		v := newVerifier(t, e)
		if err := verifyNew(t, v); err != nil {
			t.Fatal(err)
		}
		e.set(func(e *endpoint) { e.answer = down })
		for _, wait := range []time.Duration{2 * time.Hour, 10 * time.Hour, 12 * time.Hour} {
			time.Sleep(wait)
			before := e.requests.Load()
			for range 3 {
				if err := verifyNew(t, v); err != nil {
					t.Fatalf("after %v more: %v", wait, err)
				}
			}
			if n := e.requests.Load() - before; n != 1 {
				t.Errorf("%d fetches for three tokens, want 1", n)
			}
		}
		time.Sleep(2 * time.Hour) // 26 h old: 1 h fresh and 24 h stale are over
		if err := verifyNew(t, v); !errors.Is(err, ErrKeysUnavailable) {
			t.Errorf("error %v", err)
		}
		e.set(func(e *endpoint) { e.answer = nil })
		time.Sleep(fetchPause)
		if err := verifyNew(t, v); err != nil {
			t.Errorf("after the outage: %v", err)
		}
	})
}

func TestHangingEndpointHoldsUpOneCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint()
		v := newVerifier(t, e)
		if err := verifyNew(t, v); err != nil {
			t.Fatal(err)
		}
		e.set(func(e *endpoint) {
			e.answer = func(r *http.Request) (*http.Response, error) {
				<-r.Context().Done()
				return nil, r.Context().Err()
			}
		})
		time.Sleep(2 * time.Hour)
		start := time.Now()
		held := make(chan time.Duration)
		go func() {
			if err := verifyNew(t, v); err != nil {
				t.Error(err)
			}
			held <- time.Since(start)
		}()
		synctest.Wait()
		if err := verifyNew(t, v); err != nil || time.Since(start) != 0 {
			t.Errorf("second caller: %v after %v", err, time.Since(start))
		}
		if took := <-held; took != fetchTimeout {
			t.Errorf("first caller was held for %v", took)
		}
	})
}

func TestNoKeysAtAllIsUnavailable(t *testing.T) {
	for name, answer := range map[string]func(*http.Request) (*http.Response, error){
		"down": down,
		"500":  func(*http.Request) (*http.Response, error) { return respond(500, nil, "oops"), nil },
		"redirect": func(*http.Request) (*http.Response, error) {
			return respond(302, http.Header{"Location": {"/"}}, ""), nil
		},
		"not JSON":      func(*http.Request) (*http.Response, error) { return respond(200, nil, "<html>"), nil },
		"no keys":       func(*http.Request) (*http.Response, error) { return respond(200, nil, `{"keys":[]}`), nil },
		"null":          func(*http.Request) (*http.Response, error) { return respond(200, nil, "null"), nil },
		"unusable keys": func(*http.Request) (*http.Response, error) { return respond(200, nil, weakKeys), nil },
		"endless": func(*http.Request) (*http.Response, error) {
			return respond(200, nil, newEndpoint().keySet()+strings.Repeat(" ", maxKeySet)), nil
		},
		"panic": func(*http.Request) (*http.Response, error) { panic("transport") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newEndpoint()
				e.answer = answer
				v := newVerifier(t, e)
				for range 3 {
					err := verifyNew(t, v)
					var refusal *Error
					if !errors.As(err, &refusal) || !errors.Is(err, ErrKeysUnavailable) || refusal.HTTPStatus() != 503 {
						t.Fatalf("error %v", err)
					}
				}
				if n := e.requests.Load(); n != 1 {
					t.Errorf("%d fetches at once", n)
				}
				time.Sleep(firstPause)
				e.set(func(e *endpoint) { e.answer = nil })
				if err := verifyNew(t, v); err != nil {
					t.Errorf("after the outage: %v", err)
				}
			})
		})
	}
}

// A less strict check would accept each of these.
const weakKeys = `{"keys":[{"kid":"first","kty":"RSA","n":"AQAB","e":"AQAB"},{"kid":"first","kty":"EC","crv":"P-256","x":"AA","y":"AA"},
{"kid":"first","kty":"RSA","n":"!","e":"AQAB"},{"kid":"first","kty":"RSA","use":"enc"},{"kid":"first","kty":"RSA","alg":"HS256"},{"kty":"RSA"},{"kid":1},null,7]}`

func TestCancelledCallerDoesNotStopTheFetchOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint()
		release := make(chan struct{})
		e.answer = func(r *http.Request) (*http.Response, error) {
			select {
			case <-release:
				return respond(200, e.header, e.keySet()), nil
			case <-r.Context().Done():
				return nil, r.Context().Err()
			}
		}
		v := newVerifier(t, e)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if _, err := v.Verify(ctx, sign(t, good(time.Now()))); !errors.Is(err, ErrKeysUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		close(release) // the fetch continues without its caller
		synctest.Wait()
		if err := verifyNew(t, v); err != nil || e.requests.Load() != 1 {
			t.Errorf("error %v after %d fetches", err, e.requests.Load())
		}
	})
}

func TestConcurrentVerificationsFetchOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint()
		release := make(chan struct{})
		e.answer = func(*http.Request) (*http.Response, error) {
			<-release
			return respond(200, e.header, e.keySet()), nil
		}
		v := newVerifier(t, e)
		var all sync.WaitGroup
		for i := range 50 {
			token := sign(t, but(good(time.Now()), "jti", i))
			all.Go(func() {
				if _, err := v.Verify(context.Background(), token); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		close(release)
		all.Wait()
		if n := e.requests.Load(); n != 1 {
			t.Errorf("%d fetches", n)
		}
	})
}

func TestUnknownKeysDoNotCauseFetches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint()
		v := newVerifier(t, e)
		for i := range 100 {
			token := signWith(t, jwt.SigningMethodRS256, secondKey(), fmt.Sprint("kid", i), good(time.Now()))
			if _, err := v.Verify(context.Background(), token); !errors.Is(err, ErrUnauthenticated) {
				t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if n := e.requests.Load(); n > 2 { // ten seconds: one at the start, one after the pause
			t.Errorf("%d fetches for 100 unknown keys", n)
		}
		if err := verifyNew(t, v); err != nil {
			t.Error(err)
		}
	})
}

func TestKeyRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint()
		v := newVerifier(t, e)
		if err := verifyNew(t, v); err != nil {
			t.Fatal(err)
		}
		e.set(func(e *endpoint) { e.keys["second"] = &secondKey().PublicKey; delete(e.keys, "first") })
		time.Sleep(fetchPause)
		token := signWith(t, jwt.SigningMethodRS256, secondKey(), "second", good(time.Now()))
		if _, err := v.Verify(context.Background(), token); err != nil {
			t.Errorf("new key: %v", err)
		}
		if err := verifyNew(t, v); !errors.Is(err, ErrUnauthenticated) {
			t.Errorf("withdrawn key: %v", err)
		}
		// During an outage a key that is not known may be a new one.
		e.set(func(e *endpoint) { e.answer = down })
		time.Sleep(fetchPause)
		if err := verifyNew(t, v); !errors.Is(err, ErrKeysUnavailable) {
			t.Errorf("unknown key in an outage: %v", err)
		}
	})
}

// idtoken must take each token's own key, also when nothing ages between two calls.
func TestTwoKeysAtTheSameInstant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint()
		e.keys["second"] = &secondKey().PublicKey
		v := newVerifier(t, e)
		for range 2 {
			if err := verifyNew(t, v); err != nil {
				t.Error(err)
			}
			token := signWith(t, jwt.SigningMethodRS256, secondKey(), "second", good(time.Now()))
			if _, err := v.Verify(context.Background(), token); err != nil {
				t.Error(err)
			}
			forged := signWith(t, jwt.SigningMethodRS256, secondKey(), "first", good(time.Now()))
			if _, err := v.Verify(context.Background(), forged); !errors.Is(err, ErrUnauthenticated) {
				t.Errorf("forged: %v", err)
			}
		}
	})
}
