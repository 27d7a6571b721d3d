package probe

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"sync/atomic"
)

// Statements is a proxy in front of a PostgreSQL that counts the statements of its
// clients as they send them.
type Statements struct {
	listener net.Listener
	server   string
	count    atomic.Int64
}

// CountStatements starts a proxy in front of the server of a URL, and returns the
// URL that leads through it. Close ends it.
func CountStatements(target string) (s *Statements, through string, err error) {
	u, err := url.Parse(target)
	if err != nil {
		return nil, "", err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, "", err
	}
	s = &Statements{listener: listener, server: u.Host}
	u.Host = listener.Addr().String()
	query := u.Query()
	query.Set("sslmode", "disable") // what is encrypted cannot be counted
	u.RawQuery = query.Encode()
	go s.serve()
	return s, u.String(), nil
}

// Count is how many statements were sent so far.
func (s *Statements) Count() int64 { return s.count.Load() }

// Close ends the proxy's listening; its connections end with their clients.
func (s *Statements) Close() error { return s.listener.Close() }

func (s *Statements) serve() {
	for {
		client, err := s.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", s.server)
		if err != nil {
			_ = client.Close()
			continue
		}
		go func() {
			_, _ = io.Copy(client, server)
			_ = client.Close()
		}()
		go func() {
			_ = s.forward(server, client)
			_ = server.Close()
		}()
	}
}

// forward passes messages on and counts the simple queries and the executions.
func (s *Statements) forward(server io.Writer, client io.Reader) error {
	header := make([]byte, 5)
	for first := true; ; first = false {
		start := header
		if first { // the first message has no type
			start = header[1:]
		}
		if _, err := io.ReadFull(client, start); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		size := int64(binary.BigEndian.Uint32(header[1:])) - 4
		if size < 0 {
			return fmt.Errorf("a message of %d bytes", size)
		}
		if !first && (header[0] == 'Q' || header[0] == 'E') {
			s.count.Add(1)
		}
		if _, err := server.Write(start); err != nil {
			return err
		}
		if _, err := io.CopyN(server, client, size); err != nil {
			return err
		}
	}
}
