//go:build linux || darwin || freebsd || netbsd || openbsd

package pgstore_test

import (
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/claimcheck-go/claimcheck/queue/pgstore"
)

// The driver starts a background reader when a write is slow, and it goes on reading
// when the connection is idle again. A look at the socket that waits for it waits
// until the server sends something, which is for ever.
func TestALookAtAnIdleConnectionDoesNotWaitForItsReader(t *testing.T) {
	client, server := tcpPair(t)
	raw, err := client.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	reading, stop, stopped := make(chan struct{}), make(chan struct{}), make(chan error)
	go func() {
		stopped <- raw.Read(func(uintptr) bool {
			close(reading)
			<-stop
			return true
		})
	}()
	<-reading
	looked := make(chan bool, 1)
	go func() {
		quiet, known := pgstore.IsQuiet(client)
		looked <- quiet && known
	}()
	select {
	case quiet := <-looked:
		if !quiet {
			t.Error("an idle connection is not quiet")
		}
	case <-time.After(10 * time.Second):
		t.Error("it waits for the reader")
	}
	close(stop)
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	if n, err := client.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Fatal("the connection has not ended")
	}
	if quiet, known := pgstore.IsQuiet(client); !known || quiet {
		t.Error("a connection that the server has closed is quiet")
	}
}

// tcpPair returns both ends of a TCP connection.
func tcpPair(t *testing.T) (client, server net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	accepted := make(chan net.Conn, 1)
	go func() {
		conn, _ := listener.Accept()
		accepted <- conn
	}()
	client, err = net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if server = <-accepted; server == nil {
		t.Fatal("nothing was accepted")
	}
	t.Cleanup(func() {
		_ = client.Close()
		_ = server.Close()
		_ = listener.Close()
	})
	return client, server
}
