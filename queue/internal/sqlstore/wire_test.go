package sqlstore_test

import (
	"context"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// wire keeps the statements that a store sends to MySQL: each is a round trip,
// which is what a change costs where the database is far.
type wire struct {
	mu         sync.Mutex
	statements []string
	before     func(statement string) // nil, or called before each is sent
}

// recording opens a store whose statements are kept.
func recording(t *testing.T, databaseURL string) (store, *wire) {
	t.Helper()
	u, err := url.Parse(databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	w := new(wire)
	return migrated(t, databaseURL, config{DialFunc: func(ctx context.Context, _, _ string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", u.Host)
		return &wiredConn{conn, w}, err
	}}), w
}

type wiredConn struct {
	net.Conn
	wire *wire
}

func (c *wiredConn) Write(p []byte) (int, error) {
	const header, query = 4, 3 // the number of the command that carries a statement
	if len(p) > header && p[header] == query {
		c.wire.note(string(p[header+1:]))
	}
	return c.Conn.Write(p)
}

func (w *wire) note(statement string) {
	w.mu.Lock()
	w.statements = append(w.statements, statement)
	before := w.before
	w.mu.Unlock()
	if before != nil {
		before(statement)
	}
}

// during returns the statements that do sends.
func (w *wire) during(do func()) []string {
	w.mu.Lock()
	w.statements = nil
	w.mu.Unlock()
	do()
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.statements
}

// atMost checks how many round trips there were.
func atMost(t *testing.T, statements []string, most int) {
	t.Helper()
	t.Logf("%d statements", len(statements))
	if len(statements) <= most {
		return
	}
	var heads []string
	for _, s := range statements[:min(len(statements), 20)] {
		heads = append(heads, strings.Join(strings.Fields(s[:min(len(s), 300)]), " "))
	}
	t.Errorf("%d statements, of which %d would do; the first:\n%.3000s", len(statements), most, strings.Join(heads, "\n"))
}
