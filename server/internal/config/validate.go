package config

import (
	"cmp"
	"errors"
	"net"
	"strconv"
	"strings"

	"github.com/claimcheck-go/claimcheck/detect"
	"github.com/claimcheck-go/claimcheck/internal/handlerpath"
	"github.com/claimcheck-go/claimcheck/internal/plainname"
	"github.com/claimcheck-go/claimcheck/server/httpapi"
)

// These checks refuse what the type of a setting cannot, and what would otherwise
// be noticed only when it is used, or never.

// CheckNamed refuses a list that is set and names nothing, as "," does: otherwise
// the server would not do what was meant.
func CheckNamed(name string, list []string, takes string) error {
	if len(list) > 0 && len(NonEmpty(list)) == 0 {
		return Problemf(name, "is set but names nothing: it takes %s, separated by commas; or unset it", takes)
	}
	return nil
}

// validQueueName reports whether package queue accepts the name of a queue.
func validQueueName(name string) bool { return plainname.Valid(name, 100, "_.-") }

// CheckQueues checks TASKS_QUEUES. In cloudtasks mode, which has a target, each must
// be, or be mapped to, a queue of Cloud Tasks; unless there is a job too, whose
// tasks have queues of any name.
func (c *Config) CheckQueues(target *Target, job string) error {
	const takes = "names of 1 to 100 letters, digits, _, . and -, but not . or .."
	if err := CheckNamed("TASKS_QUEUES", c.Settings.TasksQueues, takes); err != nil {
		return err
	}
	var problems []error
	for _, name := range NonEmpty(c.Settings.TasksQueues) {
		if !validQueueName(name) {
			problems = append(problems, Problemf("TASKS_QUEUES", ": %.100q is not a queue name: it takes %s, separated by commas", name, takes))
		} else if target != nil && job == "" {
			if _, err := target.Tasks.QueueIDs(name); err != nil {
				problems = append(problems, Problemf("TASKS_QUEUES", ": %s (TASKS_QUEUE_ALIASES=%s=my-queue)", err, name))
			}
		}
	}
	return errors.Join(problems...)
}

// CheckEmulator checks CLOUD_TASKS_EMULATOR_HOST.
func (c *Config) CheckEmulator() error {
	address := c.Settings.CloudTasksEmulatorHost
	if address == "" {
		return nil
	}
	if _, port, err := net.SplitHostPort(address); err != nil || !isPort(port) {
		return Problemf("CLOUD_TASKS_EMULATOR_HOST", "is %.100q; it takes host:port, like 127.0.0.1:8123, with a port from 1 to 65535", address)
	}
	return nil
}

// CheckCallers checks the lists that say whose tokens are accepted.
func (c *Config) CheckCallers() error {
	return errors.Join(
		CheckNamed("OIDC_AUDIENCE", c.Settings.OIDCAudience, "the URLs that callers get their tokens for"),
		CheckNamed("OIDC_ALLOWED_EMAILS", c.Settings.OIDCAllowedEmails, "e-mail addresses of accounts"))
}

// CheckTrustPlatform refuses to trust a platform that is not there: only Cloud
// Run's IAM verifies tokens before it removes their signatures. Anywhere else
// such a token is one that its sender wrote.
func (c *Config) CheckTrustPlatform() error {
	if c.Settings.OIDCTrustPlatform && c.Detector().Platform() != detect.CloudRunService {
		return Problemf("OIDC_TRUST_PLATFORM", "=true is accepted on Cloud Run services only, whose IAM verifies tokens before it removes their signatures: unset it here")
	}
	return nil
}

func isPort(s string) bool {
	port, err := strconv.ParseUint(s, 10, 16)
	return err == nil && port > 0
}

// CheckExecutePath checks the path at which deliveries arrive.
func (c *Config) CheckExecutePath() error {
	name, path := "TASK_HANDLER_PATH", c.ExecutePath()
	if c.Settings.TaskHandlerURL != "" && path != c.Settings.TaskHandlerPath {
		name = "TASK_HANDLER_URL"
	}
	if c.IsAdmin(path) || strings.HasPrefix(path, "/health/") {
		return Problemf(name, "must not have the path %.200q, since %s/ and /health/ are pages of this server: it takes one such as /tasks/execute/{task_id}/", path, c.AdminPath())
	}
	if c.OwnRoutes && strings.Trim(path, "/") == handlerpath.Placeholder {
		return Problemf(name, "must not have the path %.200q, which takes every path of one part from Config.Handler: it takes one such as %s", path, handlerpath.Default)
	}
	if err := httpapi.CheckExecutePath(path); err != nil {
		return Problemf(name, "%s", err)
	}
	return nil
}

// IsAdmin reports whether a path is one of the admin's pages.
func (c *Config) IsAdmin(path string) bool {
	rest, under := strings.CutPrefix(path, c.AdminPath())
	return under && (rest == "" || rest[0] == '/')
}

// AdminPath returns the path of the pages, without a slash at its end.
func (c *Config) AdminPath() string {
	return cmp.Or(strings.TrimRight(c.AdminPrefix, "/"), "/admin")
}

// ExecutePath returns where deliveries arrive: the path of TASK_HANDLER_URL, if
// that is set.
func (c *Config) ExecutePath() string {
	if _, rest, ok := strings.Cut(c.Settings.TaskHandlerURL, "://"); ok {
		if slash := strings.Index(rest, "/"); slash >= 0 {
			return rest[slash:]
		}
	}
	return c.Settings.TaskHandlerPath
}
