package oidc

import (
	"slices"
	"time"
)

const (
	// skew is how far the issuer's clock may be ahead of this process's. It does not
	// extend the expiry, as it does not in idtoken.
	skew = 60 * time.Second
	// maxLifetime caps expiry − issue. Google's tokens live one hour; a token
	// with a longer life was not issued for this server.
	maxLifetime = 2 * time.Hour
)

// claims is what a token says about itself.
type claims struct {
	issuer, audience, subject, email string
	emailVerified                    bool
	issued, notBefore, expires       int64 // Unix seconds; notBefore is issued if absent
}

// readClaims reads the claims and refuses missing and mistyped ones. A missing account
// is refused only after the signature is checked.
func readClaims(o object) (claims, error) {
	var c claims
	var ok bool
	if c.issuer, ok = o.text("iss"); !ok {
		return c, unauthenticated("token has no issuer (iss)")
	}
	if c.audience, ok = o.text("aud"); !ok {
		return c, unauthenticated("token has no single audience (aud)")
	}
	if c.expires, ok = o.seconds("exp"); !ok {
		return c, unauthenticated("token has no expiry (exp)")
	}
	if c.issued, ok = o.seconds("iat"); !ok {
		return c, unauthenticated("token has no time of issue (iat)")
	}
	c.notBefore = c.issued
	if _, present := o["nbf"]; present {
		if c.notBefore, ok = o.seconds("nbf"); !ok {
			return c, unauthenticated("token has a malformed start time (nbf)")
		}
	}
	c.subject, _ = o.text("sub")
	c.email, _ = o.text("email")
	c.emailVerified = string(o["email_verified"]) == "true" // the string "true" keeps its quotes
	return c, nil
}

// checkTime checks the claims that depend on the clock.
func (c *claims) checkTime(now time.Time) error {
	unix := now.Unix()
	latest := unix + int64(skew/time.Second)
	switch {
	case unix >= c.expires:
		return unauthenticated("token has expired")
	case c.issued > latest:
		return unauthenticated("token was issued in the future (iat)")
	case c.notBefore > latest:
		return unauthenticated("token is not valid yet (nbf)")
	// A negative iat could make the subtraction overflow.
	case c.issued < 0, c.expires-c.issued > int64(maxLifetime/time.Second):
		return unauthenticated("token is valid for longer than %v", maxLifetime)
	}
	return nil
}

// checkAddress checks the audience and the issuer of the token.
func (v *Verifier) checkAddress(c *claims) error {
	if !slices.Contains(v.issuers, c.issuer) {
		return unauthenticated("token has another issuer (iss)")
	}
	if !slices.Contains(v.audiences, c.audience) {
		return unauthenticated("token is for another audience (aud)")
	}
	return nil
}

// checkAccount checks the account of the token. It comes after the signature: only
// the holder of a valid token learns whether an account is on the list.
func (v *Verifier) checkAccount(c *claims) error {
	if c.email == "" || !c.emailVerified {
		return unauthenticated("token has no verified e-mail address")
	}
	if !slices.Contains(v.emails, c.email) {
		return &Error{kind: ErrForbidden, text: "this account may not call: it is not on the list of allowed accounts"}
	}
	return nil
}
