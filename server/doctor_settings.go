package server

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"

	"github.com/claimcheck-go/claimcheck/cloudtasks"
	"github.com/claimcheck-go/claimcheck/detect"
	"github.com/claimcheck-go/claimcheck/server/internal/config"
	"github.com/claimcheck-go/claimcheck/server/internal/doctor"
	"github.com/claimcheck-go/claimcheck/server/internal/stores"
)

// judgeMode resolves TASKS_MODE. A setting that the mode refuses is reported and
// left out, so that the rest can be looked at.
func (e *examination) judgeMode() {
	mode, err := e.config.Mode()
	if err != nil && e.config.OnPlatform() && e.config.Settings.CloudTasksEmulatorHost != "" {
		e.attribute(err)
		e.config.Settings.CloudTasksEmulatorHost = ""
		mode, err = e.config.Mode()
	}
	if err != nil {
		e.attribute(err)
		e.config.Settings.OIDCIssuer, e.config.Settings.OIDCCertsURL = "", ""
		mode, _ = e.config.Mode()
	}
	e.mode = mode
}

// detect fills in what cloudtasks mode needs and nobody gave. What is nowhere to
// be found gets a stand-in.
func (e *examination) detect(ctx context.Context) {
	if found, err := e.detector.ServiceAccount(ctx); err == nil && e.detector.Platform() != detect.AppEngine {
		e.runsAs = found.Value
	}
	s, d := e.config.Settings, e.detector
	if err := e.config.CheckExecutePath(); err != nil {
		e.attribute(err)
		if s.TaskHandlerURL == "" {
			s.TaskHandlerPath = cloudtasks.DefaultHandlerPath
		}
	}
	if e.mode != config.ModeCloudTasks {
		return
	}
	e.piece(ctx, "CLOUD_TASKS_PROJECT", &s.CloudTasksProject, d.Project)
	e.piece(ctx, "CLOUD_TASKS_LOCATION", &s.CloudTasksLocation, d.Location)
	if s.AppEngineTarget && d.Platform() == detect.AppEngine {
		return
	}
	e.piece(ctx, "TASK_HANDLER_URL", &s.TaskHandlerURL, func(ctx context.Context) (detect.Found, error) {
		origin, err := d.HandlerOrigin(ctx)
		origin.Value += s.TaskHandlerPath
		return origin, err
	})
	e.piece(ctx, "OIDC_SERVICE_ACCOUNT_EMAIL", &s.OIDCServiceAccountEmail, func(ctx context.Context) (detect.Found, error) {
		if d.Platform() == detect.AppEngine {
			return d.ServiceAccount(ctx)
		}
		return detect.Found{}, errors.New("it is detected on App Engine only; elsewhere the account must be said")
	})
}

// settingExamples say what a missing setting takes.
var settingExamples = map[string]string{
	"CLOUD_TASKS_PROJECT":        "CLOUD_TASKS_PROJECT=my-project",
	"CLOUD_TASKS_LOCATION":       "CLOUD_TASKS_LOCATION=europe-west1",
	"TASK_HANDLER_URL":           "TASK_HANDLER_URL=https://HOST/tasks/execute/{task_id}/",
	"OIDC_SERVICE_ACCOUNT_EMAIL": "OIDC_SERVICE_ACCOUNT_EMAIL=ACCOUNT@PROJECT.iam.gserviceaccount.com",
}

func (e *examination) piece(ctx context.Context, name string, setting *string, ask func(context.Context) (detect.Found, error)) {
	if *setting != "" {
		return
	}
	found, err := ask(ctx)
	if err == nil {
		*setting, e.detected[name] = found.Value, found.Source
		e.guessed[name] = found.Guessed
		return
	}
	*setting = standIns[name]
	var piece *detect.Error
	if errors.As(err, &piece) {
		err = piece.Err
	}
	var network net.Error
	if e.config.OnPlatform() && (errors.Is(err, context.DeadlineExceeded) || errors.As(err, &network)) {
		e.undecided[name], e.silent = true, err
	}
	e.problems[name] = doctor.Failf("set "+settingExamples[name], "neither given nor detected: %s", err)
}

