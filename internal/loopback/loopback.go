// Package loopback recognizes the names and addresses of this machine.
package loopback

import (
	"net/netip"
	"strings"
)

// Host reports whether a host name or IP address, without a port, is a loopback
// one. Nothing is resolved: of names only localhost and those below it are, as
// RFC 6761 reserves them.
func Host(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// Address reports whether an IP address with a port is a loopback one.
func Address(address string) bool {
	ip, err := netip.ParseAddrPort(address)
	return err == nil && ip.Addr().Unmap().IsLoopback()
}
