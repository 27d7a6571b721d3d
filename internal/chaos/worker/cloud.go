package main

import (
	"context"
	"log/slog"

	"github.com/claimcheck-go/claimcheck/cloudtasks"
	"github.com/claimcheck-go/claimcheck/oidc"
	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/httpapi"
)

// cloud is the configuration of Cloud Tasks.
type cloud struct {
	api     string // host:port
	front   string
	issuer  string
	account string
}

// wire makes the dispatcher, and an authenticator that accepts Cloud Tasks, too.
func (c cloud) wire(ctx context.Context, auth httpapi.Authenticator, logger *slog.Logger) (queue.Dispatcher, httpapi.Authenticator, error) {
	tasks, err := cloudtasks.Dial(ctx, cloudtasks.DialConfig{EmulatorHost: c.api})
	if err != nil {
		return nil, nil, err
	}
	dispatcher, err := cloudtasks.New(tasks, cloudtasks.Config{
		Project: "chaos", Location: "europe-west1", HandlerURL: c.front + cloudtasks.DefaultHandlerPath, ServiceAccountEmail: c.account,
	})
	if err != nil {
		return nil, nil, err
	}
	verifier, err := oidc.New(oidc.Config{
		Audiences: []string{c.front}, Emails: []string{c.account}, Issuer: c.issuer, CertsURL: c.issuer, Logger: logger,
	})
	if err != nil {
		return nil, nil, err
	}
	return dispatcher, httpapi.AnyOf(verifier, auth), nil
}
