package doctor

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/claimcheck-go/claimcheck/detect"
	"github.com/claimcheck-go/claimcheck/oidc"
	"github.com/claimcheck-go/claimcheck/server/internal/config"
)

// checkPlatform reports the platform, and whether its metadata server answers.
func (d *Diagnosis) checkPlatform(context.Context) Finding {
	platform := d.detector.Platform()
	where := platform.String()
	switch platform {
	case detect.None:
		return Okf("neither Cloud Run nor App Engine")
	case detect.AppEngine:
		where += fmt.Sprintf(" service %s, version %s", d.config.Env.Get("GAE_SERVICE"), d.config.Env.Get("GAE_VERSION"))
	case detect.CloudRunService:
		where += fmt.Sprintf(" %s, revision %s", d.config.Env.Get("K_SERVICE"), d.config.Env.Get("K_REVISION"))
	}
	if d.metadata == nil {
		return Okf("%s", where)
	}
	var missing []string
	for _, p := range d.Sources.Provided() {
		if d.undecided[p.Name] {
			missing = append(missing, settingExamples[p.Name])
		}
	}
	return Failf("set "+strings.Join(missing, " "), "%s, whose metadata server does not answer: %s", where, d.metadata)
}

// checkAccess reports who may call /tasks/*.
func (d *Diagnosis) checkAccess(context.Context) Finding {
	err := d.Authenticate(d.config, d.target)
	if trust := d.config.CheckTrustPlatform(); trust != nil {
		return Failf("unset OIDC_TRUST_PLATFORM", "%s", trust)
	}
	if err != nil && d.mode == config.ModePull {
		return Warnf("TASK_API_TOKEN=$(openssl rand -hex 32)", "serve refuses to start, since nothing says who may call /tasks/*; work has no callers")
	}
	if err != nil {
		return Failf("TASK_API_TOKEN=$(openssl rand -hex 32)", "%s", err)
	}
	var ways []string
	if emails := d.callers(); len(emails) > 0 {
		ways = append(ways, "OIDC tokens of "+strings.Join(emails, ", "))
	}
	if d.config.Settings.TaskAPIToken != "" {
		ways = append(ways, "callers with TASK_API_TOKEN")
	}
	if d.config.Settings.TaskHMACSecret != "" {
		ways = append(ways, "callers that sign with TASK_HMAC_SECRET")
	}
	if d.target != nil && d.target.Tasks.AppEngine != nil {
		ways = append(ways, "App Engine's queues")
	}
	if len(ways) == 0 {
		return Okf("/tasks/* is open to programs on this machine, and closed to all other callers")
	}
	return Okf("/tasks/* is open to %s", strings.Join(ways, "; "))
}

// callers are the accounts whose tokens are accepted.
func (d *Diagnosis) callers() []string {
	if d.target != nil {
		return d.target.Emails
	}
	return d.config.EmailsWith(d.config.Settings.OIDCServiceAccountEmail)
}

// checkIdentity reports the account of this process.
func (d *Diagnosis) checkIdentity(context.Context) Finding {
	switch {
	case d.config.Settings.CloudTasksEmulatorHost != "":
		return Okf("none: an emulator requires no credentials")
	case d.runsAs != "":
		return Okf("runs as %s; deliveries are signed as %s", d.runsAs, d.signer())
	case d.detector.Platform().IsCloudRun():
		return Okf("runs as an account that the metadata server does not name; deliveries are signed as %s", d.signer())
	case d.detector.Platform() == detect.AppEngine:
		return Okf("runs as the application's account; deliveries are signed as %s", d.signer())
	}
	return Okf("the credentials found here (Application Default Credentials), not those of the service: what they may do is not what it may; deliveries are signed as %s", d.signer())
}

func (d *Diagnosis) signer() string {
	if d.target.Tasks.AppEngine != nil {
		return "App Engine"
	}
	return d.target.Tasks.ServiceAccountEmail
}

// checkKeys fetches the keys that verify tokens.
func (d *Diagnosis) checkKeys(ctx context.Context) Finding {
	verifier, err := d.verifier()
	if err != nil {
		return Failf("", "%s", err)
	}
	url, keys, err := verifier.CheckKeys(ctx)
	if err != nil {
		return Failf("let this network reach "+url+"; without the keys every delivery is answered 503", "%s: %s", url, err)
	}
	return Okf("%d at %s", keys, url)
}

// verifier returns the verifier of the settings, with the transport of d.
func (d *Diagnosis) verifier() (*oidc.Verifier, error) {
	audiences := d.config.AudiencesFor(d.config.Settings.TaskHandlerURL)
	if d.target != nil {
		audiences = d.target.Audiences
	}
	return oidc.New(oidc.Config{
		Audiences: audiences, Emails: d.callers(), Issuer: d.config.Settings.OIDCIssuer, CertsURL: d.config.Settings.OIDCCertsURL,
		HTTPClient: d.http, Logger: slog.New(slog.DiscardHandler),
	})
}
