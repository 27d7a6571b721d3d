package server

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

	"code.dny.dev/ssrf"
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

// special knows every block of the IANA special-purpose address registries, and
// of IPv6 admits global unicast (2000::/3) only: what embeds an IPv4 address
// (::127.0.0.1, ::ffff:0:127.0.0.1, 64:ff9b::/96, 2002::/16) is outside of it or
// denied. Ports and networks are not its concern here.
var special = ssrf.New(ssrf.WithAnyPort(), ssrf.WithAnyNetwork())

// public reports whether an address is one that anybody on the internet has.
// The metadata server's, 169.254.169.254 and fd00:ec2::254, are link-local and
// private. An IPv4-mapped address is dialled as the IPv4 address that it is.
func public(ip netip.Addr) bool { return special.SafeAddr(ip.Unmap().WithZone("")) == nil }
