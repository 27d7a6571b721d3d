//go:build linux || darwin || freebsd || netbsd || openbsd

package pgstore

import (
	"crypto/tls"
	"errors"
	"net"
	"syscall"
)

// isQuiet reports whether the socket of an idle connection has nothing to read,
// without waiting and without reading: a server that closed it, or has announced that
// it will, has sent something. known is false where the socket is not accessible, as
// with a custom dialer. The driver's CheckConn waits for a millisecond instead, in
// which a busy machine may not read at all.
func isQuiet(conn net.Conn) (quiet, known bool) {
	if encrypted, ok := conn.(*tls.Conn); ok {
		conn = encrypted.NetConn()
	}
	socket, ok := conn.(syscall.Conn)
	if !ok {
		return false, false
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return false, true
	}
	// Not raw.Read: it waits for any other read to end, and the driver's background
	// reader, which a slow write starts, goes on reading an idle connection.
	var peeked error
	err = raw.Control(func(fd uintptr) {
		var first [1]byte
		_, _, peeked = syscall.Recvfrom(int(fd), first[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT) //nolint:gosec // a file descriptor is an int
	})
	return err == nil && (errors.Is(peeked, syscall.EAGAIN) || errors.Is(peeked, syscall.EWOULDBLOCK)), true
}
