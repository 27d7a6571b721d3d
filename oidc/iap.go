package oidc

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// What Identity-Aware Proxy signs, and with which keys.
// Source: https://cloud.google.com/iap/docs/signed-headers-howto
const (
	iapHeader   = "X-Goog-IAP-JWT-Assertion"
	iapIssuer   = "https://cloud.google.com/iap"
	iapCertsURL = "https://www.gstatic.com/iap/verify/public_key-jwk"
)

// IAPConfig selects the Identity-Aware Proxy whose tokens are accepted.
type IAPConfig struct {
	// Audiences are the accepted aud claims, such as
	// /projects/123/locations/europe-west1/services/admin for Cloud Run,
	// /projects/123/apps/my-project for App Engine, and
	// /projects/123/global/backendServices/456 behind a load balancer. At least one.
	Audiences []string
	// HTTPClient, Logger and Now are those of [Config].
	HTTPClient *http.Client
	Logger     *slog.Logger
	Now        func() time.Time
}

// IAP verifies the tokens in which Identity-Aware Proxy names the user of a
// request. Which users are admitted is the proxy's decision. It is safe for
// concurrent use.
type IAP struct {
	audiences []string
	now       func() time.Time
	keys      *keySource
	verified  *memory
}

// NewIAP makes an [IAP]. It fetches nothing yet. Without an audience, which would
// accept every proxy, the error is a *[ConfigError].
func NewIAP(config IAPConfig) (*IAP, error) {
	if err := checkList("IAPConfig.Audiences", config.Audiences); err != nil {
		return nil, err
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Logger == nil {
		config.Logger = slog.Default()
	}
	keys, err := newKeySource(iapCertsURL, parseECKeySet, config.HTTPClient, config.Logger, config.Now)
	if err != nil {
		return nil, err
	}
	return &IAP{audiences: slices.Clone(config.Audiences), now: config.Now, keys: keys, verified: newMemory()}, nil
}

// Identify verifies a request's token. The error is an [*Error].
func (v *IAP) Identify(r *http.Request) (*Identity, error) {
	tokens := r.Header.Values(iapHeader)
	if len(tokens) != 1 || tokens[0] == "" {
		return nil, unauthenticated("the request did not come through Identity-Aware Proxy: it has no %s", iapHeader)
	}
	return v.Verify(r.Context(), tokens[0])
}

// Verify verifies one token. The error is an [*Error].
func (v *IAP) Verify(ctx context.Context, token string) (*Identity, error) {
	if len(token) > maxToken {
		return nil, unauthenticated("token is longer than %d bytes", maxToken)
	}
	hash := sha256.Sum256([]byte(token))
	if known, ok := v.verified.get(hash, v.now()); ok {
		return &known, nil
	}
	p, err := parse(token, "ES256")
	if err != nil {
		return nil, err
	}
	switch {
	case p.claims.issuer != iapIssuer:
		return nil, unauthenticated("token has another issuer (iss) than Identity-Aware Proxy")
	case !slices.Contains(v.audiences, p.claims.audience):
		return nil, unauthenticated("token is for another audience (aud)")
	case p.claims.subject == "":
		return nil, unauthenticated("token has no subject (sub)")
	}
	if err := p.claims.checkTime(v.now()); err != nil {
		return nil, err
	}
	if p.removed {
		return nil, unauthenticated("token signature was removed")
	}
	point, err := v.keys.find(ctx, p.kid)
	if err != nil {
		return nil, err
	}
	key, err := ecKey(point)
	if err == nil {
		err = jwt.SigningMethodES256.Verify(p.signed, p.signature, key)
	}
	if err != nil {
		return nil, &Error{kind: ErrUnauthenticated, text: "token signature is not valid", cause: err}
	}
	known := Identity{
		Email: p.claims.email, Subject: p.claims.subject, Audience: p.claims.audience, Issuer: p.claims.issuer,
		Expires: time.Unix(p.claims.expires, 0).UTC(),
	}
	v.verified.put(hash, known)
	return &known, nil
}

// parseECKeySet returns the usable P-256 keys by their ID, each as an
// uncompressed point.
func parseECKeySet(body []byte) (map[string][]byte, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(body, &set); err != nil {
		return nil, fmt.Errorf("key set: %w", err)
	}
	keys := make(map[string][]byte)
	for _, raw := range set.Keys {
		var key struct {
			purpose
			Kid, Kty, Crv, X, Y string
		}
		if json.Unmarshal(raw, &key) != nil || key.Kid == "" || key.Kty != "EC" || key.Crv != "P-256" || !key.verifies("ES256") {
			continue
		}
		x, errX := base64.RawURLEncoding.DecodeString(key.X)
		y, errY := base64.RawURLEncoding.DecodeString(key.Y)
		if errX != nil || errY != nil || len(x) != 32 || len(y) != 32 {
			continue
		}
		point := append(append([]byte{4}, x...), y...)
		if _, err := ecKey(point); err == nil {
			keys[key.Kid] = point
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("key set holds no usable P-256 key")
	}
	return keys, nil
}

// ecKey reads an uncompressed point, which must be on the curve.
func ecKey(point []byte) (*ecdsa.PublicKey, error) {
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	return key, nil
}
