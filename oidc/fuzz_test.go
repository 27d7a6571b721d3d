package oidc

import (
	"context"
	"encoding/base64"
	"errors"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// No input may be accepted, since the fuzzer never sees a valid signature, and none may
// reach the recover.
func FuzzVerify(f *testing.F) {
	payload := encode(f, good(time.Now()))
	f.Add(header, payload, []byte{1})
	f.Add(`{"alg":"ES256","kid":"first"}`, payload, []byte("short"))
	f.Add(`{"alg":"none"}`, payload, []byte{})
	f.Add("null", "null", []byte{0})
	f.Add("[]", "[]", []byte{0})
	f.Add(header, `{"iss":{},"aud":[],"exp":1e999}`, make([]byte, 256))
	f.Add("", "", []byte(nil))
	forged := signWith(f, jwt.SigningMethodRS256, secondKey(), "first", good(time.Now()))
	f.Add("raw", forged, []byte(nil))
	f.Add("raw", forged[:len(forged)/2], []byte(nil))
	f.Add("raw", "..", []byte(nil))

	v := newVerifier(f, newEndpoint())
	f.Fuzz(func(t *testing.T, head, body string, signature []byte) {
		token := body
		if head != "raw" {
			b64 := base64.RawURLEncoding.EncodeToString
			token = b64([]byte(head)) + "." + b64([]byte(body)) + "." + b64(signature)
		}
		identity, err := v.Verify(context.Background(), token)
		if err == nil || identity != nil {
			t.Fatalf("accepted %q", token)
		}
		var refusal *Error
		if !errors.As(err, &refusal) || errors.Is(err, errPanic) {
			t.Fatalf("error %v: %v", err, errors.Unwrap(err))
		}
	})
}
