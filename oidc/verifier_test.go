package oidc

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const header = `{"alg":"RS256","kid":"first","typ":"JWT"}`

// The attack table: what must be refused, with which sentinel and which words.
func TestVerifyRefuses(t *testing.T) {
	now := time.Now()
	claims := good(now)
	payload := encode(t, claims)
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&firstKey().PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	es256 := signWith(t, jwt.SigningMethodES256, ec, "first", claims)
	valid := sign(t, claims)
	unsigned, signature := valid[:strings.LastIndexByte(valid, '.')+1], valid[strings.LastIndexByte(valid, '.')+1:]

	for _, tc := range []struct {
		name, token string
		want        error
		text        string
	}{
		{"empty", "", ErrUnauthenticated, "three segments"},
		{"one segment", "secret", ErrUnauthenticated, "three segments"},
		{"four segments", valid + ".x", ErrUnauthenticated, "three segments"},
		{"giant", strings.Repeat("a", maxToken+1), ErrUnauthenticated, "longer than 8192 bytes"},
		{"giant but well formed", sign(t, but(claims, "pad", strings.Repeat("a", maxToken))), ErrUnauthenticated, "longer than 8192 bytes"},

		{"other audience", sign(t, but(claims, "aud", "https://evil.example")), ErrUnauthenticated, "another audience"},
		{"audience with a path", sign(t, but(claims, "aud", audience+"/")), ErrUnauthenticated, "another audience"},
		{"empty audience", sign(t, but(claims, "aud", "")), ErrUnauthenticated, "another audience"},
		{"no audience", sign(t, but(claims, "aud", nil)), ErrUnauthenticated, "no single audience"},
		{"several audiences", sign(t, but(claims, "aud", []string{audience, "https://evil.example"})), ErrUnauthenticated, "no single audience"},
		{"other issuer", sign(t, but(claims, "iss", "https://evil.example")), ErrUnauthenticated, "another issuer"},
		{"issuer with a slash", sign(t, but(claims, "iss", "https://accounts.google.com/")), ErrUnauthenticated, "another issuer"},
		{"no issuer", sign(t, but(claims, "iss", nil)), ErrUnauthenticated, "no issuer"},
		{"null issuer", raw(t, header, strings.Replace(payload, `"https://accounts.google.com"`, "null", 1)), ErrUnauthenticated, "no issuer"},

		{"other account", sign(t, but(claims, "email", "evil@evil.iam.gserviceaccount.com")), ErrForbidden, "this account may not call"},
		{"account in other case", sign(t, but(claims, "email", strings.ToUpper(account))), ErrForbidden, "this account may not call"},
		{"account with a tail", sign(t, but(claims, "email", account+".evil.example")), ErrForbidden, "this account may not call"},
		{"no e-mail", sign(t, but(claims, "email", nil)), ErrUnauthenticated, "no verified e-mail"},
		{"e-mail is a list", sign(t, but(claims, "email", []string{account})), ErrUnauthenticated, "no verified e-mail"},
		{"unverified e-mail", sign(t, but(claims, "email_verified", false)), ErrUnauthenticated, "no verified e-mail"},
		{"e-mail verified as text", sign(t, but(claims, "email_verified", "true")), ErrUnauthenticated, "no verified e-mail"},
		{"e-mail verified as a number", sign(t, but(claims, "email_verified", 1)), ErrUnauthenticated, "no verified e-mail"},
		{"e-mail verification absent", sign(t, but(claims, "email_verified", nil)), ErrUnauthenticated, "no verified e-mail"},

		{"expired", sign(t, but(claims, "iat", now.Add(-time.Hour).Unix(), "exp", now.Unix())), ErrUnauthenticated, "expired"},
		{"no expiry", sign(t, but(claims, "exp", nil)), ErrUnauthenticated, "no expiry"},
		{"expiry as text", sign(t, but(claims, "exp", "9999999999")), ErrUnauthenticated, "no expiry"},
		{"fractional expiry", sign(t, but(claims, "exp", 1e10+0.5)), ErrUnauthenticated, "no expiry"},
		{"no time of issue", sign(t, but(claims, "iat", nil)), ErrUnauthenticated, "no time of issue"},
		{"issued in the future", sign(t, but(claims, "iat", now.Add(2*time.Minute).Unix())), ErrUnauthenticated, "issued in the future"},
		{"valid in the future", sign(t, but(claims, "nbf", now.Add(2*time.Minute).Unix())), ErrUnauthenticated, "not valid yet"},
		{"malformed start", sign(t, but(claims, "nbf", "now")), ErrUnauthenticated, "malformed start"},
		{"ten years", sign(t, but(claims, "exp", now.AddDate(10, 0, 0).Unix())), ErrUnauthenticated, "longer than 2h"},
		{"for ever", sign(t, but(claims, "iat", -1<<63, "exp", int64(1<<63-1))), ErrUnauthenticated, "longer than 2h"},

		{"alg none", signWith(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, "first", claims), ErrUnauthenticated, "not signed with RS256"},
		{"RS256 without a signature", unsigned, ErrUnauthenticated, "signature is missing"},
		{"HS256 keyed with the public key", signWith(t, jwt.SigningMethodHS256, public, "first", claims), ErrUnauthenticated, "not signed with RS256"},
		{"ES256", es256, ErrUnauthenticated, "not signed with RS256"},
		{"ES256 with a short signature", es256[:strings.LastIndexByte(es256, '.')+1] + "AAAA", ErrUnauthenticated, "not signed with RS256"},
		{"RS512", signWith(t, jwt.SigningMethodRS512, firstKey(), "first", claims), ErrUnauthenticated, "not signed with RS256"},
		{"alg is a list", raw(t, `{"alg":["RS256"],"kid":"first"}`, payload), ErrUnauthenticated, "not signed with RS256"},
		{"alg in other case", raw(t, `{"Alg":"RS256","kid":"first"}`, payload), ErrUnauthenticated, "not signed with RS256"},
		{"two algs", raw(t, `{"alg":"RS256","alg":"ES256","kid":"first"}`, payload), ErrUnauthenticated, "has a member twice"},
		{"two algs by case", raw(t, `{"alg":"RS256","ALG":"ES256","kid":"first"}`, payload), ErrUnauthenticated, "has a member twice"},
		{"two issuers by Unicode case", raw(t, header, strings.Replace(payload, "{", `{"iſs":"x",`, 1)), ErrUnauthenticated, "has a member twice"},

		{"another key", signWith(t, jwt.SigningMethodRS256, secondKey(), "first", claims), ErrUnauthenticated, "signature is not valid"},
		{"signature of another token", sign(t, but(claims, "sub", "118"))[:strings.LastIndexByte(valid, '.')+1] + signature, ErrUnauthenticated, "signature is not valid"},
		{"unknown kid", signWith(t, jwt.SigningMethodRS256, firstKey(), "unknown", claims), ErrUnauthenticated, "unknown key"},
		{"no kid", signWith(t, jwt.SigningMethodRS256, firstKey(), "", claims), ErrUnauthenticated, "does not name its key"},
		{"empty kid", raw(t, `{"alg":"RS256","kid":""}`, payload), ErrUnauthenticated, "does not name its key"},
		{"kid is a number", raw(t, `{"alg":"RS256","kid":1}`, payload), ErrUnauthenticated, "does not name its key"},

		{"null header", raw(t, "null", payload), ErrUnauthenticated, "header is not a JSON object"},
		{"array header", raw(t, "["+header+"]", payload), ErrUnauthenticated, "header is not a JSON object"},
		{"empty header", raw(t, "", payload), ErrUnauthenticated, "header is not a JSON object"},
		{"header and more", raw(t, header+"{}", payload), ErrUnauthenticated, "header is not a JSON object"},
		{"header not base64url", "!" + valid, ErrUnauthenticated, "header is not base64url"},
		{"line break", valid[:3] + "\n" + valid[3:], ErrUnauthenticated, "header is not base64url"},
		{"null payload", raw(t, header, "null"), ErrUnauthenticated, "payload is not a JSON object"},
		{"array payload", raw(t, header, "["+payload+"]"), ErrUnauthenticated, "payload is not a JSON object"},
		{"text payload", raw(t, header, `"x"`), ErrUnauthenticated, "payload is not a JSON object"},
		{"empty payload", raw(t, header, "{}"), ErrUnauthenticated, "no issuer"},
		{"signature not base64url", unsigned + "!!", ErrUnauthenticated, "signature is missing or not base64url"},
		{"signature with stray bits", unsigned + signature[:len(signature)-1] + string(signature[len(signature)-1]+1), ErrUnauthenticated, "signature is missing or not base64url"},
		{"removed signature", unsigned + removedSignature, ErrUnauthenticated, "TrustPlatform"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			v := newVerifier(t, newEndpoint())
			identity, err := v.Verify(context.Background(), tc.token)
			var refusal *Error
			if identity != nil || !errors.As(err, &refusal) || !errors.Is(err, tc.want) || errors.Is(err, errPanic) {
				t.Fatalf("Verify = %v, %v; want %v", identity, err, tc.want)
			}
			if !strings.Contains(err.Error(), tc.text) {
				t.Errorf("error %q does not say %q", err, tc.text)
			}
			if strings.Contains(err.Error(), "idtoken") || len(tc.token) > 40 && strings.Contains(err.Error(), tc.token[:40]) {
				t.Errorf("error %q reveals too much", err)
			}
			if want := map[error]int{ErrUnauthenticated: 401, ErrForbidden: 403}[tc.want]; refusal.HTTPStatus() != want {
				t.Errorf("status %d, want %d", refusal.HTTPStatus(), want)
			}
		})
	}
}

