package aead_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/aead"
)

func keyring(t testing.TB, keys ...aead.Key) *aead.Keyring {
	t.Helper()
	r, err := aead.New(bytes.Repeat([]byte{7}, aead.KeyBytes), keys...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestSealedValuesOpenInTheirPlaceOnly(t *testing.T) {
	a, b := aead.NewKey("a"), aead.NewKey("b")
	r, plain := keyring(t, a, b), []byte(`{"card":"4711"}`)
	sealed, err := r.Seal(t.Context(), b.ID, []byte("place"), plain)
	if err != nil || bytes.Contains(sealed, []byte("4711")) {
		t.Fatalf("%q %v", sealed, err)
	}
	if opened, err := r.Open(t.Context(), b.ID, []byte("place"), sealed); err != nil || !bytes.Equal(opened, plain) {
		t.Errorf("%q %v", opened, err)
	}
	changed := bytes.Clone(sealed)
	changed[len(changed)-1]++
	for name, c := range map[string]struct {
		key, place string
		sealed     []byte
	}{
		"another key": {a.ID, "place", sealed}, "another place": {b.ID, "other", sealed}, "changed": {b.ID, "place", changed}, "cut": {b.ID, "place", sealed[:20]},
		"empty": {b.ID, "place", nil}, "another version": {b.ID, "place", append([]byte{2}, sealed[1:]...)},
	} {
		if opened, err := r.Open(t.Context(), c.key, []byte(c.place), c.sealed); err == nil || opened != nil {
			t.Errorf("%s: %q %v", name, opened, err)
		}
	}
	if _, err := r.Open(t.Context(), "c", []byte("place"), sealed); err == nil {
		t.Error("an unknown key opens")
	}
	if _, err := r.Seal(t.Context(), "c", nil, plain); err == nil {
		t.Error("an unknown key seals")
	}
}

func TestTheSameValueHasTheSameFormInOnePlaceOnly(t *testing.T) {
	r := keyring(t, aead.NewKey("a"))
	seal := func(place, plain string) string {
		sealed, err := r.Seal(t.Context(), r.Keys()[0], []byte(place), []byte(plain))
		if err != nil {
			t.Fatal(err)
		}
		return string(sealed)
	}
	if first, again := seal("p", "x"), seal("p", "x"); first != again {
		t.Error("it differs")
	}
	nonce := func(s string) string { return s[1:13] }
	if nonce(seal("p", "x")) == nonce(seal("q", "x")) || nonce(seal("p", "x")) == nonce(seal("p", "y")) {
		t.Error("a nonce is repeated")
	}
}

func TestParse(t *testing.T) {
	hash, a, b := aead.NewKey(aead.HashKey), aead.NewKey("2026-11"), aead.NewKey("2026-05")
	r, err := aead.Parse("\n" + a.String() + ",\n" + hash.String() + " " + strings.TrimRight(b.String(), "=") + "\n")
	if err != nil || strings.Join(r.Keys(), " ") != a.ID+" "+b.ID || aead.ShortID(a.ID) != "2026-11" {
		t.Fatalf("%v %v", r, err)
	}
	if again := keyring(t, a); bytes.Equal(again.Hash([]byte("x")), r.Hash([]byte("x"))) || !bytes.Equal(r.Hash([]byte("x")), r.Hash([]byte("x"))) {
		t.Error("the hash does not depend on its key only")
	}
	secret := a.String()[len(a.ID)+1:]
	for text, want := range map[string]string{
		"":                                  `the key "hash" is missing`,
		a.String():                          `the key "hash" is missing`,
		hash.String():                       `at least one key besides "hash" is required`,
		hash.String() + "," + hash.String(): `key "hash" is given twice`,
		hash.String() + " " + a.String() + " " + a.String():          `key "` + a.ID + `" has the secret of key "` + a.ID + `"`,
		hash.String() + " " + a.String() + " again:" + secret:        `key "again" has the secret of key "` + a.ID + `"`,
		"hash:" + secret + " " + a.String():                          `key "` + a.ID + `" has the secret of key "hash"`,
		secret + " " + hash.String():                                 "key 1 has no ID",
		"a:" + secret[:20] + hash.String():                           `key "a" must be ID:BASE64, with 32 bytes in base64`,
		secret + ":2026-11 " + hash.String():                         `key 1 must be ID:BASE64, with 32 bytes in base64`,
		"a b:" + secret + " " + hash.String():                        "key 1 has no ID",
		"ü:" + secret + " " + hash.String():                          "key 1 has no valid ID",
		strings.Repeat("a", 56) + ":" + secret + " " + hash.String(): "has no valid ID: use 1 to 55 letters",
	} {
		_, err := aead.Parse(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
		if err != nil && strings.Contains(err.Error(), secret[:16]) {
			t.Errorf("the error has a secret: %v", err)
		}
	}
}

// A secret that is given as an ID is in no error, also if all of its characters are
// those of an ID.
func TestErrorsHaveNoSecretThatIsGivenAsAnID(t *testing.T) {
	swapped, id, other := strings.Repeat("zlE9", 11), aead.NewKey("a"), aead.NewKey("b")
	for name, keys := range map[string][]aead.Key{
		"short": {{ID: swapped, Secret: []byte("2026")}}, "invalid": {{ID: swapped + "=", Secret: id.Secret}}, "twice": {{ID: swapped, Secret: other.Secret}, {ID: swapped, Secret: other.Secret}},
	} {
		if _, err := aead.New(id.Secret, keys...); err == nil || strings.Contains(err.Error(), swapped[:16]) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := aead.Parse(swapped + ":2026-11"); err == nil || strings.Contains(err.Error(), swapped[:16]) {
		t.Errorf("%v", err)
	}
}

// Editors of Windows put a byte order mark before the text.
func TestParseSkipsAByteOrderMark(t *testing.T) {
	r, err := aead.Parse("\ufeff" + aead.NewKey(aead.HashKey).String() + "\r\n" + aead.NewKey("a").String() + "\r\n")
	if err != nil || len(r.Keys()) != 1 || aead.ShortID(r.Keys()[0]) != "a" {
		t.Errorf("%v %v", r, err)
	}
}

// Two secrets with one ID are two keys, and so is a key whose ID has the end of another's.
func TestAnotherSecretIsAnotherKey(t *testing.T) {
	a, b := aead.NewKey("2026-11"), aead.NewKey("2026-11")
	r := keyring(t, a, b)
	if keys := r.Keys(); len(keys) != 2 || keys[0] == keys[1] || aead.ShortID(keys[0]) != aead.ShortID(keys[1]) {
		t.Errorf("%q", keys)
	}
	sealed, err := r.Seal(t.Context(), b.ID, nil, []byte("4711"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := keyring(t, a).Open(t.Context(), b.ID, nil, sealed); err == nil {
		t.Error("another secret of the ID opens it")
	}
	for id, want := range map[string]string{"2026-11": b.ID, b.ID: b.ID, a.ID: a.ID + b.ID[len("2026-11"):]} {
		if got := (aead.Key{ID: id, Secret: b.Secret}).FullID(); got != want {
			t.Errorf("%s with b's secret is %s, want %s", id, got, want)
		}
	}
	for id, want := range map[string]string{b.ID: "2026-11", "2026-11": "2026-11", "v1.20261129": "v1", ".12345678": ".12345678", "k.1234567g": "k.1234567g"} {
		if got := aead.ShortID(id); got != want {
			t.Errorf("%s is %s, want %s", id, got, want)
		}
	}
	// Of an ID without the end, the secret is not known.
	for id, want := range map[string]string{b.ID: a.ID, a.ID: "", "2026-11": "", "2026-12.00000000": ""} {
		if got := aead.SameShortID([]string{a.ID}, id); got != want {
			t.Errorf("with the ID of %s: %q, want %q", id, got, want)
		}
	}
}

// A value that cannot be opened makes a task fail for good.
func TestOpenFailsForGood(t *testing.T) {
	r := keyring(t, aead.NewKey("a"))
	_, err := r.Open(t.Context(), r.Keys()[0], nil, []byte("not sealed at all, not at all"))
	row := &queue.Row{Attempts: 1, MaxAttempts: 10}
	if err == nil || row.StatusAfter(err) != queue.StatusFailed {
		t.Errorf("%v", err)
	}
	if _, err = r.Open(t.Context(), "b", nil, nil); row.StatusAfter(err) != queue.StatusReady || errors.Is(err, queue.ErrInvalid) {
		t.Errorf("%v", err)
	}
}

// BenchmarkKeyring seals and opens arguments of 100 bytes and of 10 KiB:
//
//	go test -run '^$' -bench Keyring -benchmem ./queue/aead
func BenchmarkKeyring(b *testing.B) {
	r, place := keyring(b, aead.NewKey("a")), []byte("claimcheck/1\x00args\x00emails.send\x00row\x000197e6c8-0000-7000-8000-000000000000")
	key := r.Keys()[0]
	for name, size := range map[string]int{"100B": 100, "10KiB": 10 << 10} {
		plain := bytes.Repeat([]byte("x"), size)
		sealed, err := r.Seal(b.Context(), key, place, plain)
		if err != nil {
			b.Fatal(err)
		}
		b.Run("seal/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := r.Seal(b.Context(), key, place, plain); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("open/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := r.Open(b.Context(), key, place, sealed); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
