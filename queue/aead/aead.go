// Package aead encrypts what tasks store, with AES-256-GCM and keys that can be rotated. A
// [Keyring] is the Codec of a queue.Config:
//
//	keyring, err := aead.Parse(os.Getenv("TASK_KEYS"))
//	…
//	client, err := queue.NewClient(queue.Config{…, Codec: keyring})
//
// It uses the standard library only. docs/encryption.md describes keys, their rotation, and
// what is not encrypted.
package aead

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/claimcheck-go/claimcheck/queue"
)

// KeyBytes is the length of every key.
const KeyBytes = 32

// MaxID is the longest ID of a key, without the end that [Key.FullID] appends.
const MaxID = 64 - endLength

// HashKey is the ID of the key for hashes.
const HashKey = "hash"

// Key is a key with its ID, by which stored values name it.
type Key struct {
	ID     string // 1 to MaxID letters, digits, "-", "_" or "."; not HashKey
	Secret []byte // KeyBytes random bytes
}

// String returns the key as [Parse] reads it: ID:BASE64.
func (k Key) String() string { return k.ID + ":" + base64.StdEncoding.EncodeToString(k.Secret) }

// FullID returns the ID that stored values have: it ends in a dot and eight hexadecimal
// digits that are derived from the secret. So keys with the same ID and different secrets
// are different keys: a program with the wrong one lacks the key of a row, which waits,
// instead of failing to decrypt it. The ID of the key itself may have that end.
func (k Key) FullID() string {
	if end := endOf(k.Secret); k.ID != HashKey && !strings.HasSuffix(k.ID, end) {
		return k.ID + end
	}
	return k.ID
}

// endLength is the length of what FullID appends.
const endLength = 9

func endOf(secret []byte) string {
	return "." + hex.EncodeToString(mac(secret, []byte("claimcheck/aead/1 id")))[:endLength-1]
}

// ShortID returns a [Key.FullID] without its end, and any other ID as it is. Two of one short
// ID are of keys with the same ID and different secrets.
func ShortID(full string) string {
	at := len(full) - endLength
	if at < 1 || full[at] != '.' || strings.Trim(full[at+1:], "0123456789abcdef") != "" {
		return full
	}
	return full[:at]
}

// SameShortID returns the one of ids that has the [ShortID] of another ID, and so another
// secret; empty if none has. Nothing is known of the secret of an ID without the end.
func SameShortID(ids []string, id string) string {
	short := ShortID(id)
	for _, other := range ids {
		if short != id && other != id && other != short && ShortID(other) == short {
			return other
		}
	}
	return ""
}

// NewKey returns a key with a random secret. Its ID is id with the end of [Key.FullID], but
// for [HashKey].
func NewKey(id string) Key {
	k := Key{ID: id, Secret: make([]byte, KeyBytes)}
	_, _ = rand.Read(k.Secret) // it never fails
	k.ID = k.FullID()
	return k
}

// Keyring has keys. It is a [queue.Codec], and safe for concurrent use.
type Keyring struct {
	ids     []string
	secrets map[string][]byte
	hash    []byte
}

var _ queue.Codec = (*Keyring)(nil)

// New returns a keyring. The first of keys is the one for new rows; with the others, rows
// can be decrypted. hash is the key for hashes, which must never change: KeyBytes bytes.
// The secrets differ.
func New(hash []byte, keys ...Key) (*Keyring, error) {
	if len(hash) != KeyBytes {
		return nil, fmt.Errorf("aead: the key %q must have %d bytes, not %d", HashKey, KeyBytes, len(hash))
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("aead: at least one key besides %q is required", HashKey)
	}
	r := &Keyring{hash: hash, secrets: make(map[string][]byte, len(keys))}
	names := map[string]string{string(hash): fmt.Sprintf("key %q", HashKey)} // by secrets
	for i, k := range keys {
		id, name := k.FullID(), nameOf(k.ID, "key %d besides %q", i+1, HashKey)
		other, twice := names[string(k.Secret)]
		switch {
		case k.ID == HashKey || !queue.ValidKeyID(k.ID) || !queue.ValidKeyID(id):
			return nil, invalidID(name)
		case len(k.Secret) != KeyBytes:
			return nil, fmt.Errorf("aead: %s must have %d bytes, not %d", name, KeyBytes, len(k.Secret))
		case twice:
			return nil, fmt.Errorf("aead: %s has the secret of %s: give each key a different secret", name, other)
		}
		names[string(k.Secret)] = name
		r.ids, r.secrets[id] = append(r.ids, id), k.Secret
	}
	return r, nil
}