func TestVerifyAccepts(t *testing.T) {
	now := time.Now()
	claims := good(now)
	for name, c := range map[string]jwt.MapClaims{
		"plain":              claims,
		"issuer without URL": but(claims, "iss", "accounts.google.com"),
		"second audience":    but(claims, "aud", "https://other.example"),
		"second account":     but(claims, "email", "cron@shop.iam.gserviceaccount.com"),
		"clock 50 s ahead":   but(claims, "iat", now.Add(50*time.Second).Unix(), "nbf", now.Add(50*time.Second).Unix()),
		"half used":          but(claims, "iat", now.Add(-30*time.Minute).Unix(), "exp", now.Add(30*time.Minute).Unix()),
	} {
		t.Run(name, func(t *testing.T) {
			v, token := newVerifier(t, newEndpoint()), sign(t, c)
			for range 2 { // fresh, then remembered
				identity, err := v.Verify(context.Background(), token)
				if err != nil {
					t.Fatal(err)
				}
				want := Identity{Email: c["email"].(string), Subject: "117", Audience: c["aud"].(string), Issuer: c["iss"].(string), Expires: time.Unix(c["exp"].(int64), 0).UTC()}
				if *identity != want {
					t.Errorf("identity %+v, want %+v", *identity, want)
				}
				identity.Email = "changed by the caller"
			}
		})
	}
}

