package httpapi

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"
)

// Headers of a signed request.
const (
	SignatureHeader = "X-Task-Signature" // hex HMAC-SHA256
	TimestampHeader = "X-Task-Timestamp" // Unix seconds
)

// Limits of signed requests.
const (
	signatureWindow = 300 * time.Second // a timestamp may be off by this, either way
	maxRemembered   = 100_000           // signatures, against replays
)

// Sign is the signature of a request: the hex HMAC-SHA256 of timestamp, method,
// path (with ?query when there is one) and body, a line break between each two.
func Sign(secret string, timestamp int64, method, path string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	_, _ = io.WriteString(mac, strconv.FormatInt(timestamp, 10)+"\n"+method+"\n"+path+"\n")
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}

// HMAC accepts requests that are signed with a shared secret, of at most maxBody
// bytes, within 300 s of their timestamp. A signature is good once per process.
// The path signed is that of the request line as this server received it: under
// http.StripPrefix with the prefix, behind a proxy what the proxy sent on. It
// panics when the secret is empty.
func HMAC(secret string, maxBody int64) Authenticator {
	if secret == "" {
		panic("httpapi: HMAC needs a secret")
	}
	return &signed{secret: secret, maxBody: maxBody, used: make(map[string]time.Time)}
}

type signed struct {
	secret  string
	maxBody int64

	mu   sync.Mutex
	used map[string]time.Time // signature → when it may be forgotten
}

func (s *signed) Authenticate(r *http.Request) error {
	signature, stamp := r.Header.Get(SignatureHeader), r.Header.Get(TimestampHeader)
	if signature == "" || stamp == "" || len(r.Header.Values(SignatureHeader)) != 1 || len(r.Header.Values(TimestampHeader)) != 1 {
		return &authError{http.StatusUnauthorized, "send one header " + SignatureHeader + " and one " + TimestampHeader}
	}
	timestamp, err := strconv.ParseInt(stamp, 10, 64)
	now := time.Now()
	if err != nil || timestamp < now.Add(-signatureWindow).Unix() || timestamp > now.Add(signatureWindow).Unix() {
		return &authError{http.StatusUnauthorized, TimestampHeader + " must be Unix seconds, at most 300 off"}
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, s.maxBody+1))
	// Whoever handles the request reads the body again, and judges its size.
	r.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(body), r.Body), r.Body}
	if int64(len(body)) > s.maxBody {
		return &authError{http.StatusRequestEntityTooLarge, tooLarge(s.maxBody)}
	}
	if err != nil {
		return &authError{http.StatusUnauthorized, "the signed body cannot be read"}
	}
	want := Sign(s.secret, timestamp, r.Method, sentPath(r), body)
	if !hmac.Equal([]byte(signature), []byte(want)) {
		return &authError{http.StatusUnauthorized, "the signature is not right"}
	}
	// The whole seconds compared above let it pass for up to one longer.
	return s.once(want, time.Unix(timestamp, 0).Add(signatureWindow+time.Second), now)
}

// sentPath is the path of the request line, with its query: what the client
// signed. r.URL may have lost a part of it to http.StripPrefix since.
func sentPath(r *http.Request) string {
	sent := r.URL
	if u, err := url.ParseRequestURI(r.RequestURI); err == nil {
		sent = u
	}
	path := sent.EscapedPath()
	if sent.RawQuery != "" {
		path += "?" + sent.RawQuery
	}
	return path
}

// once accepts a signature the first time.
func (s *signed) once(signature string, until, now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, used := s.used[signature]; used {
		return &authError{http.StatusUnauthorized, "this signature was used before"}
	}
	if len(s.used) >= maxRemembered {
		for old, expires := range s.used {
			if expires.Before(now) {
				delete(s.used, old)
			}
		}
	}
	if len(s.used) >= maxRemembered {
		return &authError{http.StatusServiceUnavailable, "too many signed requests at once"}
	}
	s.used[signature] = until
	return nil
}
