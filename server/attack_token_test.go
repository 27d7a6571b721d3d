package server

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"maps"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/claimcheck-go/claimcheck/cloudtasks/cloudtaskstest"
	"github.com/claimcheck-go/claimcheck/server/httpapi"
)

const (
	attackAudience = "https://attacked.example"
	attackToken    = "0123456789abcdefghijklmnopqrstuv"
	attackHMAC     = "zyxwvutsrqponmlkjihgfedcba987654"
)

// forger makes tokens, with the issuer's own key where the rest is wrong.
type forger struct {
	t      *testing.T
	key    *rsa.PrivateKey
	kid    string
	issuer string
}

// newForger also returns the flags of a server that trusts its issuer, and in
// two shared secrets.
func newForger(t *testing.T) (*forger, []string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	fake, err := cloudtaskstest.New(cloudtaskstest.Config{Key: key})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	certs := httptest.NewServer(fake.Certs())
	t.Cleanup(certs.Close)
	w := httptest.NewRecorder()
	fake.Certs().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	var set struct{ Keys []struct{ Kid string } }
	if err := json.Unmarshal(w.Body.Bytes(), &set); err != nil {
		t.Fatal(err)
	}
	return &forger{t: t, key: key, kid: set.Keys[0].Kid, issuer: certs.URL}, []string{
		"--tasks-mode=cloudtasks", "--cloud-tasks-project=p", "--cloud-tasks-location=l", "--cloud-tasks-emulator-host=127.0.0.1:1",
		"--tasks-dispatch-timeout=50ms", "--task-handler-url=" + attackAudience + "/hook/{task_id}", "--oidc-service-account-email=" + procAccount,
		"--oidc-issuer=" + certs.URL, "--oidc-certs-url=" + certs.URL, "--task-api-token=" + attackToken, "--task-hmac-secret=" + attackHMAC,
	}
}