// Parse returns the keyring of a text: keys as [Key.String] writes them, separated by commas
// or white space, one of them with the ID [HashKey]. The first other key is the one for new
// rows. Errors never contain a secret.
func Parse(text string) (*Keyring, error) {
	var hash []byte
	var keys []Key
	text = strings.TrimPrefix(text, "\ufeff") // of an editor
	for i, part := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' || r == '\n' || r == '\r' }) {
		id, encoded, ok := strings.Cut(part, ":")
		if !ok {
			return nil, fmt.Errorf("aead: key %d has no ID: write it as ID:BASE64", i+1)
		}
		secret, err := decode(encoded)
		switch {
		case err != nil || len(secret) != KeyBytes:
			return nil, fmt.Errorf("aead: %s must be ID:BASE64, with %d bytes in base64 (%d characters), not %d characters", nameOf(id, "key %d", i+1), KeyBytes, base64.StdEncoding.EncodedLen(KeyBytes), len(encoded))
		case !queue.ValidKeyID(id):
			return nil, invalidID(nameOf(id, "key %d", i+1))
		case id != HashKey:
			keys = append(keys, Key{id, secret})
		case hash != nil:
			return nil, fmt.Errorf("aead: key %q is given twice", HashKey)
		default:
			hash = secret
		}
	}
	if hash == nil {
		return nil, fmt.Errorf("aead: the key %q is missing: it makes the keys of UniqueArgs, and must never change", HashKey)
	}
	return New(hash, keys...)
}

// maxNamed is the longest ID that errors have: what is longer may be a secret in its place.
const maxNamed = 32

// nameOf names a key in an error, otherwise than by an ID that may be a secret.
func nameOf(id, otherwise string, args ...any) string {
	if len(id) <= maxNamed && queue.ValidKeyID(id) {
		return fmt.Sprintf("key %q", id)
	}
	return fmt.Sprintf(otherwise, args...)
}

func invalidID(name string) error {
	return fmt.Errorf(`aead: %s has no valid ID: use 1 to %d letters, digits, "-", "_" or ".", and not %q`, name, MaxID, HashKey)
}

// decode reads base64 of either alphabet, with or without padding.
func decode(text string) ([]byte, error) {
	text = strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(text, "="))
	return base64.RawStdEncoding.DecodeString(text)
}

// Keys returns the IDs of the keys ([Key.FullID]), the one for new rows first.
func (r *Keyring) Keys() []string { return append([]string(nil), r.ids...) }

// Hash returns the HMAC-SHA256 of data under the key for hashes.
func (r *Keyring) Hash(data []byte) []byte { return mac(r.hash, data) }

func mac(key, data []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(data)
	return h.Sum(nil)
}

// A sealed value is a version, a nonce and the output of AES-256-GCM. Each place has keys of
// its own (HKDF-SHA256 of the key and the place), and the nonce is an HMAC of the plain
// value: the same value in the same place is sealed to the same bytes, which a repeated
// enqueue of a row whose arguments were dropped relies on, and no two values of a place have
// the same nonce, but with a probability of 2⁻⁹⁶. So neither a weak random source nor the
// number of rows under one key is a danger, as they are with random nonces.
const version = 1

var (
	errNotSealed = errors.New("the stored value was changed, or moved from another place")
	errNoKey     = errors.New("the keyring has no such key")
)

// Seal encrypts plain with a key, bound to a place.
func (r *Keyring) Seal(_ context.Context, key string, bound, plain []byte) ([]byte, error) {
	seal, nonceKey, err := r.derive(key, bound)
	if err != nil {
		return nil, err
	}
	nonce := mac(nonceKey, plain)[:seal.NonceSize()]
	out := make([]byte, 0, 1+len(nonce)+len(plain)+seal.Overhead())
	out = append(append(out, version), nonce...)
	return seal.Seal(out, nonce, plain, bound), nil
}

// Open decrypts what Seal returned for the same key and place. Anything else fails for good
// ([queue.Discard]).
func (r *Keyring) Open(_ context.Context, key string, bound, sealed []byte) ([]byte, error) {
	seal, _, err := r.derive(key, bound)
	if err != nil {
		return nil, err
	}
	if len(sealed) < 1+seal.NonceSize()+seal.Overhead() || sealed[0] != version {
		return nil, queue.Discard(errNotSealed)
	}
	nonce, data := sealed[1:1+seal.NonceSize()], sealed[1+seal.NonceSize():]
	plain, err := seal.Open(nil, nonce, data, bound)
	if err != nil {
		return nil, queue.Discard(errNotSealed)
	}
	return plain, nil
}

// derive returns the cipher of a place, and the key of its nonces.
func (r *Keyring) derive(key string, bound []byte) (cipher.AEAD, []byte, error) {
	secret, ok := r.secrets[key]
	if !ok {
		return nil, nil, errNoKey
	}
	keys, err := hkdf.Key(sha256.New, secret, nil, "claimcheck/aead/1\x00"+string(bound), 2*KeyBytes)
	if err != nil {
		return nil, nil, err
	}
	block, err := aes.NewCipher(keys[:KeyBytes])
	if err != nil {
		return nil, nil, err
	}
	seal, err := cipher.NewGCM(block)
	return seal, keys[KeyBytes:], err
}
