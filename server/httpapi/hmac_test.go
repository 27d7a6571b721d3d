package httpapi_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/httpapi"
)

func signedRequest(secret string, at time.Time, method, target, body string) *http.Request {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Header.Set(httpapi.TimestampHeader, strconv.FormatInt(at.Unix(), 10))
	r.Header.Set(httpapi.SignatureHeader, httpapi.Sign(secret, at.Unix(), method, target, []byte(body)))
	return r
}

func TestSignIsTheDocumentedHMAC(t *testing.T) {
	// printf '1700000000\nPOST\n/tasks/run/?a=1\n{}' | openssl dgst -sha256 -hmac s3cret
	got := httpapi.Sign("s3cret", 1700000000, "POST", "/tasks/run/?a=1", []byte("{}"))
	if want := "dd72278e77665e663b6ff28d4c33f28d99837428dd8659746be59e9dcf1ca043"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestHMACAcceptsASignedRequestOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := httpapi.HMAC("s3cret", 100)
		now := time.Now()
		for _, target := range []string{"/tasks/run/", "/tasks/purge/?days=7&status=FAILED", "/tasks/result/a%20b/"} {
			r := signedRequest("s3cret", now, "POST", target, `{"max_tasks":1}`)
			if err := auth.Authenticate(r); err != nil {
				t.Errorf("%s: %v", target, err)
			}
			if body, _ := io.ReadAll(r.Body); string(body) != `{"max_tasks":1}` {
				t.Errorf("%s: the handler reads %q", target, body)
			}
			again := signedRequest("s3cret", now, "POST", target, `{"max_tasks":1}`)
			if auth.Authenticate(again) == nil {
				t.Errorf("%s: a replay was accepted", target)
			}
		}
		for _, off := range []time.Duration{-300 * time.Second, 300 * time.Second} {
			if err := auth.Authenticate(signedRequest("s3cret", now.Add(off), "GET", "/x", "")); err != nil {
				t.Errorf("%s off: %v", off, err)
			}
		}
	})
}

func TestHMACRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := httpapi.HMAC("s3cret", 100)
		now := time.Now()
		good := func() *http.Request { return signedRequest("s3cret", now, "POST", "/tasks/run/?a=1", "{}") }
		for name, spoil := range map[string]func(*http.Request) *http.Request{
			"other secret": func(*http.Request) *http.Request { return signedRequest("other", now, "POST", "/x", "") },
			"other method": func(r *http.Request) *http.Request { r.Method = "PUT"; return r },
			"other path":   func(r *http.Request) *http.Request { r.RequestURI = "/tasks/purge/?a=1"; return r },
			"other query":  func(r *http.Request) *http.Request { r.RequestURI = "/tasks/run/?a=2"; return r },
			"other body":   func(r *http.Request) *http.Request { r.Body = io.NopCloser(strings.NewReader("[]")); return r },
			"other time": func(r *http.Request) *http.Request {
				r.Header.Set(httpapi.TimestampHeader, strconv.FormatInt(now.Unix()+1, 10))
				return r
			},
			"no signature":    func(r *http.Request) *http.Request { r.Header.Del(httpapi.SignatureHeader); return r },
			"no time":         func(r *http.Request) *http.Request { r.Header.Del(httpapi.TimestampHeader); return r },
			"two signatures":  func(r *http.Request) *http.Request { r.Header.Add(httpapi.SignatureHeader, "x"); return r },
			"empty signature": func(r *http.Request) *http.Request { r.Header.Set(httpapi.SignatureHeader, ""); return r },
			"too old": func(*http.Request) *http.Request {
				return signedRequest("s3cret", now.Add(-301*time.Second), "POST", "/x", "")
			},
			"too new": func(*http.Request) *http.Request {
				return signedRequest("s3cret", now.Add(301*time.Second), "POST", "/x", "")
			},
			"no number": func(r *http.Request) *http.Request { r.Header.Set(httpapi.TimestampHeader, "now"); return r },
			"large body": func(*http.Request) *http.Request {
				return signedRequest("s3cret", now, "POST", "/x", strings.Repeat("x", 101))
			},
		} {
			if err := auth.Authenticate(spoil(good())); err == nil || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("%s: %v", name, err)
			}
		}
		if err := auth.Authenticate(good()); err != nil {
			t.Errorf("the refused ones used up the signature: %v", err)
		}
	})
}

// What is signed is what was sent, whatever middleware made of it since.
func TestHMACSignsThePathThatWasSent(t *testing.T) {
	auth := httpapi.HMAC("s3cret", 100)
	var refused error
	handler := http.StripPrefix("/jobs", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { refused = auth.Authenticate(r) }))
	for _, target := range []string{"/jobs/tasks/run/", "/jobs/tasks/result/a%2Fb%20c/?x=%20&y", "/jobs/tasks/run-one/?", "//jobs/tasks/run/"} {
		signedAs := strings.TrimSuffix(target, "?")
		r := signedRequest("s3cret", time.Now(), "POST", signedAs, "{}")
		r.RequestURI = target
		if strings.HasPrefix(target, "//") {
			refused = auth.Authenticate(r)
		} else {
			handler.ServeHTTP(httptest.NewRecorder(), r)
		}
		if refused != nil {
			t.Errorf("%s: %v", target, refused)
		}
	}
	stripped := signedRequest("s3cret", time.Now(), "POST", "/tasks/run/", "{}")
	stripped.RequestURI = "/jobs/tasks/run/"
	if auth.Authenticate(stripped) == nil {
		t.Error("a signature of the path without its prefix was accepted")
	}
	proxied := signedRequest("s3cret", time.Now(), "POST", "/tasks/sweep/", "{}")
	proxied.RequestURI = "http://localhost/tasks/sweep/" // as a client of a proxy writes it
	made := signedRequest("s3cret", time.Now(), "POST", "/tasks/purge/", "{}")
	made.RequestURI = "" // made by the program itself
	for name, r := range map[string]*http.Request{"absolute": proxied, "none": made} {
		if err := auth.Authenticate(r); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSignedBodyOverTheLimitIsTooLarge(t *testing.T) {
	for name, auth := range map[string]httpapi.Authenticator{
		"alone":      httpapi.HMAC("s3cret", 100),
		"of several": httpapi.AnyOf(httpapi.BearerToken("x"), httpapi.HMAC("s3cret", 100)),
	} {
		a := newAPI(t, func(c *httpapi.Config, _ *queue.Config) { c.Auth, c.MaxBody = auth, 100 })
		for method, path := range map[string]string{"POST": "/tasks/run/", "GET": "/tasks/status/"} {
			r := signedRequest("s3cret", time.Now(), method, path, strings.Repeat(" ", 101))
			w := httptest.NewRecorder()
			a.handler.ServeHTTP(w, r)
			checkAgainstDocument(t, r, "", w)
			if w.Code != http.StatusRequestEntityTooLarge || !strings.Contains(w.Body.String(), "larger than 100 bytes") {
				t.Errorf("%s: %s: %d %s", name, method, w.Code, w.Body)
			}
		}
	}
}
