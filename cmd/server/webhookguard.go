package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Whoever may enqueue webhook.deliver chooses the address that this server
// connects to. What is inside the network must not be reachable that way, so
// addresses are judged when they are dialled, after the name was resolved.

// blockedAddressError is a refusal to connect.
type blockedAddressError struct {
	host    string
	address netip.Addr
}

func (e *blockedAddressError) Error() string {
	return fmt.Sprintf("%s is %s, which is not a public address; WEBHOOK_ALLOW_HOSTS can allow the host", e.host, e.address)
}

// guardedTransport returns a transport that connects to public addresses only,
// except under the host names allowed. It uses no proxy, which would dial for it.
func guardedTransport(allowed []string) *http.Transport {
	for i, host := range allowed {
		allowed[i] = strings.ToLower(host)
	}
	return &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			host, _, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			dialer := net.Dialer{Timeout: 10 * time.Second}
			if !slices.Contains(allowed, strings.ToLower(host)) && !slices.Contains(allowed, strings.ToLower(address)) {
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
		// At most this much of headers is read, beside maxWebhookAnswer of the body.
		MaxResponseHeaderBytes: 64 << 10,
	}
}

// notPublic are the blocks that netip's own methods do not know: shared address
// space, documentation, benchmarks, reserved, and the IPv6 blocks that embed
// IPv4 addresses (RFC 6890, RFC 6052, RFC 3056).
var notPublic = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"),
	netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"),
	netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("64:ff9b::/96"),
	netip.MustParsePrefix("64:ff9b:1::/48"),
	netip.MustParsePrefix("2002::/16"),
	netip.MustParsePrefix("2001::/23"),
	netip.MustParsePrefix("2001:db8::/32"),
	netip.MustParsePrefix("fec0::/10"),
}

// public reports whether an address is one that anybody on the internet has.
// The metadata server's, 169.254.169.254 and fd00:ec2::254, are link-local and
// private.
func public(ip netip.Addr) bool {
	ip = ip.Unmap()
	if !ip.IsGlobalUnicast() || ip.IsPrivate() || ip.IsLinkLocalUnicast() || ip.IsLoopback() {
		return false
	}
	return !slices.ContainsFunc(notPublic, func(block netip.Prefix) bool { return block.Contains(ip) })
}
