package webhook

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"code.dny.dev/ssrf"
)

// Addresses are checked when they are dialed, after the name was resolved, so that
// a name that resolves differently each time does not help.

// blockedAddressError is a refusal to connect.
type blockedAddressError struct {
	host    string
	address netip.Addr
}

func (e *blockedAddressError) Error() string {
	return fmt.Sprintf("%s is %s, which is not a public address; add the host to the allowed hosts of webhooks to reach it", e.host, e.address)
}

// guardedTransport returns a transport that connects to public addresses only,
// except under the host names allowed. It uses no proxy, which would dial for it.
func guardedTransport(allowed []string) *http.Transport {
	lower := make([]string, len(allowed))
	for i, host := range allowed {
		lower[i] = strings.ToLower(host)
	}
	return &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			host, _, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			dialer := net.Dialer{Timeout: 10 * time.Second}
			if !slices.Contains(lower, strings.ToLower(host)) && !slices.Contains(lower, strings.ToLower(address)) {
				dialer.Control = func(_, resolved string, _ syscall.RawConn) error {
					ip, err := netip.ParseAddrPort(resolved)
					if err != nil {
						return err
					}
					if !public(ip.Addr()) {
						return &blockedAddressError{host: host, address: ip.Addr()}
					}
					return nil
				}
			}
			return dialer.DialContext(ctx, network, address)
		},
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: 30 * time.Second,
		IdleConnTimeout:       90 * time.Second,
		MaxIdleConnsPerHost:   4,
		ForceAttemptHTTP2:     true,
		// At most this much of headers is read, beside maxAnswer of the body.
		MaxResponseHeaderBytes: 64 << 10,
	}
}

// special refuses every block of the IANA special-purpose address registries, and
// admits of IPv6 global unicast (2000::/3) only: what embeds an IPv4 address
// (::127.0.0.1, ::ffff:0:127.0.0.1, 64:ff9b::/96, 2002::/16) is outside of it or
// denied. Any port and network is accepted.
var special = ssrf.New(ssrf.WithAnyPort(), ssrf.WithAnyNetwork())

// public reports whether an address belongs to the public internet.
// The metadata server's, 169.254.169.254 and fd00:ec2::254, are link-local and
// private. An IPv4-mapped address is dialled as the IPv4 address that it is.
func public(ip netip.Addr) bool { return special.SafeAddr(ip.Unmap().WithZone("")) == nil }

var hostName = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_.-]*)$`)

// checkHosts refuses what is no host, because it would silently allow none.
func checkHosts(list []string) error {
	for _, item := range list {
		host, port, err := net.SplitHostPort(item)
		if err != nil {
			host, port = item, "80"
		}
		n, err := strconv.ParseUint(port, 10, 16)
		if _, notAddress := netip.ParseAddr(host); err != nil || n == 0 || notAddress != nil && !hostName.MatchString(host) {
			return &ConfigError{Field: "AllowHosts", Text: fmt.Sprintf("%.100q is no host: it takes host names or addresses, each with or without a port, such as hooks.internal, 10.0.0.7:8080 or ::1", item)}
		}
	}
	return nil
}
