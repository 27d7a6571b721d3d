package doctor

import (
	"cmp"
	"context"
	"errors"
	"net"
	"strings"

	"github.com/claimcheck-go/claimcheck/cloudtasks"
	"github.com/claimcheck-go/claimcheck/detect"
	"github.com/claimcheck-go/claimcheck/server/internal/config"
	"github.com/claimcheck-go/claimcheck/server/internal/stores"
)

// resolveMode resolves TASKS_MODE. A setting that the mode refuses is reported and
// left out, so that the rest can be checked.
func (d *Diagnosis) resolveMode() {
	mode, err := d.config.Mode()
	if err != nil && d.config.OnPlatform() && d.config.Settings.CloudTasksEmulatorHost != "" {
		d.attribute(err)
		d.config.Settings.CloudTasksEmulatorHost = ""
		mode, err = d.config.Mode()
	}
	if err != nil {
		d.attribute(err)
		d.config.Settings.OIDCIssuer, d.config.Settings.OIDCCertsURL = "", ""
		mode, _ = d.config.Mode()
	}
	d.mode = mode
}

// detect fills in what cloudtasks mode needs and is not set. What is not
// detected either gets a stand-in.
func (d *Diagnosis) detect(ctx context.Context) {
	if found, err := d.detector.ServiceAccount(ctx); err == nil && d.detector.Platform() != detect.AppEngine {
		d.runsAs = found.Value
	}
	s, detector := d.config.Settings, d.detector
	if err := d.config.CheckExecutePath(); err != nil {
		d.attribute(err)
		if s.TaskHandlerURL == "" {
			s.TaskHandlerPath = cloudtasks.DefaultHandlerPath
		}
	}
	if d.mode != config.ModeCloudTasks {
		return
	}
	d.detectSetting(ctx, "CLOUD_TASKS_PROJECT", &s.CloudTasksProject, detector.Project)
	d.detectSetting(ctx, "CLOUD_TASKS_LOCATION", &s.CloudTasksLocation, detector.Location)
	if s.AppEngineTarget && detector.Platform() == detect.AppEngine {
		return
	}
	d.detectSetting(ctx, "TASK_HANDLER_URL", &s.TaskHandlerURL, func(ctx context.Context) (detect.Found, error) {
		origin, err := detector.HandlerOrigin(ctx)
		origin.Value += s.TaskHandlerPath
		return origin, err
	})
	d.detectSetting(ctx, "OIDC_SERVICE_ACCOUNT_EMAIL", &s.OIDCServiceAccountEmail, func(ctx context.Context) (detect.Found, error) {
		if detector.Platform() == detect.AppEngine {
			return detector.ServiceAccount(ctx)
		}
		return detect.Found{}, errors.New("it is detected on App Engine only; elsewhere the account must be set")
	})
}

// settingExamples show the values of settings that may be missing.
var settingExamples = map[string]string{
	"CLOUD_TASKS_PROJECT":        "CLOUD_TASKS_PROJECT=my-project",
	"CLOUD_TASKS_LOCATION":       "CLOUD_TASKS_LOCATION=europe-west1",
	"TASK_HANDLER_URL":           "TASK_HANDLER_URL=https://HOST/tasks/execute/{task_id}/",
	"OIDC_SERVICE_ACCOUNT_EMAIL": "OIDC_SERVICE_ACCOUNT_EMAIL=ACCOUNT@PROJECT.iam.gserviceaccount.com",
}

// detectSetting fills in one setting.
func (d *Diagnosis) detectSetting(ctx context.Context, name string, setting *string, detected func(context.Context) (detect.Found, error)) {
	if *setting != "" {
		return
	}
	found, err := detected(ctx)
	if err == nil {
		*setting, d.detected[name] = found.Value, found.Source
		d.guessed[name] = found.Guessed
		return
	}
	*setting = standIns[name]
	var piece *detect.Error
	if errors.As(err, &piece) {
		err = piece.Err
	}
	var network net.Error
	if d.config.OnPlatform() && (errors.Is(err, context.DeadlineExceeded) || errors.As(err, &network)) {
		d.undecided[name], d.metadata = true, err
	}
	d.problems[name] = Failf("set "+settingExamples[name], "neither set nor detected: %s", err)
}

