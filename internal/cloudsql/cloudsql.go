// Package cloudsql connects to Cloud SQL instances by name, without their IP
// address or a certificate being configured. A store uses it as the dial
// function of its database driver.
package cloudsql

import (
	"context"
	"fmt"
	"net"
	"regexp"

	"cloud.google.com/go/cloudsqlconn"

	"github.com/claimcheck-go/claimcheck/internal/lazydial"
)

// Config names an instance and says how to reach it.
type Config struct {
	Instance  string // project:region:instance
	IAMAuth   bool   // log in as the service account instead of with a password
	PrivateIP bool   // through the VPC
}

// A project may carry a domain: example.com:project.
var instanceName = regexp.MustCompile(`^([a-z0-9.-]+\.[a-z]+:)?[a-z0-9-]+:[a-z0-9-]+:[a-z0-9-]+$`)

// New checks the configuration. Nothing is contacted before the first Dial.
func New(config Config, options ...cloudsqlconn.Option) (*lazydial.Connector, error) {
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
	all = append(all, options...)
	return lazydial.New("Cloud SQL instance "+config.Instance, func(ctx context.Context) (func(context.Context) (net.Conn, error), func() error, error) {
		dialer, err := cloudsqlconn.NewDialer(ctx, all...)
		if err != nil {
			return nil, nil, err
		}
		dial := func(ctx context.Context) (net.Conn, error) { return dialer.Dial(ctx, config.Instance) }
		return dial, dialer.Close, nil
	}), nil
}
