package main

import (
	"log/slog"
	"net"
	"strings"

	"github.com/claimcheck-go/claimcheck/detect"
	"github.com/claimcheck-go/claimcheck/oidc"
	"github.com/claimcheck-go/claimcheck/queue/httpapi"
)

// strongSecret is the length below which a shared secret is warned about.
const strongSecret = 16

// authenticator is who may call /tasks/*. Every way that is configured is open;
// with none, only a local server on loopback serves at all.
func (p *program) authenticator(parts *parts, listen string) (httpapi.Authenticator, error) {
	t := parts.target
	token, err := secret(parts.log, "TASK_API_TOKEN", p.settings.TaskAPIToken)
	if err != nil {
		return nil, err
	}
	hmacSecret, err := secret(parts.log, "TASK_HMAC_SECRET", p.settings.TaskHMACSecret)
	if err != nil {
		return nil, err
	}
	var ways []httpapi.Authenticator
	verifier, err := p.verifier(t, parts.log)
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
		ways = append(ways, httpapi.HMAC(hmacSecret, int64(p.settings.TasksMaxBody)))
	}
	if t != nil && t.config.AppEngine != nil && p.detector().Platform() == detect.AppEngine {
		ways = append(ways, httpapi.AppEngineQueue())
	}
	if len(ways) > 0 {
		return httpapi.AnyOf(ways...), nil
	}
	host, _, err := net.SplitHostPort(listen)
	if parts.mode == modeLocal && err == nil && httpapi.IsLoopback(host) {
		return httpapi.LoopbackOnly(), nil
	}
	return nil, usagef("refusing to start: nothing says who may call /tasks/* on %s. "+
		"Set TASK_API_TOKEN or TASK_HMAC_SECRET, or OIDC_SERVICE_ACCOUNT_EMAIL with OIDC_AUDIENCE; or listen on 127.0.0.1 in local mode", listen)
}

// secret is a shared secret without the white space around it, since files of
// secrets end in a line break. A blank one is refused: whoever set it does not
// mean that everybody may call.
func secret(log *slog.Logger, name, value string) (string, error) {
	trimmed := strings.TrimSpace(value)
	switch {
	case value != "" && trimmed == "":
		return "", usagef("%s is blank: set a secret of 32 random characters, or unset it", name)
	case trimmed != "" && len(trimmed) < strongSecret:
		log.Warn(name+" is short enough to be guessed; use 32 random characters", "length", len(trimmed))
	}
	return trimmed, nil
}

// routeAuth is who may call the routes that differ from the others: App Engine's
// cron service has no token, but a header that nobody else can send there.
func (p *program) routeAuth(auth httpapi.Authenticator) map[string]httpapi.Authenticator {
	if p.detector().Platform() != detect.AppEngine {
		return nil
	}
	cron := httpapi.AnyOf(auth, httpapi.AppEngineCron())
	return map[string]httpapi.Authenticator{"purge": cron, "sweep": cron}
}

// verifier accepts OIDC tokens; nil when no account is configured.
func (p *program) verifier(t *target, log *slog.Logger) (*oidc.Verifier, error) {
	s := p.settings
	if err := p.checkCallers(); err != nil {
		return nil, err
	}
	if err := p.checkTrustPlatform(); err != nil {
		return nil, err
	}
	audiences, emails := p.audiences(s.TaskHandlerURL), p.emails(s.OIDCServiceAccountEmail)
	if t != nil {
		audiences, emails = t.audience, t.emails
	}
	if len(emails) == 0 {
		return nil, nil
	}
	if len(audiences) == 0 {
		return nil, usagef("OIDC_AUDIENCE is required with OIDC_SERVICE_ACCOUNT_EMAIL or OIDC_ALLOWED_EMAILS: the URL that callers get their tokens for")
	}
	verifier, err := oidc.New(oidc.Config{
		Audiences: audiences, Emails: emails, TrustPlatform: s.OIDCTrustPlatform,
		Issuer: s.OIDCIssuer, CertsURL: s.OIDCCertsURL, Logger: log,
	})
	if err != nil {
		return nil, usagef("OIDC settings: %w", err)
	}
	return verifier, nil
}
