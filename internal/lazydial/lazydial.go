// Package lazydial makes a connector of Google's databases on the first dial, since
// making one costs an RSA key. internal/cloudsql and internal/alloydb configure it.
package lazydial

import (
	"context"
	"fmt"
	"net"
	"sync"
)

// Open makes a connector: dial connects to one instance through it.
type Open func(ctx context.Context) (dial func(context.Context) (net.Conn, error), closer func() error, err error)

// Connector dials one instance. It is safe for concurrent use.
type Connector struct {
	name string // for errors
	open Open

	mu     sync.Mutex
	dial   func(context.Context) (net.Conn, error) // nil until the first Dial
	closer func() error
	closed bool
}

// New returns a [Connector] that calls open with the first Dial. The name is what it
// connects to, for errors.
func New(name string, open Open) *Connector { return &Connector{name: name, open: open} }

// Dial connects to the instance, encrypted and authenticated; network and address
// are ignored. It has the signature of a driver's dial function.
func (c *Connector) Dial(ctx context.Context, _, _ string) (net.Conn, error) {
	dial, err := c.connect(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.name, err)
	}
	conn, err := dial(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.name, err)
	}
	return conn, nil
}

// connect makes the connector; a failure is not kept, so that the next call makes it
// again.
func (c *Connector) connect(ctx context.Context) (func(context.Context) (net.Conn, error), error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, net.ErrClosed
	}
	if c.dial == nil {
		dial, closer, err := c.open(context.WithoutCancel(ctx))
		if err != nil {
			return nil, err
		}
		c.dial, c.closer = dial, closer
	}
	return c.dial, nil
}

// Close closes the connector; connections stay open. A later Dial is refused with
// [net.ErrClosed].
func (c *Connector) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if c.closer == nil {
		return nil
	}
	return c.closer()
}
