package config

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/claimcheck-go/claimcheck/cloudtasks"
	"github.com/claimcheck-go/claimcheck/detect"
	"github.com/claimcheck-go/claimcheck/queue"
)

// Target is the location of the queues, the handler's URL and the service account
// of deliveries.
type Target struct {
	Tasks     cloudtasks.Config
	Audiences []string // accepted; the first goes into tokens
	Emails    []string // accounts that may call
}

// Target works out the target from settings and detection. The error names
// everything that is missing at once.
func (c *Config) Target(ctx context.Context) (*Target, error) {
	s := c.Settings
	d := c.Detector()
	var missing []string
	value := func(name, setting string, detected func(context.Context) (detect.Found, error)) string {
		if setting != "" {
			return setting
		}
		found, err := detected(ctx)
		if err != nil {
			missing = append(missing, name)
		}
		return found.Value
	}
	t := &Target{Tasks: cloudtasks.Config{
		Project:      value("CLOUD_TASKS_PROJECT", s.CloudTasksProject, d.Project),
		Location:     value("CLOUD_TASKS_LOCATION", s.CloudTasksLocation, d.Location),
		QueueAliases: s.TasksQueueAliases,
		AllowHTTP:    s.CloudTasksEmulatorHost != "",

		RequestTimeout: c.RequestTimeout(),
		BatchCreate:    s.TasksBatchCreate,
	}}
	c.address(&t.Tasks, value)
	if len(missing) > 0 {
		return nil, Problemf("", "cloudtasks mode needs settings that are neither given nor detected here: %s", strings.Join(missing, ", "))
	}
	if s.TaskHandlerURL == "" {
		if err := c.CheckExecutePath(); err != nil {
			return nil, err
		}
	}
	if _, err := cloudtasks.New(nil, t.Tasks); err != nil { // only to check the settings
		return nil, FromFields(err)
	}
	if err := c.CheckCallers(); err != nil {
		return nil, err
	}
	t.Audiences = c.AudiencesFor(t.Tasks.HandlerURL)
	if len(t.Audiences) > 0 {
		t.Tasks.Audience = t.Audiences[0]
	}
	t.Emails = c.EmailsWith(t.Tasks.ServiceAccountEmail)
	return t, nil
}

// address sets where Cloud Tasks delivers, and as which account. value returns a
// setting, or what was detected in its place.
func (c *Config) address(tasks *cloudtasks.Config, value func(name, setting string, detected func(context.Context) (detect.Found, error)) string) {
	s, d := c.Settings, c.Detector()
	if s.AppEngineTarget && d.Platform() == detect.AppEngine {
		tasks.AppEngine = &cloudtasks.AppEngineTarget{
			Service: c.Env.Get("GAE_SERVICE"), Version: c.Env.Get("GAE_VERSION"), HandlerPath: s.TaskHandlerPath,
		}
		return
	}
	tasks.HandlerURL = value("TASK_HANDLER_URL", s.TaskHandlerURL, func(ctx context.Context) (detect.Found, error) {
		origin, err := d.HandlerOrigin(ctx)
		origin.Value += s.TaskHandlerPath
		return origin, err
	})
	detectAccount := d.ServiceAccount
	if d.Platform() != detect.AppEngine { // elsewhere the account must be set
		detectAccount = func(context.Context) (detect.Found, error) {
			return detect.Found{}, detect.ErrNotDetected
		}
	}
	tasks.ServiceAccountEmail = value("OIDC_SERVICE_ACCOUNT_EMAIL", s.OIDCServiceAccountEmail, detectAccount)
}

// AudiencesFor returns OIDC_AUDIENCE, or the origin of the handler's URL: without
// its traffic tag, which is what tokens must be for, and with it.
func (c *Config) AudiencesFor(handlerURL string) []string {
	if audiences := NonEmpty(c.Settings.OIDCAudience); len(audiences) > 0 {
		return audiences
	}
	u, err := url.Parse(handlerURL)
	if err != nil || u.Host == "" {
		return nil
	}
	origin := u.Scheme + "://" + u.Host
	if service := cloudtasks.WithoutTag(origin); service != origin {
		return []string{service, origin}
	}
	return []string{origin}
}

// EmailsWith returns the accounts that may call: the one that signs deliveries, if
// there is one, and OIDC_ALLOWED_EMAILS.
func (c *Config) EmailsWith(signer string) []string {
	return NonEmpty(append([]string{signer}, c.Settings.OIDCAllowedEmails...))
}

// CheckTasks refuses tasks that may take longer than their delivery.
// queue.NewClient does so too, but only once the database is open.
func (t *Target) CheckTasks(tasks *queue.Registry) error {
	var problems []error
	for _, task := range tasks.Tasks() {
		if task.Backend != queue.DefaultBackend {
			continue
		}
		if err := t.Tasks.CheckTimeout(task.Timeout); err != nil {
			problems = append(problems, fmt.Errorf("task %s: %w", task.Name, err))
		}
	}
	return errors.Join(problems...)
}
