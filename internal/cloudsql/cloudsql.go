// Package cloudsql connects to Cloud SQL instances by name, without their IP
// address or a certificate being configured. It stands under a store: what it
// gives is the dial function of the database driver.
package cloudsql

import (
	"context"
	"fmt"
	"net"
	"regexp"
	"sync"

	"cloud.google.com/go/cloudsqlconn"
)

// Config names an instance and says how to reach it.
type Config struct {
	Instance  string // project:region:instance
	IAMAuth   bool   // log in as the service account instead of with a password
	PrivateIP bool   // through the VPC
}

// Connector dials one instance. It is safe for concurrent use.
type Connector struct {
	instance string
	options  []cloudsqlconn.Option

	mu     sync.Mutex
	dialer *cloudsqlconn.Dialer // nil until the first Dial, since making it is slow
	closed bool
}

// A project may carry a domain: example.com:project.
var instanceName = regexp.MustCompile(`^([a-z0-9.-]+\.[a-z]+:)?[a-z0-9-]+:[a-z0-9-]+:[a-z0-9-]+$`)

// New checks the configuration. Nothing is contacted before the first Dial.
func New(config Config, options ...cloudsqlconn.Option) (*Connector, error) {
	if !instanceName.MatchString(config.Instance) {
		return nil, fmt.Errorf("%q is no Cloud SQL instance: it must be project:region:instance, as `gcloud sql instances describe` shows it under connectionName", config.Instance)
	}
	all := []cloudsqlconn.Option{
		cloudsqlconn.WithLazyRefresh(), // background work starves where CPU is only given during requests
		cloudsqlconn.WithBuiltInMetrics(false),
	}
	if config.IAMAuth {
		all = append(all, cloudsqlconn.WithIAMAuthN())
	}
	if config.PrivateIP {
		all = append(all, cloudsqlconn.WithDefaultDialOptions(cloudsqlconn.WithPrivateIP()))
	}
	return &Connector{instance: config.Instance, options: append(all, options...)}, nil
}

// Dial connects to the instance, encrypted and authenticated; network and
// address are ignored. It has the signature of a driver's dial function.
func (c *Connector) Dial(ctx context.Context, _, _ string) (net.Conn, error) {
	dialer, err := c.connect(ctx)
	if err != nil {
		return nil, fmt.Errorf("Cloud SQL instance %s: %w", c.instance, err)
	}
	conn, err := dialer.Dial(ctx, c.instance)
	if err != nil {
		return nil, fmt.Errorf("Cloud SQL instance %s: %w", c.instance, err)
	}
	return conn, nil
}

// connect makes the dialer; a failure is not kept, so the next call tries again.
func (c *Connector) connect(ctx context.Context) (*cloudsqlconn.Dialer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, net.ErrClosed
	}
	if c.dialer == nil {
		dialer, err := cloudsqlconn.NewDialer(context.WithoutCancel(ctx), c.options...)
		if err != nil {
			return nil, err
		}
		c.dialer = dialer
	}
	return c.dialer, nil
}

// Close ends the connector; connections stay as they are.
func (c *Connector) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if c.dialer == nil {
		return nil
	}
	return c.dialer.Close()
}
