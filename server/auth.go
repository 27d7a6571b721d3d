package server

import (
	"log/slog"
	"net"

	"github.com/claimcheck-go/claimcheck/detect"
	"github.com/claimcheck-go/claimcheck/internal/loopback"
	"github.com/claimcheck-go/claimcheck/oidc"
	"github.com/claimcheck-go/claimcheck/server/httpapi"
	"github.com/claimcheck-go/claimcheck/server/internal/config"
)

// authenticator decides who may call /tasks/*: callers that a setting or the program's
// own TasksAuth admits. With neither, serve starts only in local mode on loopback, and
// the handlers of Open, whose listen is empty, admit only this machine.
func (p *program) authenticator(app *App, listen string) (httpapi.Authenticator, error) {
	t := app.target
	token := secret(app.log, "TASK_API_TOKEN", p.config.Settings.TaskAPIToken)
	hmacSecret := secret(app.log, "TASK_HMAC_SECRET", p.config.Settings.TaskHMACSecret)
	var ways []httpapi.Authenticator
	verifier, err := p.verifier(t, app.log)
	if err != nil {
		return nil, err
	}
	if verifier != nil {
		ways = append(ways, verifier)
	}
	if token != "" {
		ways = append(ways, httpapi.BearerToken(token))
	}
	if hmacSecret != "" {
		ways = append(ways, httpapi.HMAC(hmacSecret, p.config.Settings.TasksMaxBody))
	}
	if t != nil && t.Tasks.AppEngine != nil && p.config.Detector().Platform() == detect.AppEngine {
		ways = append(ways, httpapi.AppEngineQueue())
	}
	if p.own.TasksAuth != nil {
		ways = append(ways, p.own.TasksAuth)
	}
	if len(ways) > 0 {
		return httpapi.AnyOf(ways...), nil
	}
	if listen == "" { // Open does not know where its handlers listen
		return httpapi.LoopbackOnly(), nil
	}
	host, _, err := net.SplitHostPort(listen)
	if app.mode == config.ModeLocal && err == nil && loopback.Host(host) {
		return httpapi.LoopbackOnly(), nil
	}
	return nil, usagef("refusing to start: nothing says who may call /tasks/* on %s. "+
		"Set TASK_API_TOKEN or TASK_HMAC_SECRET, or OIDC_SERVICE_ACCOUNT_EMAIL with OIDC_AUDIENCE; or listen on 127.0.0.1 in local mode", listen)
}

// secret is a shared secret; one that is short enough to be guessed is warned
// about.
func secret(log *slog.Logger, name, value string) string {
	if value != "" && len(value) < config.StrongSecret {
		log.Warn(name+" is short enough to be guessed; use 32 random characters", "length", len(value))
	}
	return value
}

// routeAuth is who may call the routes that differ from the others: App Engine's
// cron service has no token, but a header that only App Engine can set there.
func (p *program) routeAuth(auth httpapi.Authenticator) map[string]httpapi.Authenticator {
	if p.config.Detector().Platform() != detect.AppEngine {
		return nil
	}
	cron := httpapi.AnyOf(auth, httpapi.AppEngineCron())
	return map[string]httpapi.Authenticator{"purge": cron, "sweep": cron, "tick": cron}
}

// verifier accepts OIDC tokens; nil when no account is configured.
func (p *program) verifier(t *config.Target, log *slog.Logger) (*oidc.Verifier, error) {
	s := p.config.Settings
	if err := p.config.CheckCallers(); err != nil {
		return nil, err
	}
	if err := p.config.CheckTrustPlatform(); err != nil {
		return nil, err
	}
	audiences, emails := p.config.AudiencesFor(s.TaskHandlerURL), p.config.EmailsWith(s.OIDCServiceAccountEmail)
	if t != nil {
		audiences, emails = t.Audiences, t.Emails
	}
	if len(emails) == 0 {
		return nil, nil
	}
	if len(audiences) == 0 {
		return nil, config.Problemf("OIDC_AUDIENCE", "is required with OIDC_SERVICE_ACCOUNT_EMAIL or OIDC_ALLOWED_EMAILS: the URL that callers get their tokens for")
	}
	verifier, err := oidc.New(oidc.Config{
		Audiences: audiences, Emails: emails, TrustPlatform: s.OIDCTrustPlatform,
		Issuer: s.OIDCIssuer, CertsURL: s.OIDCCertsURL, Logger: log,
	})
	if err != nil {
		return nil, config.FromFields(err)
	}
	return verifier, nil
}
