package admin_test

import (
	"strings"
	"testing"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/admin"
)

func TestTheFootShowsTheVersionToThoseWhoAreAdmitted(t *testing.T) {
	versioned := func(cfg *admin.Config, _ *queue.Config) { cfg.Version = "v1.2.3" }
	if body := newSite(t, versioned).get("/").Body.String(); !strings.Contains(body, "Version: v1.2.3.") {
		t.Errorf("the overview has no version:\n%s", body)
	}
	closed := newSite(t, func(cfg *admin.Config, q *queue.Config) {
		versioned(cfg, q)
		cfg.Access = admin.Tokens("a-secret-of-admins", "")
	})
	if body := closed.get("/").Body.String(); !strings.Contains(body, "<footer>") || strings.Contains(body, "v1.2.3") {
		t.Errorf("the login form:\n%s", body)
	}
}
