// Package alloydb connects to AlloyDB instances by name, without their IP address
// or a certificate being configured. What it gives a store is the dial function of
// the database driver.
package alloydb

import (
	"context"
	"fmt"
	"net"
	"regexp"
	"sync"

	"cloud.google.com/go/alloydbconn"
)

// The kinds of address that an instance may have.
const (
	Private = "private" // in the VPC, by private services access
	Public  = "public"
	PSC     = "psc" // Private Service Connect
)

// Config names an instance and says how to reach it.
type Config struct {
	Instance string // projects/P/locations/R/clusters/C/instances/I
	IAMAuth  bool   // log in as the service account instead of with a password
	Address  string // Private (the default), Public or PSC
}

// Connector dials one instance. It is safe for concurrent use.
type Connector struct {
	instance string
	options  []alloydbconn.Option

	mu     sync.Mutex
	dialer *alloydbconn.Dialer // nil until the first Dial, since making it is slow
	closed bool
}

// A project may carry a domain: example.com:project.
var instanceName = regexp.MustCompile(`^projects/([a-z0-9.-]+\.[a-z]+:)?[a-z0-9-]+/locations/[a-z0-9-]+/clusters/[a-z0-9-]+/instances/[a-z0-9-]+$`)

// New checks the configuration. Nothing is contacted before the first Dial.
func New(config Config, options ...alloydbconn.Option) (*Connector, error) {
	if !instanceName.MatchString(config.Instance) {
		return nil, fmt.Errorf("%q is no AlloyDB instance: it must be projects/PROJECT/locations/REGION/clusters/CLUSTER/instances/INSTANCE, as `gcloud alloydb instances describe` shows it under name", config.Instance)
	}
	all := []alloydbconn.Option{
		alloydbconn.WithLazyRefresh(), // background work starves where CPU is only given during requests
		alloydbconn.WithOptOutOfBuiltInTelemetry(),
	}
	if config.IAMAuth {
		all = append(all, alloydbconn.WithIAMAuthN())
	}
	switch config.Address {
	case "", Private:
	case Public:
		all = append(all, alloydbconn.WithDefaultDialOptions(alloydbconn.WithPublicIP()))
	case PSC:
		all = append(all, alloydbconn.WithDefaultDialOptions(alloydbconn.WithPSC()))
	default:
		return nil, fmt.Errorf("%q is no kind of address: it must be %s, %s or %s", config.Address, Private, Public, PSC)
	}
	return &Connector{instance: config.Instance, options: append(all, options...)}, nil
}

// Dial connects to the instance, encrypted and authenticated; network and address
// are ignored. It has the signature of a driver's dial function.
func (c *Connector) Dial(ctx context.Context, _, _ string) (net.Conn, error) {
	dialer, err := c.connect(ctx)
	if err != nil {
		return nil, fmt.Errorf("AlloyDB instance %s: %w", c.instance, err)
	}
	conn, err := dialer.Dial(ctx, c.instance)
	if err != nil {
		return nil, fmt.Errorf("AlloyDB instance %s: %w", c.instance, err)
	}
	return conn, nil
}

// connect makes the dialer; a failure is not kept, so that the next call makes it
// again.
func (c *Connector) connect(ctx context.Context) (*alloydbconn.Dialer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, net.ErrClosed
	}
	if c.dialer == nil {
		dialer, err := alloydbconn.NewDialer(context.WithoutCancel(ctx), c.options...)
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