// validate finds everything that is wrong with the settings, as serve does.
func (d *Diagnosis) validate(ctx context.Context) {
	d.attribute(d.Blank)
	registry, err := d.Validate(ctx, d.config)
	d.registry = registry
	d.attribute(err)
	d.attribute(d.config.CheckCallers())
	if d.mode == config.ModeCloudTasks {
		d.substitute()
		d.target, _ = d.config.Target(ctx)
	}
	_, err = d.Opener(d.config)
	d.attribute(err)
	d.attribute(d.ValidateAccess(d.config, d.target))
	if d.config.OnPlatform() && strings.HasPrefix(d.config.Settings.DatabaseURL, "sqlite:") {
		d.problems["DATABASE_URL"] = Failf("set DATABASE_URL=postgres://USER:PASSWORD@HOST/NAME",
			"%s: the disk of %s is not kept, and with it all tasks are lost", d.config.Settings.DatabaseURL, d.detector.Platform())
	}
}

// standIns are valid values in place of missing or wrong ones, so that further
// problems are found too. No check that would use them is run.
var standIns = map[string]string{
	"CLOUD_TASKS_PROJECT": "missing", "CLOUD_TASKS_LOCATION": "missing",
	"TASK_HANDLER_URL": "https://missing.invalid/{task_id}", "OIDC_SERVICE_ACCOUNT_EMAIL": "missing@missing.invalid",
}

// substitute replaces what is wrong about the target with stand-ins.
func (d *Diagnosis) substitute() {
	s := d.config.Settings
	for name, setting := range map[string]*string{
		"CLOUD_TASKS_PROJECT": &s.CloudTasksProject, "CLOUD_TASKS_LOCATION": &s.CloudTasksLocation,
		"TASK_HANDLER_URL": &s.TaskHandlerURL, "OIDC_SERVICE_ACCOUNT_EMAIL": &s.OIDCServiceAccountEmail,
	} {
		if _, wrong := d.problems[name]; wrong {
			*setting = standIns[name]
		}
	}
	if _, wrong := d.problems["TASKS_QUEUE_ALIASES"]; wrong {
		s.TasksQueueAliases = nil
	}
	if _, wrong := d.problems["OIDC_AUDIENCE"]; wrong {
		s.OIDCAudience = nil
	}
}

// attribute records each problem of an error under its setting, or other variable.
// The first one of a setting is kept.
func (d *Diagnosis) attribute(err error) {
	for _, problem := range config.Problems(err) {
		name, fix := "settings", "see what it says"
		provided, known := d.setting(problem.Setting)
		switch {
		case known:
			name, fix = problem.Setting, "correct "+problem.Setting+" ("+provided.Flag+")"
		case problem.Setting != "":
			name, fix = problem.Setting, "correct "+problem.Setting
		}
		if _, recorded := d.problems[name]; recorded {
			continue
		}
		if !known {
			d.others = append(d.others, name)
		}
		d.problems[name] = Failf(cmp.Or(problem.Fix, fix), "%s", problem.Detail())
	}
}

// setting returns how a setting was set.
func (d *Diagnosis) setting(name string) (config.Provided, bool) {
	for _, p := range d.Sources.Provided() {
		if p.Name == name {
			return p, true
		}
	}
	return config.Provided{}, false
}