func TestTrustPlatformStillChecksClaims(t *testing.T) {
	e := newEndpoint()
	v := newVerifier(t, e, func(c *Config) { c.TrustPlatform = true })
	removed := func(c jwt.MapClaims) string {
		token := sign(t, c)
		return token[:strings.LastIndexByte(token, '.')+1] + removedSignature
	}
	claims := good(time.Now())
	if identity, err := v.Verify(context.Background(), removed(claims)); err != nil || identity.Email != account {
		t.Errorf("Verify = %v, %v", identity, err)
	}
	for want, c := range map[error]jwt.MapClaims{
		ErrForbidden:       but(claims, "email", "evil@evil.example"),
		ErrUnauthenticated: but(claims, "aud", "https://evil.example"),
	} {
		if _, err := v.Verify(context.Background(), removed(c)); !errors.Is(err, want) {
			t.Errorf("error %v, want %v", err, want)
		}
	}
	// The platform removes the signature only from the header that it verified.
	r := httptest.NewRequest("POST", "/", nil)
	r.Header.Set("Authorization", "Bearer "+removed(claims))
	if err := v.Authenticate(r); err != nil {
		t.Error(err)
	}
	r.Header.Set("X-Serverless-Authorization", "Bearer of-another-caller")
	if err := v.Authenticate(r); !errors.Is(err, ErrUnauthenticated) {
		t.Errorf("error %v", err)
	}
	// Trusting the platform does not make a wrong signature right.
	forged := signWith(t, jwt.SigningMethodRS256, secondKey(), "first", claims)
	if _, err := v.Verify(context.Background(), forged); !errors.Is(err, ErrUnauthenticated) {
		t.Errorf("error %v", err)
	}
}

func TestEmulatorIssuerReplacesGoogle(t *testing.T) {
	v := newVerifier(t, newEndpoint(), func(c *Config) {
		c.Issuer, c.CertsURL = "http://127.0.0.1:8123", "http://127.0.0.1:8123/certs"
	})
	claims := good(time.Now())
	if _, err := v.Verify(context.Background(), sign(t, but(claims, "iss", "http://127.0.0.1:8123"))); err != nil {
		t.Error(err)
	}
	if _, err := v.Verify(context.Background(), sign(t, claims)); !errors.Is(err, ErrUnauthenticated) {
		t.Errorf("Google's issuer with the emulator's key: %v", err)
	}
}

func TestNewFailsClosed(t *testing.T) {
	list := []string{"x"}
	for name, c := range map[string]Config{
		"nothing":              {},
		"no audience":          {Emails: list},
		"empty audience":       {Emails: list, Audiences: []string{"a", ""}},
		"no account":           {Audiences: list},
		"account with a blank": {Audiences: list, Emails: []string{" a@b.example"}},
		"issuer without keys":  {Audiences: list, Emails: list, Issuer: "http://127.0.0.1"},
		"keys without issuer":  {Audiences: list, Emails: list, CertsURL: "http://127.0.0.1/certs"},
		"keys nowhere":         {Audiences: list, Emails: list, Issuer: "x", CertsURL: "127.0.0.1/certs"},
		"keys in a file":       {Audiences: list, Emails: list, Issuer: "x", CertsURL: "file:///etc/keys"},
	} {
		if v, err := New(c); err == nil || v != nil {
			t.Errorf("%s: New = %v, %v", name, v, err)
		}
	}
}

func TestPanicIsARefusal(t *testing.T) {
	v := newVerifier(t, newEndpoint())
	v.keys = nil // as a bug would
	identity, err := v.Verify(context.Background(), sign(t, good(time.Now())))
	if identity != nil || !errors.Is(err, ErrUnauthenticated) || !errors.Is(err, errPanic) {
		t.Errorf("Verify = %v, %v", identity, err)
	}
	if err.Error() != "token could not be verified" {
		t.Errorf("error %q", err)
	}
}
