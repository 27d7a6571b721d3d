package server

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/claimcheck-go/claimcheck/detect"
	"github.com/claimcheck-go/claimcheck/oidc"
	"github.com/claimcheck-go/claimcheck/server/internal/config"
	"github.com/claimcheck-go/claimcheck/server/internal/doctor"
)

// checkPlatform says where this is, and whether the metadata server answers.
func (e *examination) checkPlatform(context.Context) doctor.Finding {
	platform := e.detector.Platform()
	where := platform.String()
	switch platform {
	case detect.None:
		return doctor.Okf("neither Cloud Run nor App Engine")
	case detect.AppEngine:
		where += fmt.Sprintf(" service %s, version %s", e.config.Env.Get("GAE_SERVICE"), e.config.Env.Get("GAE_VERSION"))
	case detect.CloudRunService:
		where += fmt.Sprintf(" %s, revision %s", e.config.Env.Get("K_SERVICE"), e.config.Env.Get("K_REVISION"))
	}
	if e.silent == nil {
		return doctor.Okf("%s", where)
	}
	var missing []string
	for _, g := range e.sources.Provided() {
		if e.undecided[g.Name] {
			missing = append(missing, settingExamples[g.Name])
		}
	}
	return doctor.Failf("set "+strings.Join(missing, " "), "%s, whose metadata server does not answer: %s", where, e.silent)
}

// checkAccess says who may call /tasks/*.
func (e *examination) checkAccess(context.Context) doctor.Finding {
	listen := (&serveCmd{}).listen(e.program)
	_, err := e.authenticator(&App{mode: e.mode, target: e.target, log: slog.New(slog.DiscardHandler)}, listen)
	if trust := e.config.CheckTrustPlatform(); trust != nil {
		return doctor.Failf("unset OIDC_TRUST_PLATFORM", "%s", trust)
	}
	if err != nil && e.mode == config.ModePull {
		return doctor.Warnf("TASK_API_TOKEN=$(openssl rand -hex 32)", "serve refuses to start, since nothing says who may call /tasks/*; work needs nobody")
	}
	if err != nil {
		return doctor.Failf("TASK_API_TOKEN=$(openssl rand -hex 32)", "%s", err)
	}
	var ways []string
	if emails := e.callers(); len(emails) > 0 {
		ways = append(ways, "OIDC tokens of "+strings.Join(emails, ", "))
	}
	if e.config.Settings.TaskAPIToken != "" {
		ways = append(ways, "who has TASK_API_TOKEN")
	}
	if e.config.Settings.TaskHMACSecret != "" {
		ways = append(ways, "who signs with TASK_HMAC_SECRET")
	}
	if e.target != nil && e.target.Tasks.AppEngine != nil {
		ways = append(ways, "App Engine's queues")
	}
	if len(ways) == 0 {
		return doctor.Okf("/tasks/* is open to programs on this machine, and closed to all others")
	}
	return doctor.Okf("/tasks/* is open to %s", strings.Join(ways, "; "))
}

// callers are the accounts whose tokens are accepted.
func (e *examination) callers() []string {
	if e.target != nil {
		return e.target.Emails
	}
	return e.config.EmailsWith(e.config.Settings.OIDCServiceAccountEmail)
}

// checkIdentity says who this process is.
func (e *examination) checkIdentity(context.Context) doctor.Finding {
	switch {
	case e.config.Settings.CloudTasksEmulatorHost != "":
		return doctor.Okf("none: an emulator asks for no credentials")
	case e.runsAs != "":
		return doctor.Okf("runs as %s; deliveries are signed as %s", e.runsAs, e.signer())
	case e.detector.Platform().IsCloudRun():
		return doctor.Okf("runs as an account that the metadata server does not tell; deliveries are signed as %s", e.signer())
	case e.detector.Platform() == detect.AppEngine:
		return doctor.Okf("runs as the application's account; deliveries are signed as %s", e.signer())
	}
	return doctor.Okf("the credentials found here (Application Default Credentials), not those of the service: what they may do is not what it may; deliveries are signed as %s", e.signer())
}

func (e *examination) signer() string {
	if e.target.Tasks.AppEngine != nil {
		return "App Engine"
	}
	return e.target.Tasks.ServiceAccountEmail
}

// checkKeys fetches what tokens are verified with.
func (e *examination) checkKeys(ctx context.Context) doctor.Finding {
	verifier, err := e.doctorVerifier()
	if err != nil {
		return doctor.Failf("", "%s", err)
	}
	url, keys, err := verifier.CheckKeys(ctx)
	if err != nil {
		return doctor.Failf("let this network reach "+url+"; without the keys every delivery is answered 503", "%s: %s", url, err)
	}
	return doctor.Okf("%d at %s", keys, url)
}

// doctorVerifier is that of the settings, over the doctor's own way out.
func (e *examination) doctorVerifier() (*oidc.Verifier, error) {
	audiences := e.config.AudiencesFor(e.config.Settings.TaskHandlerURL)
	if e.target != nil {
		audiences = e.target.Audiences
	}
	return oidc.New(oidc.Config{
		Audiences: audiences, Emails: e.callers(), Issuer: e.config.Settings.OIDCIssuer, CertsURL: e.config.Settings.OIDCCertsURL,
		HTTPClient: e.http, Logger: slog.New(slog.DiscardHandler),
	})
}
