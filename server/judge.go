package server

import (
	"errors"
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"

	"github.com/claimcheck-go/claimcheck/detect"
	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/httpapi"
)

// What the type of a setting cannot judge, and what would otherwise be noticed
// only when it is used, or never.

// setButEmpty refuses a list that was given and names nothing, as "," does: whoever
// gave it did not mean what goes without one.
func setButEmpty(name string, list []string, takes string) error {
	if len(list) > 0 && len(nonEmpty(list)) == 0 {
		return usagef("%s is set but names nothing: it takes %s, separated by commas; or unset it", name, takes)
	}
	return nil
}

// queueName is what package queue takes for a name.
var queueName = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,100}$`)

// checkQueues judges TASKS_QUEUES. In cloudtasks mode each must be, or be mapped
// to, a queue of Cloud Tasks; unless there is a job too, whose tasks have queues
// of any name.
func (p *program) checkQueues(parts *parts) error {
	const takes = "names of 1 to 100 letters, digits, _, . and -"
	if err := setButEmpty("TASKS_QUEUES", p.settings.TasksQueues, takes); err != nil {
		return err
	}
	var problems []error
	for _, name := range nonEmpty(p.settings.TasksQueues) {
		if !queueName.MatchString(name) {
			problems = append(problems, fmt.Errorf("TASKS_QUEUES: %.100q is no queue name: it takes %s, separated by commas", name, takes))
		} else if parts.target != nil && parts.job == "" {
			if _, err := parts.target.config.QueueIDs(name); err != nil {
				problems = append(problems, fmt.Errorf("TASKS_QUEUES: %w", err))
			}
		}
	}
	return errors.Join(problems...)
}

// checkBackend judges --backend, and with --json says what the endpoints do. A
// command that dispatches nothing knows the backend "jobs" by its setting alone, and
// needs no parts.
func (p *program) checkBackend(parts *parts, name string, asJSON bool) error {
	known := queue.DefaultBackend
	if p.settings.JobsName != "" {
		known += ", " + jobsBackend
	}
	if name == queue.DefaultBackend || parts != nil && parts.client.HasBackend(name) || name == jobsBackend && p.settings.JobsName != "" {
		return nil
	}
	err := usagef("--backend %q is not known; known: %s", name, known)
	if asJSON {
		err = errors.Join(p.printJSON(map[string]string{"error": "Invalid backend name"}), err)
	}
	return err
}

// checkEmulator judges CLOUD_TASKS_EMULATOR_HOST.
func (p *program) checkEmulator() error {
	address := p.settings.CloudTasksEmulatorHost
	if address == "" {
		return nil
	}
	if _, port, err := net.SplitHostPort(address); err != nil || !isPort(port) {
		return usagef("CLOUD_TASKS_EMULATOR_HOST is %.100q; it takes host:port, like 127.0.0.1:8123, with a port from 1 to 65535", address)
	}
	return nil
}

// checkCallers judges the lists that say whose tokens are accepted.
func (p *program) checkCallers() error {
	err := errors.Join(
		setButEmpty("OIDC_AUDIENCE", p.settings.OIDCAudience, "the URLs that callers get their tokens for"),
		setButEmpty("OIDC_ALLOWED_EMAILS", p.settings.OIDCAllowedEmails, "e-mail addresses of accounts"))
	if err != nil {
		return usageError{err}
	}
	return nil
}

// checkTrustPlatform refuses to trust a platform that is not there: only Cloud
// Run's IAM verifies tokens before it removes their signatures. Anywhere else
// such a token is one that its sender wrote.
func (p *program) checkTrustPlatform() error {
	if p.settings.OIDCTrustPlatform && p.detector().Platform() != detect.CloudRunService {
		return usagef("OIDC_TRUST_PLATFORM=true is accepted on Cloud Run services only, whose IAM verifies tokens before it removes their signatures: unset it here")
	}
	return nil
}

func isPort(s string) bool {
	port, err := strconv.ParseUint(s, 10, 16)
	return err == nil && port > 0
}

// checkExecutePath judges the path at which deliveries arrive.
func (p *program) checkExecutePath() error {
	name, path := "TASK_HANDLER_PATH", p.executePath()
	if p.settings.TaskHandlerURL != "" && path != p.settings.TaskHandlerPath {
		name = "TASK_HANDLER_URL"
	}
	if isAdmin(path) || strings.HasPrefix(path, "/health/") {
		return usagef("%s must not have the path %.200q, since /admin/ and /health/ are pages of this server: it takes one such as /tasks/execute/{task_id}/", name, path)
	}
	if err := httpapi.CheckExecutePath(path); err != nil {
		return usagef("%s %w", name, err)
	}
	return nil
}
