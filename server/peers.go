package server

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"time"

	"golang.org/x/net/netutil"

	"github.com/claimcheck-go/claimcheck/detect"
)

// Limits of connections. newHTTPServer limits the time of a header, and
// api.LimitBodyTime that of a body.
const (
	idleTime   = 55 * time.Second // between two requests
	writeTime  = 30 * time.Second // in which a client must receive writeChunk of a response
	writeChunk = 16 << 10
	headerTime = 10 * time.Second
	maxHeaders = 16 << 10 // bytes

	// maxPeers is the most connections that are open at once; Cloud Run sends an
	// instance at most 1,000 requests. Further ones wait in the listener's backlog,
	// where they use no memory of the process.
	maxPeers = 1000
)

// newHTTPServer returns a server that closes connections whose client sends nothing.
// Those whose client receives nothing are closed by the listener (limitWrites),
// because a handler may run for half an hour before it writes.
func newHTTPServer(handler http.Handler) *http.Server {
	return &http.Server{Handler: handler, ReadHeaderTimeout: headerTime, IdleTimeout: idleTime, MaxHeaderBytes: maxHeaders}
}

// limitPeers returns a listener with the limits above.
func limitPeers(listener net.Listener) net.Listener {
	return limitWrites(netutil.LimitListener(listener, maxPeers), writeTime)
}

// limitWrites returns a listener whose connections end once their peer has received
// nothing of a response for limit: a client that sends requests and reads no responses
// would otherwise hold them, and their buffers, forever.
func limitWrites(listener net.Listener, limit time.Duration) net.Listener {
	return &limitedListener{Listener: listener, limit: limit}
}

type limitedListener struct {
	net.Listener
	limit time.Duration
}

func (l *limitedListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &limitedConn{Conn: conn, limit: l.limit}, nil
}

// limitedConn gives each chunk of a response a deadline of its own, so that a long
// response over a slow line has as much time as it needs.
type limitedConn struct {
	net.Conn
	limit time.Duration
}

func (c *limitedConn) Write(p []byte) (written int, err error) {
	for {
		if err := c.SetWriteDeadline(time.Now().Add(c.limit)); err != nil {
			return written, err
		}
		n, err := c.Conn.Write(p[written:min(written+writeChunk, len(p))])
		written += n
		if err != nil {
			if tcp, ok := c.Conn.(*net.TCPConn); ok && errors.Is(err, os.ErrDeadlineExceeded) {
				_ = tcp.SetLinger(0) // the kernel need not keep what the peer did not receive
			}
			return written, err
		}
		if written == len(p) {
			return written, nil
		}
	}
}

// CloseWrite lets net/http end a connection whose request it did not read to its end.
func (c *limitedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return io.ErrClosedPipe
}

// clientAddress returns a function that finds the address of a client. On Cloud Run
// and App Engine it is the one that the platform adds to X-Forwarded-For; the client
// can write everything before that.
func (p *program) clientAddress() func(*http.Request) netip.Addr {
	switch p.config.Detector().Platform() {
	case detect.CloudRunService:
		return func(r *http.Request) netip.Addr {
			hops := strings.Join(r.Header.Values("X-Forwarded-For"), ",")
			return parseAddress(hops[strings.LastIndexByte(hops, ',')+1:])
		}
	case detect.AppEngine:
		return func(r *http.Request) netip.Addr { return parseAddress(r.Header.Get("X-Appengine-User-Ip")) }
	default:
		return func(r *http.Request) netip.Addr {
			host, _, _ := net.SplitHostPort(r.RemoteAddr)
			return parseAddress(host)
		}
	}
}

// parseAddress returns the zero Addr if text is not an address.
func parseAddress(text string) netip.Addr {
	address, _ := netip.ParseAddr(strings.TrimSpace(text))
	return address
}
