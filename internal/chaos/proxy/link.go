package proxy

import (
	"bufio"
	"net"
	"sync/atomic"
)

// link is one connection through the proxy.
type link struct {
	proxy          *Proxy
	client, server net.Conn
	blackholed     atomic.Bool // nothing passes any more

	// MySQL: the client's last command is the COMMIT of a transaction that
	// has changed something.
	wrote      bool // used by up only
	committing atomic.Bool
}

// reset resets the connection on both sides. A second call does nothing.
func (l *link) reset() {
	l.proxy.forget(l)
	for _, conn := range []net.Conn{l.client, l.server} {
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // close sends a reset
		}
		_ = conn.Close()
	}
}

// up forwards what the client sends, until the connection breaks.
func (l *link) up() {
	if l.proxy.protocol == MySQL {
		l.upMySQL()
		return
	}
	buffer := make([]byte, 32<<10)
	for {
		n, err := l.client.Read(buffer)
		if !l.blackholed.Load() && n > 0 {
			if _, err := l.server.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// down forwards what the server sends, message by message, until the connection breaks
// or is cut.
func (l *link) down() {
	in, out := bufio.NewReaderSize(l.server, 32<<10), bufio.NewWriterSize(l.client, 32<<10)
	pass := l.passPostgres
	if l.proxy.protocol == MySQL {
		pass = l.passMySQL
	}
	for pass(in, out) == nil {
		if l.blackholed.Load() {
			out.Reset(l.client) // drop what is buffered
		}
		if in.Buffered() == 0 && out.Flush() != nil {
			return
		}
	}
}
