package cloudtasks

import (
	"context"
	"fmt"
	"net"

	apiv2 "cloud.google.com/go/cloudtasks/apiv2"
	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// DialConfig is the address of the Cloud Tasks API.
type DialConfig struct {
	// EmulatorHost is the host:port of an emulator, which is called in plaintext
	// and without credentials. Empty means the service, with Application Default
	// Credentials.
	EmulatorHost string
	// Options are passed on to the client; with EmulatorHost they are not used.
	Options []option.ClientOption
}

// Dial returns a client, to be closed by the caller. It looks for credentials
// but makes no connection: the first call does.
func Dial(ctx context.Context, cfg DialConfig) (*apiv2.Client, error) {
	if cfg.EmulatorHost == "" {
		client, err := apiv2.NewClient(ctx, cfg.Options...)
		if err != nil {
			return nil, fmt.Errorf("make the Cloud Tasks client (on Google Cloud give the service a service account, elsewhere run `gcloud auth application-default login`): %w", err)
		}
		return client, nil
	}
	if _, port, err := net.SplitHostPort(cfg.EmulatorHost); err != nil || port == "" {
		return nil, fmt.Errorf("cloudtasks: DialConfig.EmulatorHost is %q; it takes host:port, like 127.0.0.1:8123", cfg.EmulatorHost)
	}
	conn, err := grpc.NewClient(cfg.EmulatorHost, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithStatsHandler(otelgrpc.NewClientHandler())) // as the client makes it for the service
	if err != nil {
		return nil, fmt.Errorf("dial the emulator at %s: %w", cfg.EmulatorHost, err)
	}
	client, err := apiv2.NewClient(ctx, option.WithGRPCConn(conn))
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("make the Cloud Tasks client for the emulator at %s: %w", cfg.EmulatorHost, err)
	}
	return client, nil
}