// claims are good but for the changes; nil takes one out.
func (f *forger) claims(changes map[string]any) jwt.MapClaims {
	now := time.Now()
	claims := jwt.MapClaims{
		"iss": f.issuer, "aud": attackAudience, "sub": "117", "email": procAccount, "email_verified": true,
		"iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	}
	maps.Copy(claims, changes)
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	return claims
}

func authorization(values ...string) http.Header { return http.Header{"Authorization": values} }

// signed is a token in any way signed.
func (f *forger) signed(method jwt.SigningMethod, key any, kid string, changes map[string]any) http.Header {
	f.t.Helper()
	token := jwt.NewWithClaims(method, f.claims(changes))
	token.Header["kid"] = kid
	text, err := token.SignedString(key)
	if err != nil {
		f.t.Fatal(err)
	}
	return authorization("Bearer " + text)
}

// but is a token that is good but for some claims.
func (f *forger) but(changes map[string]any) http.Header {
	return f.signed(jwt.SigningMethodRS256, f.key, f.kid, changes)
}

// raw is a well-signed token of any text.
func (f *forger) raw(header, payload string) http.Header {
	f.t.Helper()
	encode := base64.RawURLEncoding.EncodeToString
	content := encode([]byte(header)) + "." + encode([]byte(payload))
	signature, err := jwt.SigningMethodRS256.Sign(content, f.key)
	if err != nil {
		f.t.Fatal(err)
	}
	return authorization("Bearer " + content + "." + encode(signature))
}

// public is the key as anybody can have it.
func (f *forger) public() []byte {
	der, err := x509.MarshalPKIXPublicKey(&f.key.PublicKey)
	if err != nil {
		f.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

func (f *forger) tokens() []attack {
	now := time.Now()
	at := func(d time.Duration) int64 { return now.Add(d).Unix() }
	header := `{"alg":"RS256","typ":"JWT","kid":"` + f.kid + `"}`
	payload, _ := json.Marshal(f.claims(nil))
	good := f.but(nil).Get("Authorization")
	unsigned := good[:strings.LastIndexByte(good, '.')+1]
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		f.t.Fatal(err)
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.t.Fatal(err)
	}
	es256 := f.signed(jwt.SigningMethodES256, ec, f.kid, nil)
	attacks := []attack{
		{name: "other audience", header: f.but(map[string]any{"aud": "https://other.example"})},
		{name: "several audiences", header: f.but(map[string]any{"aud": []string{attackAudience, "https://other.example"}})},
		{name: "no audience", header: f.but(map[string]any{"aud": nil})},
		{name: "other issuer", header: f.but(map[string]any{"iss": "https://accounts.google.com"})},
		{name: "unverified e-mail", header: f.but(map[string]any{"email_verified": false})},
		{name: "e-mail verified as text", header: f.but(map[string]any{"email_verified": "true"})},
		{name: "no e-mail", header: f.but(map[string]any{"email": nil})},
		{name: "expired", header: f.but(map[string]any{"iat": at(-2 * time.Hour), "exp": at(-time.Hour)})},
		{name: "issued in the future", header: f.but(map[string]any{"iat": at(10 * time.Minute)})},
		{name: "valid in the future", header: f.but(map[string]any{"nbf": at(10 * time.Minute)})},
		{name: "valid for years", header: f.but(map[string]any{"exp": at(10000 * time.Hour)})},
		{name: "alg none", header: f.signed(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, f.kid, nil)},
		{name: "HS256 by the public key", header: f.signed(jwt.SigningMethodHS256, f.public(), f.kid, nil)},
		{name: "HS256 by the modulus", header: f.signed(jwt.SigningMethodHS256, f.key.N.Bytes(), f.kid, nil)},
		{name: "ES256", header: es256},
		{name: "ES256, short signature", header: authorization(es256.Get("Authorization")[:strings.LastIndexByte(es256.Get("Authorization"), '.')] + ".AAAA")},
		{name: "unknown kid", header: f.signed(jwt.SigningMethodRS256, f.key, "unknown", nil)},
		{name: "known kid, other key", header: f.signed(jwt.SigningMethodRS256, other, f.kid, nil)},
		{name: "null header", header: f.raw("null", string(payload))},
		{name: "null payload", header: f.raw(header, "null")},
		{name: "nothing in it", header: f.raw("{}", "{}")},
		{name: "two algs", header: f.raw(`{"alg":"none",`+header[1:], string(payload))},
		{name: "a critical extension", header: f.raw(`{"crit":["b64"],"b64":true,`+header[1:], string(payload))},
		{name: "a critical extension that is empty", header: f.raw(`{"crit":[],`+header[1:], string(payload))},
		{name: "no signature", header: authorization(unsigned)},
		{name: "signature taken off", header: authorization(unsigned + "SIGNATURE_REMOVED_BY_GOOGLE")},
		{name: "enormous token", header: authorization("Bearer " + strings.Repeat("ey.", 30_000))},
		{name: "two tokens", header: authorization(good, good)},
		{name: "a good token, not as Bearer", header: authorization("Basic" + strings.TrimPrefix(good, "Bearer"))},
	}
	for i := range attacks {
		attacks[i].status = http.StatusUnauthorized
	}
	return append(attacks, attack{name: "other account", status: http.StatusForbidden, header: f.but(map[string]any{"email": "stranger@proc.iam.gserviceaccount.com"})})
}

// spoofed are headers that claim an identity to a server that trusts them.
var spoofed = http.Header{
	"X-Cloudtasks-Queuename": {"default"}, "X-Cloudtasks-Taskname": {"t"}, "X-Cloudtasks-Taskretrycount": {"9"},
	"X-Appengine-Queuename": {"default"}, "X-Appengine-Cron": {"true"}, "X-Appengine-Taskretrycount": {"9"},
	"X-Appengine-User-Is-Admin": {"1"}, "X-Goog-Authenticated-User-Email": {procAccount}, "X-Serverless-Authorization": {"Bearer x"},
	"X-Forwarded-For": {"127.0.0.1"}, "X-Forwarded-Host": {"localhost"}, "X-Real-Ip": {"127.0.0.1"}, "Forwarded": {"for=127.0.0.1"},
	"User-Agent": {"Google-Cloud-Tasks"}, "X-Http-Method-Override": {"GET"},
}

// secrets are the attacks on the two shared secrets, and those without any.
func secrets() []attack {
	sign := func(secret string, age time.Duration, change func(endpoint) endpoint) func(endpoint) http.Header {
		return func(of endpoint) http.Header {
			t := change(of)
			at := time.Now().Add(-age).Unix()
			return http.Header{
				httpapi.SignatureHeader: {httpapi.Sign(secret, at, t.method, t.path, []byte(t.body))},
				httpapi.TimestampHeader: {strconv.FormatInt(at, 10)},
			}
		}
	}
	same := func(t endpoint) endpoint { return t }
	inQuery := func(_ endpoint, r *http.Request) *http.Request {
		query := r.URL.Query()
		query.Set("access_token", attackToken)
		query.Set("token", attackToken)
		r.URL.RawQuery = query.Encode()
		return r
	}
	attacks := []attack{
		{name: "no credentials"},
		{name: "headers that claim an identity", header: spoofed},
		{name: "another secret", header: authorization("Bearer " + attackToken + "x")},
		{name: "the secret without Bearer", header: authorization(attackToken)},
		{name: "the other secret", header: authorization("Bearer " + attackHMAC)},
		{name: "an empty secret", header: authorization("Bearer ")},
		{name: "the secret in the query", change: inQuery},
		{name: "the secret in a cookie", header: http.Header{"Cookie": {"TASK_API_TOKEN=" + attackToken}}},
		{name: "signed with another secret", sign: sign(attackToken, 0, same)},
		{name: "signed long ago", sign: sign(attackHMAC, 301*time.Second, same)},
		{name: "signed in the future", sign: sign(attackHMAC, -310*time.Second, same)},
		{name: "signature of another method", sign: sign(attackHMAC, 0, func(t endpoint) endpoint { t.method += "X"; return t })},
		{name: "signature of another path", sign: sign(attackHMAC, 0, func(t endpoint) endpoint { t.path += "x"; return t })},
		{name: "signature of another body", sign: sign(attackHMAC, 0, func(t endpoint) endpoint { t.body += " "; return t })},
		{name: "signature without its time", header: http.Header{httpapi.SignatureHeader: {strings.Repeat("0", 64)}}},
		{name: "oversize body", change: func(_ endpoint, r *http.Request) *http.Request {
			return withBody(r, strings.Repeat("x", 3<<20))
		}},
		{name: "oversize signed body", sign: sign(attackHMAC, 0, func(t endpoint) endpoint { t.body = strings.Repeat("x", 3<<20); return t }),
			change: func(_ endpoint, r *http.Request) *http.Request { return withBody(r, strings.Repeat("x", 3<<20)) }},
	}
	for i := range attacks {
		attacks[i].status = http.StatusUnauthorized
		if attacks[i].name == "oversize signed body" { // whose signature cannot be checked without reading it all
			attacks[i].status = http.StatusRequestEntityTooLarge
		}
	}
	return attacks
}

// withBody is the same request with another body.
func withBody(r *http.Request, body string) *http.Request {
	changed := httptest.NewRequest(r.Method, r.URL.String(), strings.NewReader(body))
	changed.Header, changed.Host = r.Header, r.Host
	return changed
}

func TestForgedCredentialsAreRefusedOnEveryRoute(t *testing.T) {
	forger, flags := newForger(t)
	f := newFortress(t, flags...)
	attacks := append(secrets(), forger.tokens()...)
	endpoints := f.endpoints(forger.but(nil))
	f.storm(endpoints, attacks, attackToken, attackHMAC, procAccount, attackAudience, forger.issuer, forger.kid, "hidden", "idtoken", "x509", "crypto", "verification error")

	// The same requests with a good token are not refused, and a signature is
	// good for once.
	for _, endpoint := range endpoints {
		for name, header := range map[string]http.Header{"token": forger.but(nil), "secret": authorization("bearer " + attackToken)} {
			r := httptest.NewRequest(endpoint.method, endpoint.path, strings.NewReader(endpoint.body))
			r.Header = header
			w := httptest.NewRecorder()
			f.handler.ServeHTTP(w, r)
			if w.Code == http.StatusUnauthorized || w.Code == http.StatusForbidden {
				t.Errorf("%s with the %s: %d %s", endpoint, name, w.Code, w.Body)
			}
		}
	}
}
