package oidc

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestRememberingEndsWithTheToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVerifier(t, newEndpoint())
		token := sign(t, good(time.Now()))
		for _, step := range []struct {
			wait time.Duration
			want error
		}{{0, nil}, {59 * time.Minute, nil}, {time.Minute - time.Second, nil}, {time.Second, ErrUnauthenticated}, {time.Hour, ErrUnauthenticated}} {
			time.Sleep(step.wait)
			if _, err := v.Verify(context.Background(), token); !errors.Is(err, step.want) {
				t.Errorf("after %v more: error %v, want %v", step.wait, err, step.want)
			}
		}
	})
}

func TestRememberedTokenNeedsNoKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint()
		v := newVerifier(t, e)
		token := sign(t, good(time.Now()))
		for range 3 {
			if _, err := v.Verify(context.Background(), token); err != nil {
				t.Fatal(err)
			}
			v.keys = nil
		}
	})
}

func TestRefusedTokensAreNotRemembered(t *testing.T) {
	v := newVerifier(t, newEndpoint())
	token := sign(t, but(good(time.Now()), "email", "evil@evil.example"))
	for range 2 {
		if _, err := v.Verify(context.Background(), token); !errors.Is(err, ErrForbidden) {
			t.Errorf("error %v", err)
		}
	}
	if n := len(v.verified.young); n != 0 {
		t.Errorf("%d remembered", n)
	}
}

func TestMemoryIsBoundedAndKeepsWhatIsUsed(t *testing.T) {
	m, now := newMemory(), time.Now()
	hash := func(i int) (h [sha256.Size]byte) { binary.BigEndian.PutUint64(h[:], uint64(i)); return }
	for i := range 10 * generation {
		m.put(hash(i), Identity{Subject: "x", Expires: now.Add(time.Hour)})
		if _, ok := m.get(hash(0), now); !ok {
			t.Fatalf("the token in use was forgotten after %d others", i)
		}
	}
	if n := len(m.young) + len(m.old); n > 2*generation {
		t.Errorf("%d remembered", n)
	}
	if _, ok := m.get(hash(1), now); ok {
		t.Error("an old token is still remembered")
	}
}

func BenchmarkVerify(b *testing.B) {
	ctx, token := context.Background(), sign(b, good(time.Now()))
	b.Run("remembered", func(b *testing.B) {
		v := newVerifier(b, newEndpoint())
		b.ReportAllocs()
		for b.Loop() {
			if _, err := v.Verify(ctx, token); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("fresh", func(b *testing.B) {
		v := newVerifier(b, newEndpoint())
		b.ReportAllocs()
		for b.Loop() {
			v.verified = newMemory()
			if _, err := v.Verify(ctx, token); err != nil {
				b.Fatal(err)
			}
		}
	})
}
