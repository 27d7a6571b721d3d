package server

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/claimcheck-go/claimcheck/cloudtasks"
	"github.com/claimcheck-go/claimcheck/detect"
)

// The values of TASKS_MODE.
const (
	modeAuto       = "auto"
	modeLocal      = "local"
	modeCloudTasks = "cloudtasks"
	modePull       = "pull"
)

func (p *program) detector() *detect.Detector {
	return detect.New(detect.Config{
		Getenv: p.getenv, CloudRunTag: p.settings.CloudRunTag, PinVersion: p.settings.AppEngineTarget,
	})
}

// onPlatform reports whether this is Cloud Run or App Engine.
func (p *program) onPlatform() bool { return p.detector().Platform() != detect.None }

// mode is TASKS_MODE with auto resolved.
func (p *program) mode() (string, error) {
	s := p.settings
	if s.CloudTasksEmulatorHost != "" && p.onPlatform() {
		return "", usagef("CLOUD_TASKS_EMULATOR_HOST is refused on Cloud Run and App Engine: unset it")
	}
	if (s.OIDCIssuer != "" || s.OIDCCertsURL != "") && s.CloudTasksEmulatorHost == "" {
		return "", usagef("OIDC_ISSUER and OIDC_CERTS_URL are an emulator's: they need CLOUD_TASKS_EMULATOR_HOST, so unset them")
	}
	switch {
	case s.TasksMode != modeAuto:
		return s.TasksMode, nil
	case p.onlyPulls():
		return modePull, nil
	case p.onPlatform() || s.CloudTasksEmulatorHost != "":
		return modeCloudTasks, nil
	default:
		return modeLocal, nil
	}
}

// onlyPulls reports whether tasks are only pulled here though this is Cloud Run: a
// worker pool and work in a job have no URL for deliveries, and nothing names one.
func (p *program) onlyPulls() bool {
	if p.settings.TaskHandlerURL != "" {
		return false
	}
	switch p.detector().Platform() {
	case detect.CloudRunWorkerPool:
		return true
	case detect.CloudRunJob:
		return p.works
	}
	return false
}

// hasDeliveries reports whether this process runs tasks for requests of Cloud
// Tasks. Cloud Run jobs and worker pools get none; doctor checks for serve.
func (p *program) hasDeliveries(mode string) bool {
	platform := p.detector().Platform()
	return mode == modeCloudTasks && (p.examines || !p.works && platform != detect.CloudRunJob && platform != detect.CloudRunWorkerPool)
}

// checkTimeout refuses a TASKS_TIMEOUT that is longer than a delivery lasts.
func (p *program) checkTimeout(t *target) error {
	timeout := time.Duration(p.settings.TasksTimeout)
	longest, because := t.config.LongestTimeout()
	if !p.hasDeliveries(modeCloudTasks) || timeout <= longest {
		return nil
	}
	return fmt.Errorf("TASKS_TIMEOUT must be at most %s here, not %s (%s, less a margin to store the result): lower it and let long tasks go on with queue.Snooze, raise REQUEST_TIMEOUT and the platform's timeout if they are what limits it, or run long tasks with work",
		longest, timeout, because)
}

// defaultTimeout bounds tasks that set no limit: in cloudtasks mode they must
// end before Cloud Tasks and the platform give up on the request. Cloud Run jobs
// and worker pools have no request.
func (p *program) defaultTimeout(mode string) time.Duration {
	platform := p.detector().Platform()
	noRequest := !p.examines && (platform == detect.CloudRunJob || platform == detect.CloudRunWorkerPool)
	if timeout := time.Duration(p.settings.TasksTimeout); timeout > 0 || mode != modeCloudTasks || noRequest {
		return timeout
	}
	timeout := 9 * time.Minute
	if request := p.requestTimeout(); request > 0 {
		timeout = min(timeout, request-cloudtasks.RequestMargin(request))
	}
	return timeout
}

// requestTimeout is the platform's; 0 where there is none.
func (p *program) requestTimeout() time.Duration {
	if p.settings.RequestTimeout == 0 && p.detector().Platform() == detect.CloudRunService {
		return 300 * time.Second
	}
	return time.Duration(p.settings.RequestTimeout)
}

// target is where Cloud Tasks are created, and whom they call back as whom.
type target struct {
	config   cloudtasks.Config
	audience []string // accepted; the first goes into tokens
	emails   []string // who may call
}

// cloudTarget works out the target from settings and detection. The error names
// everything that is missing at once.
func (p *program) cloudTarget(ctx context.Context) (*target, error) {
	s := p.settings
	d := p.detector()
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
	t := &target{config: cloudtasks.Config{
		Project:      value("CLOUD_TASKS_PROJECT", s.CloudTasksProject, d.Project),
		Location:     value("CLOUD_TASKS_LOCATION", s.CloudTasksLocation, d.Location),
		QueueAliases: s.TasksQueueAliases,
		AllowHTTP:    s.CloudTasksEmulatorHost != "",

		RequestTimeout: p.requestTimeout(),
	}}
	if s.AppEngineTarget && d.Platform() == detect.AppEngine {
		t.config.AppEngine = &cloudtasks.AppEngineTarget{
			Service: p.getenv("GAE_SERVICE"), Version: p.getenv("GAE_VERSION"), HandlerPath: s.TaskHandlerPath,
		}
	} else {
		t.config.HandlerURL = value("TASK_HANDLER_URL", s.TaskHandlerURL, func(ctx context.Context) (detect.Found, error) {
			origin, err := d.HandlerOrigin(ctx)
			origin.Value += s.TaskHandlerPath
			return origin, err
		})
		detectAccount := d.ServiceAccount
		if d.Platform() != detect.AppEngine { // elsewhere the account must be said
			detectAccount = func(context.Context) (detect.Found, error) {
				return detect.Found{}, detect.ErrNotDetected
			}
		}
		t.config.ServiceAccountEmail = value("OIDC_SERVICE_ACCOUNT_EMAIL", s.OIDCServiceAccountEmail, detectAccount)
	}
	if len(missing) > 0 {
		return nil, usagef("cloudtasks mode needs settings that are neither given nor detected here: %s", strings.Join(missing, ", "))
	}
	if s.TaskHandlerURL == "" {
		if err := p.checkExecutePath(); err != nil {
			return nil, err
		}
	}
	if _, err := cloudtasks.New(nil, t.config); err != nil { // only to judge the settings
		return nil, usageError{err}
	}
	if err := p.checkCallers(); err != nil {
		return nil, err
	}
	t.audience = p.audiences(t.config.HandlerURL)
	if len(t.audience) > 0 {
		t.config.Audience = t.audience[0]
	}
	t.emails = p.emails(t.config.ServiceAccountEmail)
	return t, nil
}

// audiences is OIDC_AUDIENCE, or the origin of the handler's URL: without its
// traffic tag, which is what tokens must be for, and with it.
func (p *program) audiences(handlerURL string) []string {
	if given := nonEmpty(p.settings.OIDCAudience); len(given) > 0 {
		return given
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

// emails are the accounts that may call.
func (p *program) emails(signer string) []string {
	return nonEmpty(append([]string{signer}, p.settings.OIDCAllowedEmails...))
}
