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

// Limits of connections. What a client may take to send a header or a body is
// limited too, see newHTTPServer and httpapi.LimitBodyTime.
const (
	idleTime   = 55 * time.Second // between two requests
	writeTime  = 30 * time.Second // in which a client must take writeChunk of an answer
	writeChunk = 16 << 10
	headerTime = 10 * time.Second
	maxHeaders = 16 << 10 // bytes

	// maxPeers is how many connections are open at once; Cloud Run sends an instance
	// 1,000 requests at the most. Further ones wait in the listener's backlog, where
	// they take none of the process's memory.
	maxPeers = 1000
)

// newHTTPServer makes a server that holds no connection for a client that sends
// nothing. One that takes nothing is the listener's concern, since a handler may
// run for half an hour before it writes: see limitWrites.
func newHTTPServer(handler http.Handler) *http.Server {
	return &http.Server{Handler: handler, ReadHeaderTimeout: headerTime, IdleTimeout: idleTime, MaxHeaderBytes: maxHeaders}
}

// limitPeers returns a listener with the limits above.
func limitPeers(listener net.Listener) net.Listener {
	return limitWrites(netutil.LimitListener(listener, maxPeers), writeTime)
}

// limitWrites returns a listener whose connections end once their peer has taken
// nothing of an answer for limit: one that sends requests and reads no answers
// would hold them, and what is queued in them, for ever.
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

// limitedConn gives each chunk of what is written its own time, so that a long
// answer over a slow line has as much as it needs.
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
				_ = tcp.SetLinger(0) // what the peer did not take need not stay in the kernel
			}
			return written, err
		}
		if written == len(p) {
			return written, nil
		}
	}
}

// CloseWrite lets net/http end a connection whose request it did not read whole.
func (c *limitedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return io.ErrClosedPipe
}

// clientAddress returns how the address of a client is found. On Cloud Run and
// App Engine that is what the platform says; everything before it in
// X-Forwarded-For the client can write.
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

// parseAddress returns the zero Addr for what is none.
func parseAddress(text string) netip.Addr {
	address, _ := netip.ParseAddr(strings.TrimSpace(text))
	return address
}
