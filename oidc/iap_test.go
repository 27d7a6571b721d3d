package oidc

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const iapAudience = "/projects/123/locations/europe-west1/services/admin"

// iapFixture is a proxy with a key of its own.
type iapFixture struct {
	key *ecdsa.PrivateKey
	end *endpoint
	iap *IAP
}

func newIAPFixture(t *testing.T) *iapFixture {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	text := base64.RawURLEncoding.EncodeToString
	set := fmt.Sprintf(`{"keys":[{"kid":"bad","kty":"EC","crv":"P-256","x":%q,"y":%q},{"kid":"rsa","kty":"RSA"},{"alg":"ES256","crv":"P-256","kid":"iap","kty":"EC","use":"sig","x":%q,"y":%q}]}`,
		text(point[1:33]), text(point[1:33]), text(point[1:33]), text(point[33:]))
	f := &iapFixture{key: key, end: newEndpoint()}
	f.end.answer = func(r *http.Request) (*http.Response, error) {
		if r.URL.String() != iapCertsURL {
			return nil, errors.New("another URL")
		}
		return respond(http.StatusOK, http.Header{"Cache-Control": {"max-age=3600"}}, set), nil
	}
	if f.iap, err = NewIAP(IAPConfig{Audiences: []string{iapAudience}, HTTPClient: &http.Client{Transport: f.end}}); err != nil {
		t.Fatal(err)
	}
	return f
}

func iapClaims() jwt.MapClaims {
	return but(good(time.Now()), "iss", iapIssuer, "aud", iapAudience, "sub", "accounts.google.com:117", "email", "ann@example.com", "email_verified", nil,
		"exp", time.Now().Add(10*time.Minute).Unix())
}

func (f *iapFixture) sign(t *testing.T, claims jwt.Claims) string {
	return signWith(t, jwt.SigningMethodES256, f.key, "iap", claims)
}

func TestIAPIdentifiesAPerson(t *testing.T) {
	f := newIAPFixture(t)
	for range 3 {
		r, _ := http.NewRequest(http.MethodGet, "/admin/", nil)
		r.Header.Set("X-Goog-Iap-Jwt-Assertion", f.sign(t, iapClaims()))
		who, err := f.iap.Identify(r)
		if err != nil || who.Email != "ann@example.com" || who.Subject != "accounts.google.com:117" {
			t.Fatalf("%+v, %v", who, err)
		}
	}
	if n := f.end.requests.Load(); n != 1 {
		t.Errorf("%d fetches of the keys", n)
	}
}

func TestIAPRefusesWhatTheProxyDidNotSign(t *testing.T) {
	f := newIAPFixture(t)
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sound := f.sign(t, iapClaims())
	parts := strings.Split(sound, ".")
	for name, token := range map[string]string{
		"another key":       signWith(t, jwt.SigningMethodES256, other, "iap", iapClaims()),
		"another algorithm": sign(t, iapClaims()),
		"unknown kid":       signWith(t, jwt.SigningMethodES256, f.key, "nope", iapClaims()),
		"key off the curve": signWith(t, jwt.SigningMethodES256, f.key, "bad", iapClaims()),
		"another audience":  f.sign(t, but(iapClaims(), "aud", "/projects/123/apps/other")),
		"another issuer":    f.sign(t, but(iapClaims(), "iss", "https://accounts.google.com")),
		"no subject":        f.sign(t, but(iapClaims(), "sub", nil)),
		"expired":           f.sign(t, but(iapClaims(), "exp", time.Now().Add(-time.Second).Unix())),
		"future":            f.sign(t, but(iapClaims(), "iat", time.Now().Add(5*time.Minute).Unix())),
		"no signature":      parts[0] + "." + parts[1] + ".",
		"removed signature": parts[0] + "." + parts[1] + "." + removedSignature,
		"short signature":   parts[0] + "." + parts[1] + ".AAAA",
		"alg none":          base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","kid":"iap"}`)) + "." + parts[1] + ".",
		"null":              "bnVsbA.bnVsbA.AAAA",
		"long":              strings.Repeat("a", maxToken+1),
	} {
		if _, err := f.iap.Verify(t.Context(), token); !errors.Is(err, ErrUnauthenticated) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, header := range [][]string{nil, {""}, {sound, sound}} {
		r, _ := http.NewRequest(http.MethodGet, "/admin/", nil)
		r.Header["X-Goog-Iap-Jwt-Assertion"] = header
		if _, err := f.iap.Identify(r); !errors.Is(err, ErrUnauthenticated) {
			t.Errorf("header %q: %v", header, err)
		}
	}
}

func TestIAPWithoutKeysIsUnavailable(t *testing.T) {
	f := newIAPFixture(t)
	f.end.set(func(e *endpoint) { e.answer = down })
	if _, err := f.iap.Verify(context.Background(), f.sign(t, iapClaims())); !errors.Is(err, ErrKeysUnavailable) {
		t.Errorf("got %v", err)
	}
	if _, err := NewIAP(IAPConfig{}); err == nil {
		t.Error("every proxy would be trusted")
	}
}
