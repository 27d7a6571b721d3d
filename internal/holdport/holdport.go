// Package holdport reserves a TCP port of loopback for a server that cannot choose
// one by itself and report it.
//
// Choosing a port by closing a listener is a race: between the close and the
// server's start, and whenever the server restarts, another process may take the
// number. A held port stays bound, without listening: the kernel assigns it neither
// to a listener on port 0 nor to an outgoing connection, and refuses connections to
// it until the server listens. Servers that set SO_REUSEADDR (PostgreSQL, MariaDB,
// PgBouncer, Redis and package net do) can bind it at the same time.
package holdport

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"syscall"
	"testing"
)

// Port is a reserved port of 127.0.0.1.
type Port struct {
	Number int
	fd     int
}

// Hold reserves a port that is free now, until Release.
func Hold() (*Port, error) {
	fd, err := bind()
	if err != nil {
		return nil, fmt.Errorf("reserve a port of 127.0.0.1: %w", os.NewSyscallError("bind", err))
	}
	bound, err := syscall.Getsockname(fd)
	if err != nil {
		_ = syscall.Close(fd)
		return nil, fmt.Errorf("reserve a port of 127.0.0.1: %w", os.NewSyscallError("getsockname", err))
	}
	p := &Port{Number: bound.(*syscall.SockaddrInet4).Port, fd: fd}
	p.share()
	return p, nil
}

// ForTest reserves a port until the test ends.
func ForTest(tb testing.TB) *Port {
	tb.Helper()
	p, err := Hold()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(p.Release)
	return p
}

// Addr returns the address as host:port.
func (p *Port) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(p.Number)) }

// Release ends the reservation. A server that listens on the port keeps it.
func (p *Port) Release() {
	if p.fd >= 0 {
		_ = syscall.Close(p.fd)
		p.fd = -1
	}
}

// bind binds a socket to a free port, without listening.
func bind() (int, error) {
	// The lock keeps a fork from inheriting the socket before it is marked.
	syscall.ForkLock.RLock()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return -1, err
	}
	if err = syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err == nil {
		err = syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
	}
	if err != nil {
		_ = syscall.Close(fd)
		return -1, err
	}
	return fd, nil
}
