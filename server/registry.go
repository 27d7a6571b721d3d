package server

import (
	"slices"

	"github.com/claimcheck-go/claimcheck/queue"
)

// ownVariables are the variables that tasks read by themselves and whose
// names look like settings. Others that do are warned about as misspelt.
var ownVariables []string

// registry is what this program runs.
func (p *program) registry() (*queue.Registry, error) {
	if err := checkAllowedHosts(p.settings.WebhookAllowHosts); err != nil {
		return nil, err
	}
	hook, err := newWebhook(p.settings.WebhookSecret, nonEmpty(p.settings.WebhookAllowHosts))
	if err != nil {
		return nil, usagef("WEBHOOK_SECRET: %w", err)
	}
	return p.registryWith(webhookDeliver.Handle(hook.deliver)), nil
}

// knownTasks are the same tasks for commands that run none.
func (p *program) knownTasks() *queue.Registry { return p.registryWith(webhookDeliver) }

func (p *program) registryWith(webhook queue.Definition) *queue.Registry {
	return queue.NewRegistry(append(slices.Clone(p.definitions),
		webhook,
		queue.NewTask(probeTask, probe, queue.MaxAttempts(3)),
	)...)
}
