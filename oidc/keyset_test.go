package oidc

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// A key is rejected only if the key set states another purpose for it. An unknown
// alg states none.
func TestKeysByTheirStatedPurpose(t *testing.T) {
	for stated, usable := range map[string]bool{
		``:                                     true,
		`"alg":"RS256",`:                       true,
		`"alg":"RSA256",`:                      true, // the emulator's
		`"alg":"RSA256","use":"sig",`:          true,
		`"alg":"",`:                            true,
		`"use":"sig","key_ops":["verify"],`:    true,
		`"key_ops":["sign","verify"],`:         true,
		`"key_ops":[],`:                        true,
		`"use":"enc",`:                         false,
		`"alg":"RSA256","use":"enc",`:          false,
		`"use":"tls",`:                         false,
		`"key_ops":["encrypt","wrapKey"],`:     false,
		`"use":"sig","key_ops":["encrypt"],`:   false,
		`"key_ops":"verify",`:                  false, // malformed
		`"alg":"RSA-OAEP",`:                    false,
		`"alg":"RSA-OAEP-256",`:                false,
		`"alg":"PS256",`:                       false,
		`"alg":"RS512",`:                       false,
		`"alg":"HS256",`:                       false,
		`"alg":"none",`:                        false,
		`"alg":"ES256",`:                       false,
		`"alg":7,`:                             false,
		`"use":"sig","alg":"RS256","x5t":"a",`: true,
	} {
		e := newEndpoint()
		e.answer = func(*http.Request) (*http.Response, error) {
			return respond(http.StatusOK, nil, strings.ReplaceAll(plainKeySet(t, e), `{"kid"`, `{`+stated+`"kid"`)), nil
		}
		err := verifyNew(t, newVerifier(t, e))
		if (err == nil) != usable {
			t.Errorf("%s: %v, want usable %t", stated, err, usable)
		}
	}
}

// plainKeySet is the endpoint's key set without the purposes of the keys.
func plainKeySet(t *testing.T, e *endpoint) string {
	t.Helper()
	set := strings.ReplaceAll(e.keySet(), `{"use":"sig","alg":"RS256","kid"`, `{"kid"`)
	if !strings.Contains(set, `{"kid"`) {
		t.Fatalf("the key set has another shape: %s", set)
	}
	return set
}

// A key of unknown alg gives no other algorithm a way in.
func TestTheTokensOwnAlgorithmCounts(t *testing.T) {
	e := newEndpoint()
	e.answer = func(*http.Request) (*http.Response, error) {
		return respond(http.StatusOK, nil, strings.ReplaceAll(plainKeySet(t, e), `{"kid"`, `{"alg":"RSA256","kid"`)), nil
	}
	v := newVerifier(t, e)
	if err := verifyNew(t, v); err != nil {
		t.Fatal(err)
	}
	for _, method := range []jwt.SigningMethod{jwt.SigningMethodRS384, jwt.SigningMethodRS512, jwt.SigningMethodPS256} {
		token := signWith(t, method, firstKey(), "first", good(time.Now()))
		if _, err := v.Verify(t.Context(), token); err == nil || !strings.Contains(err.Error(), "not signed with RS256") {
			t.Errorf("%s: %v", method.Alg(), err)
		}
	}
}

func TestIAPKeysByTheirStatedPurpose(t *testing.T) {
	f := newIAPFixture(t)
	answer := f.end.answer
	for stated, usable := range map[string]bool{
		``: true, `"alg":"EC256",`: true, `"key_ops":["verify"],`: true, `"use":"enc",`: false, `"alg":"ECDH-ES",`: false, `"key_ops":["deriveKey"],`: false,
	} {
		g := newIAPFixture(t)
		response, err := answer(mustRequest(t, iapCertsURL))
		if err != nil {
			t.Fatal(err)
		}
		body := make([]byte, 4096)
		n, _ := response.Body.Read(body)
		set := strings.Replace(string(body[:n]), `"alg":"ES256",`, stated, 1)
		set = strings.Replace(set, `,"use":"sig"`, "", 1)
		g.end.answer = func(*http.Request) (*http.Response, error) { return respond(http.StatusOK, nil, set), nil }
		token := f.sign(t, iapClaims())
		if _, err := g.iap.Verify(t.Context(), token); (err == nil) != usable {
			t.Errorf("%s: %v, want usable %t", stated, err, usable)
		}
	}
}

func mustRequest(t *testing.T, url string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// RFC 7515: a recipient must reject a token whose crit lists an extension that it
// does not understand.
func TestCriticalExtensionsAreRefused(t *testing.T) {
	e := newEndpoint()
	v := newVerifier(t, e)
	f := newIAPFixture(t)
	for _, crit := range []any{[]string{"exp"}, []string{"b64"}, []string{}, nil, "x"} {
		rs := jwt.NewWithClaims(jwt.SigningMethodRS256, good(time.Now()))
		rs.Header["kid"], rs.Header["crit"], rs.Header["b64"] = "first", crit, true
		text, err := rs.SignedString(firstKey())
		if err != nil {
			t.Fatal(err)
		}
		es := jwt.NewWithClaims(jwt.SigningMethodES256, iapClaims())
		es.Header["kid"], es.Header["crit"] = "iap", crit
		iapText, err := es.SignedString(f.key)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := v.Verify(t.Context(), text); err == nil || !strings.Contains(err.Error(), "crit") {
			t.Errorf("crit %v: %v", fmt.Sprint(crit), err)
		}
		if _, err := f.iap.Verify(t.Context(), iapText); err == nil || !strings.Contains(err.Error(), "crit") {
			t.Errorf("crit %v in a proxy's token: %v", fmt.Sprint(crit), err)
		}
	}
}
