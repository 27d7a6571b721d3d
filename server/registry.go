package server

import (
	"slices"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/config"
	"github.com/claimcheck-go/claimcheck/server/webhook"
)

// ownVariables are the variables that tasks read by themselves and whose
// names look like settings. Others that do are warned about as misspelt.
var ownVariables []string

// registry is what this program runs.
func (p *program) registry() (*queue.Registry, error) {
	const takes = "host names or addresses, each with or without a port, such as hooks.internal, 10.0.0.7:8080 or ::1"
	if err := config.CheckNamed("WEBHOOK_ALLOW_HOSTS", p.config.Settings.WebhookAllowHosts, takes); err != nil {
		return nil, err
	}
	deliver, err := webhook.New(webhook.Config{Secret: p.config.Settings.WebhookSecret, AllowHosts: config.NonEmpty(p.config.Settings.WebhookAllowHosts)})
	if err != nil {
		return nil, config.FromFields(err)
	}
	return p.registryWith(deliver), nil
}

// knownTasks are the same tasks for commands that run none.
func (p *program) knownTasks() *queue.Registry { return p.registryWith(webhook.Deliver) }

func (p *program) registryWith(deliver queue.Definition) *queue.Registry {
	return queue.NewRegistry(append(slices.Clone(p.definitions),
		deliver,
		queue.NewTask(probeTask, probe, queue.MaxAttempts(3)),
	)...)
}
