package httpapi

import (
	"encoding/binary"
	"errors"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

// numbered is one of many different signatures.
func numbered(n int) (sig signature) {
	binary.BigEndian.PutUint64(sig[:], uint64(n))
	return sig
}

// signedAt is a request without a body, signed for a timestamp.
func signedAt(stamp int64) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/tasks/run/", nil)
	r.Header.Set(TimestampHeader, strconv.FormatInt(stamp, 10))
	r.Header.Set(SignatureHeader, Sign("secret", stamp, http.MethodPost, "/tasks/run/", nil))
	return r
}

// A timestamp counts whole seconds, so that it is within the window for up to a
// second longer than 300: that long its signature must be remembered, however
// many others make room.
func TestSignatureIsRememberedAsLongAsItIsAccepted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(900 * time.Millisecond)
		auth := HMAC("secret", 1000).(*signed)
		stamp := time.Now().Unix()
		if err := auth.Authenticate(signedAt(stamp)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(signatureWindow)
		if err := auth.used.add(time.Now().Unix(), numbered(1), time.Now()); err != nil { // removes what expired
			t.Fatal(err)
		}
		if auth.Authenticate(signedAt(stamp)) == nil {
			t.Error("the same signature was accepted twice")
		}
	})
}

// However many signatures come, new ones are accepted, and none is accepted twice:
// what does not fit is forgotten from the oldest on, and refused from then on.
func TestReplayMemoryThatIsFullForgetsTheOldest(t *testing.T) {
	const limit, each = 1000, 100
	m := newReplays(limit)
	now := time.Unix(1_700_000_000, 0)
	accepted := make(map[[2]int64]bool)
	add := func(at int64, n int) error {
		err := m.add(at, numbered(n), now)
		if key := [2]int64{at, int64(n)}; err == nil && accepted[key] {
			t.Fatalf("%v was accepted twice", key)
		} else if err == nil {
			accepted[key] = true
		}
		return err
	}
	for second := range int64(60) { // six times what it holds
		at := now.Unix() - 60 + second
		for n := range each {
			if err := add(at, n); err != nil {
				t.Fatalf("second %d, signature %d: %v", second, n, err)
			}
		}
		if m.count > limit {
			t.Fatalf("%d are remembered", m.count)
		}
	}
	forgotten, replayed := 0, 0
	for key := range accepted {
		switch err := add(key[0], int(key[1])); {
		case errors.Is(err, errForgotten):
			forgotten++
		case errors.Is(err, errReplayed):
			replayed++
		default:
			t.Fatalf("a replay of %v: %v", key, err)
		}
	}
	if replayed != limit || forgotten != 60*each-limit {
		t.Errorf("%d were known and %d too old", replayed, forgotten)
	}
	for _, err := range []error{errForgotten, errReplayed} {
		if authStatus(err) != http.StatusUnauthorized {
			t.Errorf("%v is answered with %d", err, authStatus(err))
		}
	}
	// Setting the clock back makes no signature valid again.
	now = now.Add(10 * time.Minute)
	if err := m.add(now.Unix(), numbered(1), now); err != nil || m.count != 1 {
		t.Fatalf("%v, %d remembered", err, m.count)
	}
	now = now.Add(-10 * time.Minute)
	for key := range accepted {
		if m.add(key[0], numbered(int(key[1])), now) == nil {
			t.Fatal("a replay was accepted after the clock was set back")
		}
	}
}

func TestReplayMemoryWithinOneSecond(t *testing.T) {
	m := newReplays(10)
	now := time.Now()
	for n := range 10 {
		if err := m.add(now.Unix(), numbered(n), now); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.add(now.Unix(), numbered(10), now); !errors.Is(err, errForgotten) {
		t.Errorf("one too many: %v", err)
	}
	if err := m.add(now.Unix()+1, numbered(11), now); err != nil {
		t.Errorf("a newer one: %v", err)
	}
	if err := m.check(now.Unix(), numbered(3)); err == nil {
		t.Error("what was forgotten is accepted again")
	}
}

// What is documented: about 32 MB.
func TestReplayMemoryIsBounded(t *testing.T) {
	heap := func() uint64 {
		runtime.GC()
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		return stats.HeapAlloc
	}
	m := newReplays(maxRemembered)
	before, now := heap(), time.Now()
	for n := range maxRemembered + 10_000 {
		if err := m.add(now.Unix()+int64(n*300/maxRemembered), numbered(n), now); err != nil {
			t.Fatalf("signature %d: %v", n, err)
		}
	}
	grown := (heap() - before) >> 20
	if t.Logf("%d signatures take %d MiB", m.count, grown); grown > 36 || m.count < maxRemembered*9/10 {
		t.Errorf("%d signatures take %d MiB", m.count, grown)
	}
	runtime.KeepAlive(m)
}
