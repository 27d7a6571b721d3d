package cloudtaskstest_test

import (
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/claimcheck-go/claimcheck/cloudtasks/cloudtaskstest"
)

// keys fetches the JWKS as a verifier would.
func keys(t *testing.T, srv *cloudtaskstest.Server) jwt.Keyfunc {
	t.Helper()
	client := http.Client{Transport: cloudtaskstest.InProcess(srv.Certs())}
	response, err := client.Get("https://certs.example/certs")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var set struct {
		Keys []struct{ Kid, N, E, Kty, Alg, Use string }
	}
	if err := json.NewDecoder(response.Body).Decode(&set); err != nil {
		t.Fatal(err)
	}
	public := map[string]*rsa.PublicKey{}
	for _, key := range set.Keys {
		n, err1 := base64.RawURLEncoding.DecodeString(key.N)
		e, err2 := base64.RawURLEncoding.DecodeString(key.E)
		if err1 != nil || err2 != nil || key.Kty != "RSA" || key.Alg != "RS256" || key.Use != "sig" {
			t.Fatalf("key %+v", key)
		}
		public[key.Kid] = &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(e).Int64())}
	}
	return func(token *jwt.Token) (any, error) {
		if key, ok := public[token.Header["kid"].(string)]; ok {
			return key, nil
		}
		return nil, jwt.ErrTokenUnverifiable
	}
}

func verify(t *testing.T, srv *cloudtaskstest.Server, token string) (jwt.MapClaims, error) {
	t.Helper()
	claims := jwt.MapClaims{}
	_, err := jwt.ParseWithClaims(token, claims, keys(t, srv), jwt.WithValidMethods([]string{"RS256"}), jwt.WithExpirationRequired(), jwt.WithIssuedAt())
	return claims, err
}

const account = "tasks@acme.iam.gserviceaccount.com"

func TestDeliveriesCarryAVerifiableToken(t *testing.T) {
	bubble(t, nil, nil, func(fx *fixture) {
		fx.create(withToken(account, "https://worker.example"))
		fx.create(withToken(account, ""))
		fx.create(task())
		fx.empty()
		audiences := map[string]int{}
		for _, r := range fx.requests {
			token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
			if !ok {
				audiences["none"]++
				continue
			}
			claims, err := verify(fx.T, fx.srv, token)
			if err != nil {
				fx.Fatal(err)
			}
			audiences[claims["aud"].(string)]++
			if claims["iss"] != "https://accounts.google.com" || claims["email"] != account || claims["email_verified"] != true ||
				claims["sub"] == "" || claims["exp"].(float64)-claims["iat"].(float64) != 3600 {
				fx.Errorf("claims %v", claims)
			}
		}
		for _, want := range []string{"https://worker.example", task().GetHttpRequest().GetUrl(), "none"} {
			if audiences[want] != 1 {
				fx.Errorf("audiences %v, want %q once", audiences, want)
			}
		}
	})
}

func TestRotateKey(t *testing.T) {
	bubble(t, nil, func(c *cloudtaskstest.Config) { c.Issuer = "http://127.0.0.1:8124" }, func(fx *fixture) {
		token := func() string {
			signed, err := fx.srv.Token(account, "https://worker.example")
			if err != nil {
				fx.Fatal(err)
			}
			return signed
		}
		rotate := func() {
			if err := fx.srv.RotateKey(); err != nil {
				fx.Fatal(err)
			}
		}
		old := token()
		stale := keys(fx.T, fx.srv)
		rotate()
		current := token()
		if _, err := jwt.Parse(current, stale); err == nil {
			fx.Error("the new token verifies with the old keys")
		}
		for _, signed := range []string{old, current} {
			if claims, err := verify(fx.T, fx.srv, signed); err != nil || claims["iss"] != "http://127.0.0.1:8124" {
				fx.Errorf("%v, %v", claims, err)
			}
		}
		rotate()
		if _, err := verify(fx.T, fx.srv, old); err == nil {
			fx.Error("the key before the last still verifies")
		}
		time.Sleep(time.Hour + time.Second)
		if _, err := verify(fx.T, fx.srv, current); err == nil {
			fx.Error("a token verifies after an hour")
		}
	})
}

func TestSignClaimsMakesWrongTokens(t *testing.T) {
	srv, _ := cloudtaskstest.Start(t, cloudtaskstest.Config{})
	signed, err := srv.SignClaims(map[string]any{"aud": []string{"a", "b"}, "email_verified": "true", "exp": time.Now().Add(-time.Hour).Unix()})
	if err != nil {
		t.Fatal(err)
	}
	if claims, err := verify(t, srv, signed); err == nil || claims["email_verified"] != "true" {
		t.Errorf("%v, %v", claims, err)
	}
	if _, err := srv.SignClaims(map[string]any{"x": func() {}}); err == nil {
		t.Error("claims that are no JSON were signed")
	}
}
