//go:build !(linux || darwin || freebsd || netbsd || openbsd)

package pgstore

import "net"

// isQuiet cannot peek at a socket on this system.
func isQuiet(net.Conn) (quiet, known bool) { return false, false }
