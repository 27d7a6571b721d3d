package oidc

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	audience = "https://api-123.europe-west1.run.app"
	account  = "invoker@shop.iam.gserviceaccount.com"
)

// Making keys is slow, so the tests share two.
var (
	firstKey  = sync.OnceValue(newKey)
	secondKey = sync.OnceValue(newKey)
)

func newKey() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
}

// endpoint is the key endpoint, without a network: an http.RoundTripper.
type endpoint struct {
	requests atomic.Int32

	mu     sync.Mutex
	keys   map[string]*rsa.PublicKey
	header http.Header
	answer func(*http.Request) (*http.Response, error) // overrides the above
}

func newEndpoint() *endpoint {
	return &endpoint{
		keys:   map[string]*rsa.PublicKey{"first": &firstKey().PublicKey},
		header: http.Header{"Cache-Control": {"public, max-age=3600, must-revalidate"}},
	}
}

func (e *endpoint) set(change func(*endpoint)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	change(e)
}

func (e *endpoint) RoundTrip(r *http.Request) (*http.Response, error) {
	e.requests.Add(1)
	e.mu.Lock()
	answer, body, header := e.answer, e.keySet(), e.header
	e.mu.Unlock()
	if answer != nil {
		return answer(r)
	}
	return respond(http.StatusOK, header, body), nil
}

func respond(status int, header http.Header, body string) *http.Response {
	return &http.Response{StatusCode: status, Status: http.StatusText(status), Header: header, Body: io.NopCloser(strings.NewReader(body))}
}

func (e *endpoint) keySet() string {
	var set webKeySet
	for kid, key := range e.keys {
		set.Keys = append(set.Keys, webKey{
			purpose: purpose{Alg: "RS256", Use: "sig"}, Kid: kid, Kty: "RSA",
			N: base64.RawURLEncoding.EncodeToString(key.N.Bytes()),
			E: base64.RawURLEncoding.EncodeToString(big.NewInt(int64(key.E)).Bytes()),
		})
	}
	body, _ := json.Marshal(set)
	return string(body)
}

func down(*http.Request) (*http.Response, error) { return nil, errors.New("connection refused") }

func newVerifier(t testing.TB, e *endpoint, change ...func(*Config)) *Verifier {
	t.Helper()
	config := Config{
		Audiences:  []string{audience, "https://other.example"},
		Emails:     []string{account, "cron@shop.iam.gserviceaccount.com"},
		HTTPClient: &http.Client{Transport: e},
		Logger:     slog.New(slog.DiscardHandler),
	}
	for _, c := range change {
		c(&config)
	}
	v, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// good returns the claims of a token that passes.
func good(now time.Time) jwt.MapClaims {
	return jwt.MapClaims{
		"iss": "https://accounts.google.com", "aud": audience, "sub": "117", "azp": "117",
		"email": account, "email_verified": true,
		"iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	}
}

// but returns the claims with some replaced, or removed where the value is nil.
func but(claims jwt.MapClaims, pairs ...any) jwt.MapClaims {
	claims = maps.Clone(claims)
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] == nil {
			delete(claims, pairs[i].(string))
			continue
		}
		claims[pairs[i].(string)] = pairs[i+1]
	}
	return claims
}

func signWith(t testing.TB, method jwt.SigningMethod, key any, kid string, claims jwt.Claims) string {
	t.Helper()
	token := jwt.NewWithClaims(method, claims)
	if kid != "" {
		token.Header["kid"] = kid
	}
	text, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func sign(t testing.TB, claims jwt.Claims) string {
	t.Helper()
	return signWith(t, jwt.SigningMethodRS256, firstKey(), "first", claims)
}

// raw signs a header and a payload that no library would write.
func raw(t testing.TB, header, payload string) string {
	t.Helper()
	content := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(payload))
	signature, err := jwt.SigningMethodRS256.Sign(content, firstKey())
	if err != nil {
		t.Fatal(err)
	}
	return content + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func encode(t testing.TB, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