// judge finds everything that is wrong with the settings, as serve would.
func (e *examination) judge(ctx context.Context) {
	e.attribute(e.blank)
	app, err := e.plan(ctx, true, true)
	if e.app = app; !errors.As(err, &e.setupFailed) {
		e.attribute(err)
	}
	e.attribute(e.config.CheckCallers())
	if e.mode == config.ModeCloudTasks {
		e.substitute()
		e.target, _ = e.config.Target(ctx)
	}
	_, err = e.databaseOpener(opening{unchecked: true})
	e.attribute(err)
	quiet := &App{mode: e.mode, target: e.target, log: slog.New(slog.DiscardHandler)}
	_, err = e.adminAccess(quiet)
	e.attribute(err)
	if e.target != nil {
		_, err = e.verifier(e.target, quiet.log)
		e.attribute(err)
	}
	if e.config.OnPlatform() && strings.HasPrefix(e.config.Settings.DatabaseURL, "sqlite:") {
		e.problems["DATABASE_URL"] = doctor.Failf("set DATABASE_URL=postgres://USER:PASSWORD@HOST/NAME",
			"%s: the disk of %s is not kept, and with it all tasks are lost", e.config.Settings.DatabaseURL, e.detector.Platform())
	}
}

// standIns are values that pass for settings that do not: so what else is wrong
// is found too. No check that would use them is run.
var standIns = map[string]string{
	"CLOUD_TASKS_PROJECT": "missing", "CLOUD_TASKS_LOCATION": "missing",
	"TASK_HANDLER_URL": "https://missing.invalid/{task_id}", "OIDC_SERVICE_ACCOUNT_EMAIL": "missing@missing.invalid",
}

// substitute puts stand-ins in the place of what is wrong about the target.
func (e *examination) substitute() {
	s := e.config.Settings
	for name, setting := range map[string]*string{
		"CLOUD_TASKS_PROJECT": &s.CloudTasksProject, "CLOUD_TASKS_LOCATION": &s.CloudTasksLocation,
		"TASK_HANDLER_URL": &s.TaskHandlerURL, "OIDC_SERVICE_ACCOUNT_EMAIL": &s.OIDCServiceAccountEmail,
	} {
		if _, wrong := e.problems[name]; wrong {
			*setting = standIns[name]
		}
	}
	if _, wrong := e.problems["TASKS_QUEUE_ALIASES"]; wrong {
		s.TasksQueueAliases = nil
	}
	if _, wrong := e.problems["OIDC_AUDIENCE"]; wrong {
		s.OIDCAudience = nil
	}
}

// attribute records each problem of an error under its setting, or other variable.
// The first one of a setting is kept.
func (e *examination) attribute(err error) {
	for _, problem := range config.Problems(err) {
		name, fix := "settings", "see what it says"
		provided, known := e.setting(problem.Setting)
		switch {
		case known:
			name, fix = problem.Setting, "correct "+problem.Setting+" ("+provided.Flag+")"
		case problem.Setting != "":
			name, fix = problem.Setting, "correct "+problem.Setting
		}
		if _, recorded := e.problems[name]; recorded {
			continue
		}
		if !known {
			e.others = append(e.others, name)
		}
		e.problems[name] = doctor.Failf(cmp.Or(problem.Fix, fix), "%s", problem.Detail())
	}
}

// setting returns how a setting was set.
func (e *examination) setting(name string) (config.Provided, bool) {
	for _, p := range e.sources.Provided() {
		if p.Name == name {
			return p, true
		}
	}
	return config.Provided{}, false
}

