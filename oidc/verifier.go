package oidc

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"google.golang.org/api/idtoken"
	"google.golang.org/api/option"
)

// Config selects whose tokens are accepted. Audiences and Emails are required.
type Config struct {
	// Audiences are the accepted aud claims, compared exactly. At least one.
	Audiences []string
	// Emails are the accounts that may call, compared exactly. At least one.
	Emails []string
	// Issuer and CertsURL serve an emulator that signs with its own key: the only
	// accepted iss claim, and where its JSON Web Key Set is. Give both or neither;
	// neither means Google's.
	Issuer, CertsURL string
	// TrustPlatform accepts tokens whose signature Cloud Run's IAM has checked and
	// removed; their claims are still checked. Unsafe unless the service refuses
	// unauthenticated calls: otherwise anyone can write such a token.
	TrustPlatform bool
	// HTTPClient fetches the keys. Nil means a client of our own. In any case one
	// fetch takes at most 5 s, follows no redirect and reads at most 256 KiB.
	HTTPClient *http.Client
	// Logger gets a warning when the keys cannot be fetched; nil means slog.Default.
	Logger *slog.Logger
	// Now is the clock; nil means time.Now. It must not run behind the real clock,
	// on which idtoken checks the expiry once more.
	Now func() time.Time
}

// Identity is the account in whose name a verified token was issued.
type Identity struct {
	Email    string    // the account, one of Config.Emails
	Subject  string    // the account's numeric ID
	Audience string    // one of Config.Audiences
	Issuer   string    // who signed
	Expires  time.Time // when the token ends
}

// Verifier verifies tokens. It is safe for concurrent use; make one per process, since
// it holds the keys and remembers verified tokens (by SHA-256, until they expire).
type Verifier struct {
	audiences, emails, issuers []string
	trustPlatform              bool
	now                        func() time.Time
	keys                       *keySource
	signatures                 *idtoken.Validator
	verified                   *memory
}

// New makes a Verifier. It fetches nothing yet. It refuses a configuration that would
// admit every caller: no audience, no account, or an empty one. The error is a
// *[ConfigError] if a field is missing or wrong.
func New(config Config) (*Verifier, error) {
	if err := checkList("Config.Audiences", config.Audiences); err != nil {
		return nil, err
	}
	if err := checkList("Config.Emails", config.Emails); err != nil {
		return nil, err
	}
	if (config.Issuer == "") != (config.CertsURL == "") {
		return nil, &ConfigError{Field: "Config.Issuer", Text: "and Config.CertsURL must be given together"}
	}
	issuers, certs := []string{"https://accounts.google.com", "accounts.google.com"}, googleCertsURL
	if config.Issuer != "" {
		issuers, certs = []string{config.Issuer}, config.CertsURL
	}
	now := config.Now
	if now == nil {
		now = time.Now
	}
	logger := config.Logger
	if logger == nil {
		logger = slog.Default()
	}
	keys, err := newKeySource(certs, parseKeySet, config.HTTPClient, logger, now)
	if err != nil {
		return nil, err
	}
	signatures, err := idtoken.NewValidator(context.Background(), option.WithHTTPClient(&http.Client{Transport: keyTransport{}}))
	if err != nil {
		return nil, fmt.Errorf("oidc: make the signature validator: %w", err)
	}
	return &Verifier{
		audiences:     slices.Clone(config.Audiences),
		emails:        slices.Clone(config.Emails),
		issuers:       issuers,
		trustPlatform: config.TrustPlatform,
		now:           now,
		keys:          keys,
		signatures:    signatures,
		verified:      newMemory(),
	}, nil
}

// ConfigError is one field of a [Config] or [IAPConfig] that is missing or wrong.
type ConfigError struct {
	Field string // such as Config.Audiences
	Text  string // follows the name: "is empty: at least one is required"
}

// Error returns "oidc: FIELD TEXT".
func (e *ConfigError) Error() string { return "oidc: " + e.Field + " " + e.Text }

func checkList(field string, list []string) error {
	if len(list) == 0 {
		return &ConfigError{Field: field, Text: "is empty: at least one is required"}
	}
	for _, s := range list {
		if s == "" || s != strings.TrimSpace(s) {
			return &ConfigError{Field: field, Text: fmt.Sprintf("holds %q, which is empty or surrounded by blanks", s)}
		}
	}
	return nil
}

// errPanic marks a refusal that came from a recovered panic.
var errPanic = errors.New("panic during verification")

// Verify verifies one token (without "Bearer"). The error is an [*Error]. The context
// bounds the wait for the keys; if it ends first, the error is ErrKeysUnavailable.
func (v *Verifier) Verify(ctx context.Context, token string) (identity *Identity, err error) {
	defer func() {
		if p := recover(); p != nil { // a parser's fault must neither accept nor crash
			identity = nil
			err = &Error{kind: ErrUnauthenticated, text: "token could not be verified", cause: fmt.Errorf("%w: %v", errPanic, p)}
		}
	}()
	if len(token) > maxToken { // before hashing it
		return nil, unauthenticated("token is longer than %d bytes", maxToken)
	}
	hash := sha256.Sum256([]byte(token))
	if known, ok := v.verified.get(hash, v.now()); ok {
		return &known, nil
	}
	p, err := parse(token, "RS256")
	if err != nil {
		return nil, err
	}
	// What needs no key comes first: nonsense neither fetches keys nor costs RSA work.
	if err := v.checkAddress(&p.claims); err != nil {
		return nil, err
	}
	if err := p.claims.checkTime(v.now()); err != nil {
		return nil, err
	}
	if err := v.checkSignature(ctx, token, p); err != nil {
		return nil, err
	}
	if err := v.checkAccount(&p.claims); err != nil {
		return nil, err
	}
	known := Identity{
		Email:    p.claims.email,
		Subject:  p.claims.subject,
		Audience: p.claims.audience,
		Issuer:   p.claims.issuer,
		Expires:  time.Unix(p.claims.expires, 0).UTC(),
	}
	v.verified.put(hash, known)
	return &known, nil
}

// checkSignature looks the token's key up and lets idtoken do the cryptography.
func (v *Verifier) checkSignature(ctx context.Context, token string, p *parsed) error {
	if p.removed {
		if v.trustPlatform {
			return nil
		}
		return unauthenticated("the platform removed the token's signature (%s); trust the platform (TrustPlatform) only if every caller passes its IAM", removedSignature)
	}
	key, err := v.keys.find(ctx, p.kid)
	if err != nil {
		return err
	}
	payload, err := v.signatures.Validate(withKey(ctx, key), token, p.claims.audience)
	if err != nil {
		return &Error{kind: ErrUnauthenticated, text: "token signature is not valid", cause: err}
	}
	// Both parsers must have read the same token.
	if payload.Issuer != p.claims.issuer || payload.Audience != p.claims.audience || payload.Expires != p.claims.expires {
		return unauthenticated("token is ambiguous")
	}
	return nil
}
