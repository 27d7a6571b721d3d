package httpapi_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/httpapi"
)

// coded refuses every request as its fields say.
type coded struct {
	status int
	text   string
}

func (c coded) Error() string                    { return c.text }
func (c coded) HTTPStatus() int                  { return c.status }
func (c coded) Authenticate(*http.Request) error { return c }

// A refused delivery is in the log, as it was answered, at most once a minute for
// each text; the credential is not.
func TestRefusedDeliveriesAreLogged(t *testing.T) {
	const execute = "/tasks/execute/0198c0de-0000-7000-8000-000000000001/"
	for _, c := range []struct {
		name, method, path string
		auth               httpapi.Authenticator
		headers            []string
		want               string // "" for no line
	}{
		{"a wrong token", "POST", execute, httpapi.BearerToken("right"), []string{"Authorization", "Bearer topsecret"},
			`level=WARN msg="request refused" route=/tasks/execute/{task_id}/ status=401 error="the bearer token is not accepted" suppressed=0`},
		{"a delivery without a token", "POST", execute, httpapi.BearerToken("right"), nil, "status=401"},
		{"another account", "POST", execute, coded{403, "this account may not call"}, nil, `status=403 error="this account may not call"`},
		{"no keys", "POST", execute, coded{503, "no keys"}, nil, `status=503 error="no keys"`},
		{"a delivery at the path of the handler's URL", "POST", "/run/0198c0de-0000-7000-8000-000000000001", coded{403, "no"}, nil, "route=/tasks/execute/{task_id}/ status=403"},
		{"a program with a wrong token", "GET", "/tasks/status/", httpapi.BearerToken("right"), []string{"Authorization", "Bearer topsecret"}, "route=/tasks/status/ status=401"},
		{"a program with a wrong signature", "GET", "/tasks/status/", coded{401, "no"}, []string{httpapi.SignatureHeader, "topsecret"}, "route=/tasks/status/ status=401"},
		{"another path with a token", "GET", "/tasks/topsecret/", coded{401, "no"}, []string{"Authorization", "Bearer topsecret"}, "route=other status=401"},
		{"a scan", "GET", "/tasks/status/", httpapi.BearerToken("right"), nil, ""},
		{"a scan of other paths", "GET", "/tasks/nothing/", httpapi.BearerToken("right"), nil, ""},
	} {
		var log bytes.Buffer
		a := newAPI(t, func(cfg *httpapi.Config, _ *queue.Config) {
			cfg.Auth, cfg.ExecutePath = c.auth, "/run/{task_id}"
			cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
		})
		for range 50 {
			if answer := a.do(c.method, c.path, "", c.headers...); answer.status < 400 {
				t.Errorf("%s: status %d", c.name, answer.status)
			}
		}
		lines := 1
		if c.want == "" {
			lines = 0
		}
		if text := log.String(); strings.Count(text, "\n") != lines || !strings.Contains(text, c.want) || strings.Contains(text, "topsecret") {
			t.Errorf("%s: the log is not %q:\n%s", c.name, c.want, text)
		}
	}
}