// settingChecks are a line for each setting that was given or detected, or is
// wrong.
func (e *examination) settingChecks() []doctor.Check {
	var checks []doctor.Check
	for _, g := range e.sources.Provided() {
		found, wrong := e.problems[g.Name]
		if !wrong {
			found = e.settingFinding(g)
		}
		if found.Detail == "" {
			continue
		}
		check := doctor.Check{Name: g.Name, Look: func(context.Context) doctor.Finding { return found }}
		if g.Name == "CLOUD_TASKS_LOCATION" && !wrong && g.Source != "" && e.config.OnPlatform() {
			check.Look = func(ctx context.Context) doctor.Finding { return e.locationFinding(ctx, found) }
		}
		if e.undecided[g.Name] {
			check.Needs = []string{"platform"}
		}
		checks = append(checks, check)
	}
	for _, name := range e.others {
		checks = append(checks, doctor.Check{Name: name, Look: func(context.Context) doctor.Finding { return e.problems[name] }})
	}
	return checks
}

// locationFinding adds to the location of the queues, which was given, that this
// service runs elsewhere: that works, and every delivery goes from one region to
// the other.
func (e *examination) locationFinding(ctx context.Context, found doctor.Finding) doctor.Finding {
	own, err := e.detector.Location(ctx)
	if err == nil && own.Value != e.config.Settings.CloudTasksLocation {
		found.Detail += "; this service runs in " + own.Value + ", so that each delivery goes from region to region"
	}
	return found
}

// checkVariables warns about variables that look like settings.
func (e *examination) checkVariables(context.Context) doctor.Finding {
	var texts, names []string
	for _, m := range e.misspelt {
		texts, names = append(texts, m.String()), append(names, m.Name)
	}
	if len(texts) == 0 {
		return doctor.Okf("no variable looks like a misspelt setting")
	}
	return doctor.Warnf("correct or unset "+strings.Join(names, ", "), "%s", strings.Join(texts, "; "))
}

// settingFinding says what a setting that is right is, and where that came from;
// empty if nobody set it.
func (e *examination) settingFinding(g config.Provided) doctor.Finding {
	value, source := g.Value, g.Source
	switch {
	case g.Name == "TASKS_MODE" && e.config.Settings.TasksMode == config.ModeAuto:
		value, source = e.mode, "auto: neither Cloud Run nor App Engine, and no emulator"
		if e.config.OnPlatform() {
			source = "auto: " + e.detector.Platform().String()
		} else if e.mode == config.ModeCloudTasks {
			source = "auto: an emulator is named"
		}
	case g.Name == "DATABASE_URL":
		if source == "" {
			source = "default"
		}
		rawURL, _ := e.config.DatabaseURL()
		value = stores.Describe(rawURL)
	case e.detected[g.Name] != "":
		source = e.detected[g.Name]
		value = e.detectedValue(g.Name)
		if e.guessed[g.Name] {
			return doctor.Warnf(guessMends[g.Name], "%s (guessed from %s)", value, source)
		}
	case source == "":
		return doctor.Finding{}
	case g.Secret != "" && g.Name != "WEBHOOK_SECRET" && len(strings.TrimSpace(g.Secret)) < strongSecret:
		return doctor.Warnf(g.Name+"=$(openssl rand -hex 32)", "%s (%s): short enough to be guessed", value, source)
	}
	return doctor.Okf("%s (%s)", value, source)
}

// guessMends say how to replace a guess by what is so.
var guessMends = map[string]string{
	"TASK_HANDLER_URL":           "set TASK_HANDLER_URL=https://HOST/tasks/execute/{task_id}/ with the host that `gcloud app describe --format='value(defaultHostname)'` prints: those of applications made since February 2020 carry REGION_ID.r",
	"OIDC_SERVICE_ACCOUNT_EMAIL": "set OIDC_SERVICE_ACCOUNT_EMAIL to the account that the version runs as: `gcloud app versions describe VERSION --service=SERVICE --format='value(serviceAccount)'`",
}

func (e *examination) detectedValue(name string) string {
	switch name {
	case "CLOUD_TASKS_PROJECT":
		return e.config.Settings.CloudTasksProject
	case "CLOUD_TASKS_LOCATION":
		return e.config.Settings.CloudTasksLocation
	case "TASK_HANDLER_URL":
		return e.config.Settings.TaskHandlerURL
	}
	return e.config.Settings.OIDCServiceAccountEmail
}
