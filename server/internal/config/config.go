package config

import (
	"time"

	"github.com/claimcheck-go/claimcheck/cloudtasks"
	"github.com/claimcheck-go/claimcheck/detect"
	"github.com/claimcheck-go/claimcheck/internal/dburl"
)

// The values of TASKS_MODE.
const (
	ModeAuto       = "auto"
	ModeLocal      = "local"
	ModeCloudTasks = "cloudtasks"
	ModePull       = "pull"
)

// Role is what a process does with the tasks of the settings.
type Role int

// The roles.
const (
	Serves    Role = iota // every command but the following
	Pulls                 // work, which pulls tasks from the database
	Diagnoses             // doctor, which checks the settings of serve wherever it runs
)

// Config is the settings of one process in its environment: its methods decide
// what the settings leave open, and refuse what they must not say.
type Config struct {
	Settings *Settings
	Env      Environment
	Role     Role

	OwnRoutes   bool   // the program answers the paths that the server does not
	AdminPrefix string // of the pages; empty: /admin
}

// Detector returns what asks the platform.
func (c *Config) Detector() *detect.Detector {
	return detect.New(detect.Config{
		Getenv: c.Env.Get, CloudRunTag: c.Settings.CloudRunTag, PinVersion: c.Settings.AppEngineTarget,
	})
}

// OnPlatform reports whether this is Cloud Run or App Engine.
func (c *Config) OnPlatform() bool { return c.Detector().Platform() != detect.None }

// LogsJSON reports whether log lines are JSON, with the fields of Cloud Logging.
func (c *Config) LogsJSON() bool {
	return c.Settings.LogFormat == "json" || c.Settings.LogFormat == "auto" && c.OnPlatform()
}

// Mode returns TASKS_MODE with auto resolved.
func (c *Config) Mode() (string, error) {
	s := c.Settings
	if s.CloudTasksEmulatorHost != "" && c.OnPlatform() {
		return "", Problem{"CLOUD_TASKS_EMULATOR_HOST", "is refused on Cloud Run and App Engine", "unset it"}
	}
	if (s.OIDCIssuer != "" || s.OIDCCertsURL != "") && s.CloudTasksEmulatorHost == "" {
		return "", Problemf("OIDC_ISSUER", "and OIDC_CERTS_URL are an emulator's: they need CLOUD_TASKS_EMULATOR_HOST, so unset them")
	}
	switch {
	case s.TasksMode != ModeAuto:
		return s.TasksMode, nil
	case c.onlyPulls():
		return ModePull, nil
	case c.OnPlatform() || s.CloudTasksEmulatorHost != "":
		return ModeCloudTasks, nil
	default:
		return ModeLocal, nil
	}
}

// onlyPulls reports whether tasks are only pulled here though this is Cloud Run: a
// worker pool and work in a job have no URL for deliveries, and nothing names one.
func (c *Config) onlyPulls() bool {
	if c.Settings.TaskHandlerURL != "" {
		return false
	}
	switch c.Detector().Platform() {
	case detect.CloudRunWorkerPool:
		return true
	case detect.CloudRunJob:
		return c.Role == Pulls
	}
	return false
}

// isDetached reports whether the platform sends this process no requests.
func (c *Config) isDetached() bool {
	platform := c.Detector().Platform()
	return c.Role != Diagnoses && (platform == detect.CloudRunJob || platform == detect.CloudRunWorkerPool)
}

// CheckTimeout refuses a TASKS_TIMEOUT that is longer than a delivery lasts, in a
// process that runs tasks for deliveries.
func (c *Config) CheckTimeout(t *Target) error {
	longest, because := t.Tasks.LongestTimeout()
	unlimited := t.Tasks
	unlimited.RequestTimeout = 0
	if most, _ := unlimited.LongestTimeout(); most != longest {
		because = "REQUEST_TIMEOUT is " + t.Tasks.RequestTimeout.String()
	}
	if c.Role == Pulls || c.isDetached() || c.Settings.TasksTimeout <= longest {
		return nil
	}
	return Problemf("TASKS_TIMEOUT", "must be at most %s here, not %s (%s, less a margin to store the result): lower it and let long tasks go on with queue.Snooze, raise REQUEST_TIMEOUT and the platform's timeout if they are what limits it, or run long tasks with work",
		longest, c.Settings.TasksTimeout, because)
}

// DefaultTimeout bounds tasks that set no limit: in cloudtasks mode they must
// end before Cloud Tasks and the platform give up on the request. Cloud Run jobs
// and worker pools have no request.
func (c *Config) DefaultTimeout(mode string) time.Duration {
	if c.Settings.TasksTimeout > 0 || mode != ModeCloudTasks || c.isDetached() {
		return c.Settings.TasksTimeout
	}
	timeout := 9 * time.Minute
	if request := c.RequestTimeout(); request > 0 {
		timeout = min(timeout, request-cloudtasks.RequestMargin(request))
	}
	return timeout
}

// RequestTimeout returns the platform's; 0 where there is none.
func (c *Config) RequestTimeout() time.Duration {
	if c.Settings.RequestTimeout == 0 && c.Detector().Platform() == detect.CloudRunService {
		return 300 * time.Second
	}
	return c.Settings.RequestTimeout
}

// DefaultDatabase is where tasks are stored off Google Cloud if DATABASE_URL is not
// set.
const DefaultDatabase = "sqlite:claimcheck.db"

// DatabaseURL returns the setting in its canonical form, or its default where there
// is one.
func (c *Config) DatabaseURL() (string, error) {
	if c.Settings.DatabaseURL != "" {
		rawURL, err := dburl.Canonical(c.Settings.DatabaseURL)
		if err != nil {
			return "", Problemf("DATABASE_URL", ": %s", err)
		}
		return rawURL, nil
	}
	if c.OnPlatform() {
		return "", Problemf("DATABASE_URL", "is required here, since the disk of Cloud Run and App Engine is not kept: postgres://USER:PASSWORD@HOST/NAME")
	}
	return DefaultDatabase, nil
}
