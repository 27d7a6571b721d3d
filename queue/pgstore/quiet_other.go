//go:build !(linux || darwin || freebsd || netbsd || openbsd)

package pgstore

import "net"

// isQuiet does not know on this system how to look at a socket without reading.
func isQuiet(net.Conn) (quiet, known bool) { return false, false }