// settingChecks are one for each setting that is set, detected or wrong.
func (d *Diagnosis) settingChecks() []Check {
	var checks []Check
	for _, p := range d.Sources.Provided() {
		found, wrong := d.problems[p.Name]
		if !wrong {
			found = d.settingFinding(p)
		}
		if found.Detail == "" {
			continue
		}
		check := Check{Name: p.Name, Look: func(context.Context) Finding { return found }}
		if p.Name == "CLOUD_TASKS_LOCATION" && !wrong && p.Source != "" && d.config.OnPlatform() {
			check.Look = func(ctx context.Context) Finding { return d.locationFinding(ctx, found) }
		}
		if d.undecided[p.Name] {
			check.Needs = []string{"platform"}
		}
		checks = append(checks, check)
	}
	for _, name := range d.others {
		checks = append(checks, Check{Name: name, Look: func(context.Context) Finding { return d.problems[name] }})
	}
	return checks
}

// locationFinding adds to the location of the queues, if it is set, that this
// service runs in another region: that works, but every delivery crosses regions.
func (d *Diagnosis) locationFinding(ctx context.Context, found Finding) Finding {
	own, err := d.detector.Location(ctx)
	if err == nil && own.Value != d.config.Settings.CloudTasksLocation {
		found.Detail += "; this service runs in " + own.Value + ", so that each delivery crosses regions"
	}
	return found
}

// checkVariables warns about variables that look like settings.
func (d *Diagnosis) checkVariables(context.Context) Finding {
	var texts, names []string
	for _, m := range d.Misspelt {
		texts, names = append(texts, m.String()), append(names, m.Name)
	}
	if len(texts) == 0 {
		return Okf("no variable looks like a misspelt setting")
	}
	return Warnf("correct or unset "+strings.Join(names, ", "), "%s", strings.Join(texts, "; "))
}

// settingFinding returns the value of a valid setting, and its source; empty if it
// is not set.
func (d *Diagnosis) settingFinding(p config.Provided) Finding {
	value, source := p.Value, p.Source
	switch {
	case p.Name == "TASKS_MODE" && d.config.Settings.TasksMode == config.ModeAuto:
		value, source = d.mode, "auto: neither Cloud Run nor App Engine, and no emulator"
		if d.config.OnPlatform() {
			source = "auto: " + d.detector.Platform().String()
		} else if d.mode == config.ModeCloudTasks {
			source = "auto: an emulator is named"
		}
	case p.Name == "DATABASE_URL":
		if source == "" {
			source = "default"
		}
		rawURL, _ := d.config.DatabaseURL()
		value = stores.Describe(rawURL)
	case d.detected[p.Name] != "":
		source = d.detected[p.Name]
		value = d.detectedValue(p.Name)
		if d.guessed[p.Name] {
			return Warnf(guessFixes[p.Name], "%s (guessed from %s)", value, source)
		}
	case source == "":
		return Finding{}
	case p.Secret != "" && p.Name != "WEBHOOK_SECRET" && p.Name != "TASKS_NOTICE_URL" && len(strings.TrimSpace(p.Secret)) < config.StrongSecret:
		return Warnf(p.Name+"=$(openssl rand -hex 32)", "%s (%s): short enough to be guessed", value, source)
	}
	return Okf("%s (%s)", value, source)
}

// guessFixes are how to replace a guess by the right value.
var guessFixes = map[string]string{
	"TASK_HANDLER_URL":           "set TASK_HANDLER_URL=https://HOST/tasks/execute/{task_id}/ with the host that `gcloud app describe --format='value(defaultHostname)'` prints: those of applications made since February 2020 carry REGION_ID.r",
	"OIDC_SERVICE_ACCOUNT_EMAIL": "set OIDC_SERVICE_ACCOUNT_EMAIL to the account that the version runs as: `gcloud app versions describe VERSION --service=SERVICE --format='value(serviceAccount)'`",
}

func (d *Diagnosis) detectedValue(name string) string {
	switch name {
	case "CLOUD_TASKS_PROJECT":
		return d.config.Settings.CloudTasksProject
	case "CLOUD_TASKS_LOCATION":
		return d.config.Settings.CloudTasksLocation
	case "TASK_HANDLER_URL":
		return d.config.Settings.TaskHandlerURL
	}
	return d.config.Settings.OIDCServiceAccountEmail
}
