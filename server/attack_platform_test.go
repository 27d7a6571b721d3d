package server

import (
	"strings"
	"testing"

	"github.com/claimcheck-go/claimcheck/server/internal/config"
	"github.com/claimcheck-go/claimcheck/server/internal/doctor"
)

// Anywhere but behind Cloud Run's IAM, a token without a signature is one that
// its sender wrote: the setting that accepts those is refused, whatever else is set.
func TestThePlatformIsTrustedOnCloudRunOnly(t *testing.T) {
	callers := map[string]string{
		"OIDC_TRUST_PLATFORM": "true", "OIDC_AUDIENCE": attackAudience, "OIDC_SERVICE_ACCOUNT_EMAIL": procAccount,
	}
	appEngine := map[string]string{
		"GAE_APPLICATION": "s~acme", "GAE_ENV": "standard", "GAE_SERVICE": "default", "GAE_VERSION": "1", "GAE_INSTANCE": "x",
		"GCE_METADATA_HOST": "127.0.0.1:1", "DATABASE_URL": "postgres://u@127.0.0.1:1/d", "TASKS_MODE": "pull",
	}
	for where, env := range map[string]map[string]string{
		"local":                {"OIDC_TRUST_PLATFORM": "true"},
		"local with callers":   callers,
		"pull":                 {"TASKS_MODE": "pull", "TASK_API_TOKEN": attackToken},
		"App Engine":           appEngine,
		"Cloud Run job":        {"CLOUD_RUN_JOB": "j", "CLOUD_RUN_EXECUTION": "j-1", "TASKS_MODE": "pull", "DATABASE_URL": "postgres://u@127.0.0.1:1/d"},
		"a machine of its own": {"TASKS_MODE": "pull", "PORT": "8080", "GOOGLE_CLOUD_PROJECT": "p"},
	} {
		t.Run(where, func(t *testing.T) {
			c := newCLI(t)
			for _, more := range []map[string]string{callers, env} {
				for name, value := range more {
					c.env[name] = value
				}
			}
			status, _, stderr := c.call("", "serve", "--listen=127.0.0.1:0")
			if status != 2 || !strings.Contains(stderr, "OIDC_TRUST_PLATFORM=true is accepted on Cloud Run services only") || strings.Count(stderr, "\n") != 1 {
				t.Errorf("%d %s", status, stderr)
			}
		})
	}
	cloudRun := &config.Config{
		Settings: &config.Settings{OIDCTrustPlatform: true},
		Env:      config.Environment{"K_SERVICE": "api", "K_REVISION": "api-1", "K_CONFIGURATION": "api"},
	}
	if err := cloudRun.CheckTrustPlatform(); err != nil {
		t.Errorf("on Cloud Run: %v", err)
	}
}

func TestDoctorNamesTrustOffThePlatform(t *testing.T) {
	p := newTarget(t)
	p.env["OIDC_TRUST_PLATFORM"] = "true"
	text := ""
	for _, r := range p.diagnose() {
		if line := doctorLine(r); r.Status == doctor.Fail {
			text += line + "\n"
		}
	}
	if !strings.Contains(text, "unset OIDC_TRUST_PLATFORM") {
		t.Errorf("doctor fails with:\n%s", text)
	}
}
