package holdport

import (
	"errors"
	"net"
	"syscall"
	"testing"
)

// A held port refuses connections until one server listens, and again after it.
func TestHeldPortIsForOneServerOnly(t *testing.T) {
	held := ForTest(t)
	refuses := func() {
		t.Helper()
		if conn, err := net.Dial("tcp", held.Addr()); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatalf("%v, %v; want connection refused", conn, err)
		}
	}
	refuses()
	for range 3 {
		listener, err := net.Listen("tcp", held.Addr())
		if err != nil {
			t.Fatal(err)
		}
		conn, err := net.Dial("tcp", held.Addr())
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.Close()
		if second, err := net.Listen("tcp", held.Addr()); err == nil {
			t.Fatalf("two listeners on %s", second.Addr())
		}
		_ = listener.Close()
		refuses()
	}
	everywhere, err := net.Listen("tcp", net.JoinHostPort("", portOf(t, held.Addr())))
	if err != nil {
		t.Fatal(err)
	}
	_ = everywhere.Close()
}

func TestHeldPortsAreNotAssignedAgain(t *testing.T) {
	held := map[string]bool{}
	for range 200 {
		held[ForTest(t).Addr()] = true
	}
	if len(held) != 200 {
		t.Fatalf("%d different ports", len(held))
	}
	for range 3000 {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if held[listener.Addr().String()] {
			t.Fatalf("%s was held", listener.Addr())
		}
		_ = listener.Close()
	}
}

func portOf(t *testing.T, address string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	return port
}
