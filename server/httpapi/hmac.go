package httpapi

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Headers of a signed request.
const (
	SignatureHeader = "X-Task-Signature" // hex HMAC-SHA256
	TimestampHeader = "X-Task-Timestamp" // Unix seconds
)

// signatureWindow is how far a timestamp may be off, either way.
const signatureWindow = 300 * time.Second

// Sign returns the signature of a request: the hex HMAC-SHA256 of timestamp, method,
// path (with ?query when there is one) and body, separated by line breaks.
func Sign(secret string, timestamp int64, method, path string, body []byte) string {
	return hex.EncodeToString(sum(secret, timestamp, method, path, body))
}

func sum(secret string, timestamp int64, method, path string, body []byte) []byte {
	mac := hmac.New(sha256.New, []byte(secret))
	_, _ = io.WriteString(mac, strconv.FormatInt(timestamp, 10)+"\n"+method+"\n"+path+"\n")
	mac.Write(body)
	return mac.Sum(nil)
}

// HMAC accepts requests of at most maxBody bytes that are signed with a shared secret
// (see [Sign]), within 300 s of their timestamp. A process accepts a signature once.
// The signed path is that of the request line as this server received it: with the
// prefix that [http.StripPrefix] removes, and behind a proxy the one that the proxy
// sent. HMAC panics when the secret is empty.
//
// A body must be read before its signature can be verified. All bodies that are being
// read share a bounded amount of memory; when it is used up, a request waits for two
// seconds and is then refused with 429. Accepted signatures take about 32 MB at most:
// when that is full, the oldest are forgotten, and requests as old as those are
// refused with 401.
func HMAC(secret string, maxBody int64) Authenticator {
	if secret == "" {
		panic("httpapi: HMAC needs a secret")
	}
	return &signed{secret: secret, maxBody: maxBody, bodies: newBodyBudget(maxBody), used: newReplays(maxRemembered)}
}

type signed struct {
	secret  string
	maxBody int64
	bodies  *bodyBudget
	used    *replays
}

// Authenticate checks the headers first, and reads the body only if they could be
// right.
func (s *signed) Authenticate(r *http.Request) error {
	signature, timestamp, err := readSignature(r, time.Now())
	if err != nil {
		return err
	}
	if err := s.used.check(timestamp, signature); err != nil {
		return err
	}
	if r.ContentLength > s.maxBody {
		return &authError{http.StatusRequestEntityTooLarge, tooLarge(s.maxBody)}
	}
	release, err := s.bodies.acquire(r.Context(), r.ContentLength)
	if err != nil {
		return err
	}
	defer release()
	sent := r.Body
	r.Body = goneBody{} // a refused request keeps no memory
	body, err := readSigned(sent, r.ContentLength, s.maxBody)
	if err != nil {
		return err
	}
	if !hmac.Equal(signature[:], sum(s.secret, timestamp, r.Method, sentPath(r), body)) {
		return &authError{http.StatusUnauthorized, "the signature does not match"}
	}
	if err := s.used.add(timestamp, signature, time.Now()); err != nil {
		return err
	}
	// The handler reads the body again.
	r.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(body), sent), sent}
	return nil
}

// goneBody replaces a body that was read to verify a signature. Reading it fails: a
// handler that runs because another authenticator accepted the request must not take
// the body for an empty one.
type goneBody struct{}

func (goneBody) Read([]byte) (int, error) {
	return 0, errors.New("the body was read to verify its signature")
}
func (goneBody) Close() error { return nil }

// signature is an HMAC-SHA256.
type signature [sha256.Size]byte

// readSignature reads the two headers, and refuses those that cannot be right
// whatever the body is.
func readSignature(r *http.Request, now time.Time) (sig signature, timestamp int64, err error) {
	signatures, stamps := r.Header.Values(SignatureHeader), r.Header.Values(TimestampHeader)
	if len(signatures) != 1 || len(stamps) != 1 || signatures[0] == "" || stamps[0] == "" {
		return sig, 0, &authError{http.StatusUnauthorized, "send one header " + SignatureHeader + " and one " + TimestampHeader}
	}
	timestamp, err = strconv.ParseInt(stamps[0], 10, 64)
	if err != nil || timestamp < now.Add(-signatureWindow).Unix() || timestamp > now.Add(signatureWindow).Unix() {
		return sig, 0, &authError{http.StatusUnauthorized, TimestampHeader + " must be Unix seconds, at most 300 off"}
	}
	raw, err := hex.DecodeString(signatures[0])
	if err != nil || copy(sig[:], raw) != len(sig) || len(raw) != len(sig) {
		return sig, 0, &authError{http.StatusUnauthorized, SignatureHeader + " must be 64 hexadecimal digits"}
	}
	return sig, timestamp, nil
}

// readSigned reads a whole body of at most limit bytes; length is -1 if it was
// not announced.
func readSigned(sent io.Reader, length, limit int64) (body []byte, err error) {
	if length >= 0 {
		body = make([]byte, length) // exactly what was acquired: growing it would take more
		_, err = io.ReadFull(sent, body)
	} else {
		body, err = io.ReadAll(io.LimitReader(sent, limit+1))
	}
	switch {
	case err != nil:
		return nil, &authError{http.StatusUnauthorized, "the signed body cannot be read"}
	case int64(len(body)) > limit:
		return nil, &authError{http.StatusRequestEntityTooLarge, tooLarge(limit)}
	}
	return body, nil
}

// sentPath returns the path of the request line with its query, which the client
// signed: http.StripPrefix may have removed a part of r.URL.
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
