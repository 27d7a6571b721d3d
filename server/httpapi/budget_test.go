package httpapi

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// endless is a body that never comes.
type endless struct{ t *testing.T }

func (e endless) Read([]byte) (int, error) {
	e.t.Error("the body was read")
	return 0, io.EOF
}
func (endless) Close() error { return nil }

// Of a request whose headers cannot be right the body is not read.
func TestHeadersAreCheckedBeforeTheBodyIsRead(t *testing.T) {
	auth := HMAC("secret", 1000)
	used := httptest.NewRequest(http.MethodPost, "/tasks/run/", nil)
	stamp := time.Now().Unix()
	used.Header.Set(TimestampHeader, strconv.FormatInt(stamp, 10))
	used.Header.Set(SignatureHeader, Sign("secret", stamp, http.MethodPost, "/tasks/run/", nil))
	if err := auth.Authenticate(used); err != nil {
		t.Fatal(err)
	}
	good, now := used.Header.Get(SignatureHeader), strconv.FormatInt(stamp, 10)
	for name, c := range map[string]struct {
		signature, stamp string
		length           int64
		status           int
	}{
		"no signature":                         {"", now, 10, 401},
		"no time":                              {good, "", 10, 401},
		"too short":                            {good[:62], now, 10, 401},
		"too long":                             {good + "00", now, 10, 401},
		"not hexadecimal":                      {strings.Repeat("x", 64), now, 10, 401},
		"too old":                              {good, strconv.FormatInt(stamp-302, 10), 10, 401},
		"used before":                          {good, now, 10, 401},
		"used before, capitals":                {strings.ToUpper(good), now, 10, 401},
		"a body that is known to be too large": {strings.Repeat("0", 64), now, 1001, 413},
	} {
		r := httptest.NewRequest(http.MethodPost, "/tasks/run/", nil)
		r.Body, r.ContentLength = endless{t}, c.length
		r.Header.Set(SignatureHeader, c.signature)
		r.Header.Set(TimestampHeader, c.stamp)
		if err := auth.Authenticate(r); err == nil || authStatus(err) != c.status {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Strangers that send large bodies take a bounded amount together. One more waits,
// and is refused; small requests still have room, and room that was released is
// used.
func TestUnverifiedBodiesAreBoundedTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const maxBody = 1 << 20
		auth := HMAC("secret", maxBody)
		request := func(body io.Reader, length int64) *http.Request {
			r := httptest.NewRequest(http.MethodPost, "/tasks/run/", body)
			r.ContentLength = length
			r.Header.Set(TimestampHeader, strconv.FormatInt(time.Now().Unix(), 10))
			r.Header.Set(SignatureHeader, strings.Repeat("0", 64))
			return r
		}
		stranger := func() (finish func(), refused <-chan error) {
			body, rest := io.Pipe()
			done := make(chan error, 1)
			go func() { done <- auth.Authenticate(request(body, maxBody)) }()
			return func() { _, _ = rest.Write(make([]byte, maxBody)) }, done
		}
		var finishes []func()
		var refusals []<-chan error
		for range largeBodies / maxBody {
			finish, refused := stranger()
			finishes, refusals = append(finishes, finish), append(refusals, refused)
		}
		synctest.Wait()
		begun := time.Now()
		for _, length := range []int64{maxBody, -1} { // -1: chunked
			err := auth.Authenticate(request(bytes.NewReader(make([]byte, maxBody)), length))
			if authStatus(err) != http.StatusTooManyRequests {
				t.Errorf("one too many of length %d: %v", length, err)
			}
		}
		if waited := time.Since(begun); waited != 2*budgetWait {
			t.Errorf("they waited for %s", waited)
		}
		small := httptest.NewRequest(http.MethodPost, "/tasks/run/", strings.NewReader("{}"))
		stamp := time.Now().Unix()
		small.Header.Set(TimestampHeader, strconv.FormatInt(stamp, 10))
		small.Header.Set(SignatureHeader, Sign("secret", stamp, http.MethodPost, "/tasks/run/", []byte("{}")))
		if err := auth.Authenticate(small); err != nil {
			t.Errorf("a small request: %v", err)
		}
		for i, finish := range finishes {
			finish()
			if err := <-refusals[i]; authStatus(err) != http.StatusUnauthorized {
				t.Errorf("stranger %d: %v", i, err)
			}
		}
		if err := auth.Authenticate(request(bytes.NewReader(make([]byte, maxBody)), maxBody)); authStatus(err) != http.StatusUnauthorized {
			t.Errorf("after they were refused: %v", err)
		}
	})
}

// A body whose signature was refused does not look empty to what comes after.
func TestRefusedBodyIsGone(t *testing.T) {
	r := httptest.NewRequest(http.MethodPost, "/tasks/purge/", strings.NewReader(`{"days":7}`))
	r.Header.Set(TimestampHeader, strconv.FormatInt(time.Now().Unix(), 10))
	r.Header.Set(SignatureHeader, strings.Repeat("0", 64))
	if HMAC("secret", 100).Authenticate(r) == nil {
		t.Fatal("accepted")
	}
	if body, err := io.ReadAll(r.Body); err == nil {
		t.Errorf("it reads as %q", body)
	}
}

// A request with another way in does not depend on the one that reads bodies.
func TestBodiesAreReadLast(t *testing.T) {
	for name, auth := range map[string]Authenticator{
		"given first": AnyOf(HMAC("secret", 100), BearerToken("token")),
		"nested":      AnyOf(AnyOf(HMAC("secret", 100)), AnyOf(BearerToken("token"))),
	} {
		r := httptest.NewRequest(http.MethodPost, "/tasks/run/", strings.NewReader("{}"))
		r.Header.Set("Authorization", "Bearer token")
		r.Header.Set(TimestampHeader, strconv.FormatInt(time.Now().Unix(), 10))
		r.Header.Set(SignatureHeader, strings.Repeat("0", 64))
		if err := auth.Authenticate(r); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if body, err := io.ReadAll(r.Body); err != nil || string(body) != "{}" {
			t.Errorf("%s: the handler reads %q, %v", name, body, err)
		}
	}
}
