package oidc

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
)

// maxToken is the longest token that is looked at, in bytes. Google's have about
// 1 KiB, at most 2 KiB with every optional claim.
const maxToken = 8 << 10

// removedSignature is what Cloud Run's IAM leaves of a signature that it checked itself.
const removedSignature = "SIGNATURE_REMOVED_BY_GOOGLE"

// parsed is a token whose shape is right; nothing in it is verified.
type parsed struct {
	kid     string
	claims  claims
	removed bool // the signature was replaced by removedSignature

	signed    string // header and payload
	signature []byte
}

// parse takes a token apart and refuses every shape that Google does not produce,
// and every algorithm but one. It is stricter than idtoken's parser, so that both
// see the same token.
func parse(token, algorithm string) (*parsed, error) {
	if len(token) > maxToken {
		return nil, unauthenticated("token is longer than %d bytes", maxToken)
	}
	segments := strings.Split(token, ".")
	if len(segments) != 3 {
		return nil, unauthenticated("not a token: three segments expected")
	}
	header, err := decodeObject(segments[0])
	if err != nil {
		return nil, unauthenticated("token header %v", err)
	}
	// The algorithm is fixed: "none", HS256 keyed with the public key, and the ES256 of
	// other Google products (on which idtoken can panic) end here.
	if alg, ok := header.text("alg"); !ok || alg != algorithm {
		return nil, unauthenticated("token is not signed with %s", algorithm)
	}
	// An extension listed in crit must be understood (RFC 7515), and none is.
	if _, present := header["crit"]; present {
		return nil, unauthenticated("token requires an extension (crit) that is not supported")
	}
	kid, ok := header.text("kid")
	if !ok || kid == "" {
		return nil, unauthenticated("token does not name its key")
	}
	payload, err := decodeObject(segments[1])
	if err != nil {
		return nil, unauthenticated("token payload %v", err)
	}
	c, err := readClaims(payload)
	if err != nil {
		return nil, err
	}
	if segments[2] == removedSignature {
		return &parsed{kid: kid, claims: c, removed: true}, nil
	}
	signature, err := decodeSegment(segments[2])
	if err != nil || len(signature) == 0 {
		return nil, unauthenticated("token signature is missing or not base64url")
	}
	return &parsed{kid: kid, claims: c, signed: segments[0] + "." + segments[1], signature: signature}, nil
}

func decodeSegment(s string) ([]byte, error) {
	if strings.ContainsAny(s, "\r\n") { // which encoding/base64 skips
		return nil, errors.New("line break")
	}
	return base64.RawURLEncoding.Strict().DecodeString(s)
}

// object is a JSON object by its exact member names.
type object map[string]json.RawMessage

// text returns the member name if it is a string.
func (o object) text(name string) (string, bool) {
	var s *string // null leaves it nil
	if json.Unmarshal(o[name], &s) != nil || s == nil {
		return "", false
	}
	return *s, true
}

// seconds returns the member name if it is an integer.
func (o object) seconds(name string) (int64, bool) {
	var n *int64
	if json.Unmarshal(o[name], &n) != nil || n == nil {
		return 0, false
	}
	return *n, true
}

// decodeObject decodes one base64url segment that must be a JSON object. Names that
// differ only in case are refused like duplicates: idtoken's decoder folds case and
// takes the last, so that it could see another "alg" or "aud" than we do.
func decodeObject(segment string) (object, error) {
	raw, err := decodeSegment(segment)
	if err != nil {
		return nil, errors.New("is not base64url")
	}
	if !json.Valid(raw) || bytes.TrimLeft(raw, " \t\r\n")[0] != '{' {
		return nil, errors.New("is not a JSON object")
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	if _, err := d.Token(); err != nil { // {
		return nil, errors.New("is not a JSON object")
	}
	o, folded := object{}, map[string]bool{}
	for d.More() {
		name, _ := d.Token()
		key, ok := name.(string)
		fold := strings.ToLower(strings.ToUpper(key))
		if !ok || folded[fold] {
			return nil, errors.New("has a member twice")
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, errors.New("is not a JSON object")
		}
		folded[fold], o[key] = true, value
	}
	return o, nil
}
