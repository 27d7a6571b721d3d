// Package alloydb connects to AlloyDB instances by name, without their IP address
// or a certificate being configured. A store uses it as the dial function of its
// database driver.
package alloydb

import (
	"context"
	"fmt"
	"net"
	"regexp"

	"cloud.google.com/go/alloydbconn"

	"github.com/claimcheck-go/claimcheck/internal/lazydial"
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

// A project may carry a domain: example.com:project.
var instanceName = regexp.MustCompile(`^projects/([a-z0-9.-]+\.[a-z]+:)?[a-z0-9-]+/locations/[a-z0-9-]+/clusters/[a-z0-9-]+/instances/[a-z0-9-]+$`)

// New checks the configuration. Nothing is contacted before the first Dial.
func New(config Config, options ...alloydbconn.Option) (*lazydial.Connector, error) {
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
	all = append(all, options...)
	return lazydial.New("AlloyDB instance "+config.Instance, func(ctx context.Context) (func(context.Context) (net.Conn, error), func() error, error) {
		dialer, err := alloydbconn.NewDialer(ctx, all...)
		if err != nil {
			return nil, nil, err
		}
		dial := func(ctx context.Context) (net.Conn, error) { return dialer.Dial(ctx, config.Instance) }
		return dial, dialer.Close, nil
	}), nil
}
