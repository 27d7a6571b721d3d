package main

import (
	"net"

	"github.com/claimcheck-go/claimcheck/detect"
	"github.com/claimcheck-go/claimcheck/oidc"
	"github.com/claimcheck-go/claimcheck/queue/httpapi"
)

// strongSecret is the length below which a shared secret is warned about.
const strongSecret = 16

// authenticator is who may call /tasks/*. Every way that is configured is open;
// with none, only a local server on loopback serves at all.
func (p *program) authenticator(parts *parts, listen string) (httpapi.Authenticator, error) {
	s, t := p.settings, parts.target
	var ways []httpapi.Authenticator
	verifier, err := p.verifier(t)
	if err != nil {
		return nil, err
	}
	if verifier != nil {
		ways = append(ways, verifier)
	}
	if s.TaskAPIToken != "" {
		if len(s.TaskAPIToken) < strongSecret {
			parts.log.Warn("TASK_API_TOKEN is short enough to be guessed; use 32 random characters", "length", len(s.TaskAPIToken))
		}
		ways = append(ways, httpapi.BearerToken(s.TaskAPIToken))
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
		"Set TASK_API_TOKEN, or OIDC_SERVICE_ACCOUNT_EMAIL with OIDC_AUDIENCE; or listen on 127.0.0.1 in local mode", listen)
}

// verifier accepts OIDC tokens; nil when no account is configured.
func (p *program) verifier(t *target) (*oidc.Verifier, error) {
	s := p.settings
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
		Issuer: s.OIDCIssuer, CertsURL: s.OIDCCertsURL,
	})
	if err != nil {
		return nil, usagef("OIDC settings: %w", err)
	}
	return verifier, nil
}
