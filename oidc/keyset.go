package oidc

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"slices"
)

// The sizes of RSA keys that are used: below, forgery is affordable; above,
// verification is not.
const (
	minKeyBits = 2048
	maxKeyBits = 8192
)

// webKey is an RSA key of a JSON Web Key Set (RFC 7517).
type webKey struct {
	purpose
	Kid string `json:"kid"`
	Kty string `json:"kty"`
	N   string `json:"n"`
	E   string `json:"e"`
}

// purpose is what a key set says a key is for; all of it is optional.
type purpose struct {
	Use    string   `json:"use,omitempty"`
	KeyOps []string `json:"key_ops,omitempty"`
	Alg    string   `json:"alg,omitempty"`
}

// registeredAlgorithms are what RFC 7518 registers: a key that states one of them
// is for no other.
var registeredAlgorithms = []string{
	"RS256", "ES256", "RS384", "RS512", "PS256", "PS384", "PS512", "RSA1_5", "RSA-OAEP", "RSA-OAEP-256", "RSA-OAEP-384", "RSA-OAEP-512",
	"ES384", "ES512", "ES256K", "ECDH-ES", "ECDH-ES+A128KW", "ECDH-ES+A192KW", "ECDH-ES+A256KW",
	"HS256", "HS384", "HS512", "dir", "none",
}

// verifies reports whether a key may verify signatures made with algorithm. A
// key that is stated for something else may not. An alg that no standard
// registers says nothing: the most used emulator of Cloud Tasks publishes
// "RSA256". The token's own alg is checked whatever its key says.
func (p purpose) verifies(algorithm string) bool {
	if p.Use != "" && p.Use != "sig" || len(p.KeyOps) > 0 && !slices.Contains(p.KeyOps, "verify") {
		return false
	}
	return p.Alg == algorithm || !slices.Contains(registeredAlgorithms, p.Alg)
}

type webKeySet struct {
	Keys []webKey `json:"keys"`
}

// parseKeySet returns the usable keys by their ID, each as a key set of its own, which
// is what idtoken reads. Keys of other kinds are passed over; a set without any usable
// key is an error, so that it does not replace good keys.
func parseKeySet(body []byte) (map[string][]byte, error) {
	// Other members and kinds of keys may have any shape, so each key is read by itself.
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(body, &set); err != nil {
		return nil, fmt.Errorf("key set: %w", err)
	}
	keys := make(map[string][]byte)
	for _, raw := range set.Keys {
		var key webKey
		if json.Unmarshal(raw, &key) != nil || !key.usable() {
			continue
		}
		key.purpose = purpose{Use: "sig", Alg: "RS256"} // all that idtoken uses
		single, err := json.Marshal(webKeySet{Keys: []webKey{key}})
		if err != nil {
			return nil, fmt.Errorf("key set: %w", err)
		}
		keys[key.Kid] = single
	}
	if len(keys) == 0 {
		return nil, errors.New("key set holds no usable RSA key")
	}
	return keys, nil
}

func (k webKey) usable() bool {
	if k.Kid == "" || k.Kty != "RSA" || !k.verifies("RS256") {
		return false
	}
	n, err := base64.RawURLEncoding.DecodeString(k.N)
	if err != nil {
		return false
	}
	e, err := base64.RawURLEncoding.DecodeString(k.E)
	if err != nil {
		return false
	}
	bits, exponent := new(big.Int).SetBytes(n).BitLen(), new(big.Int).SetBytes(e)
	return bits >= minKeyBits && bits <= maxKeyBits &&
		exponent.BitLen() <= 31 && exponent.Int64() >= 3 && exponent.Bit(0) == 1
}

type keyContextKey struct{}

// withKey hands a key set to [keyTransport] by way of idtoken.
func withKey(ctx context.Context, keySet []byte) context.Context {
	return context.WithValue(ctx, keyContextKey{}, keySet)
}

// keyTransport answers idtoken's request for Google's certificates with the key set in
// the request's context. It never touches the network, whatever idtoken asks for.
type keyTransport struct{}

func (keyTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	keySet, ok := r.Context().Value(keyContextKey{}).([]byte)
	if !ok || r.URL.String() != googleCertsURL {
		return nil, fmt.Errorf("oidc: unexpected request for %s", r.URL)
	}
	return &http.Response{
		Status:     "200 OK",
		StatusCode: http.StatusOK,
		Proto:      "HTTP/1.1",
		ProtoMajor: 1,
		ProtoMinor: 1,
		// Expired on arrival, even if the clock does not advance: idtoken must not serve one
		// token's key to the next.
		Header:        http.Header{"Cache-Control": {"max-age=0"}, "Age": {"1"}},
		Body:          io.NopCloser(bytes.NewReader(keySet)),
		ContentLength: int64(len(keySet)),
		Request:       r,
	}, nil
}
