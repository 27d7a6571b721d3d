package cloudtaskstest

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"sync"
	"time"
)

// tokenLifetime is that of Google's tokens.
const tokenLifetime = time.Hour

// issuer signs tokens, and shows the keys that verify them.
type issuer struct {
	name string

	mu   sync.Mutex
	keys []*rsaKey // the last one signs; at most two
}

// rsaKey is made when it is first needed.
type rsaKey struct {
	private *rsa.PrivateKey
	id      string
}

// signing returns the key that signs, made if there is none yet. It is called
// with i.mu held.
func (i *issuer) signing() (*rsaKey, error) {
	key := i.keys[len(i.keys)-1]
	if key.private == nil {
		private, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			return nil, fmt.Errorf("make a signing key: %w", err)
		}
		key.private = private
	}
	if key.id == "" {
		sum := sha256.Sum256(key.private.N.Bytes())
		key.id = fmt.Sprintf("%x", sum[:10])
	}
	return key, nil
}

// RotateKey makes a new key, which signs from now on. The key before it still
// verifies, as with Google; the one before that no longer does.
func (s *Server) RotateKey() error {
	s.issuer.mu.Lock()
	defer s.issuer.mu.Unlock()
	old, err := s.issuer.signing()
	if err != nil {
		return err
	}
	s.issuer.keys = []*rsaKey{old, {}}
	_, err = s.issuer.signing()
	return err
}

// Token returns the OIDC token that a delivery by this service account would
// carry: RS256, valid for an hour from now.
func (s *Server) Token(email, audience string) (string, error) {
	now := time.Now()
	sum := sha256.Sum256([]byte(email))
	subject := fmt.Sprintf("1%020d", binary.BigEndian.Uint64(sum[:])) // like Google's 21 digits
	return s.SignClaims(map[string]any{
		"iss":            s.issuer.name,
		"aud":            audience,
		"azp":            subject,
		"sub":            subject,
		"email":          email,
		"email_verified": true,
		"iat":            now.Unix(),
		"exp":            now.Add(tokenLifetime).Unix(),
	})
}

// SignClaims signs any claims by the current key, so that tests can make tokens
// that are wrong in one point.
func (s *Server) SignClaims(claims map[string]any) (string, error) {
	s.issuer.mu.Lock()
	key, err := s.issuer.signing()
	s.issuer.mu.Unlock()
	if err != nil {
		return "", err
	}
	header, err := json.Marshal(map[string]string{"alg": "RS256", "kid": key.id, "typ": "JWT"})
	if err != nil {
		return "", fmt.Errorf("encode token header: %w", err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("encode token claims: %w", err)
	}
	signed := base64.RawURLEncoding.EncodeToString(header) + "." + base64.RawURLEncoding.EncodeToString(payload)
	digest := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(nil, key.private, crypto.SHA256, digest[:])
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}

// Certs serves the keys that verify tokens as a JSON Web Key Set, as Google
// does at https://www.googleapis.com/oauth2/v3/certs (OIDC_CERTS_URL).
func (s *Server) Certs() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		s.issuer.mu.Lock()
		_, err := s.issuer.signing()
		keys := []map[string]string{}
		for _, key := range s.issuer.keys {
			if key.id == "" {
				continue
			}
			keys = append(keys, map[string]string{
				"kty": "RSA", "alg": "RS256", "use": "sig", "kid": key.id,
				"n": base64.RawURLEncoding.EncodeToString(key.private.N.Bytes()),
				"e": base64.RawURLEncoding.EncodeToString(big.NewInt(int64(key.private.E)).Bytes()),
			})
		}
		s.issuer.mu.Unlock()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json; charset=UTF-8")
		w.Header().Set("Cache-Control", "public, max-age=3600, must-revalidate")
		_ = json.NewEncoder(w).Encode(map[string]any{"keys": keys})
	})
}
