package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/claimcheck-go/claimcheck/oidc"
	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/admin"
	"github.com/claimcheck-go/claimcheck/server/httpapi"
	"github.com/claimcheck-go/claimcheck/server/internal/config"
	"github.com/claimcheck-go/claimcheck/server/internal/lang"
	"github.com/claimcheck-go/claimcheck/server/internal/site"
	"github.com/claimcheck-go/claimcheck/server/internal/stores"
	"github.com/claimcheck-go/claimcheck/server/telemetry"
)

// cloudSweepInterval is how often a scheduler should call /tasks/sweep/.
const cloudSweepInterval = time.Minute

// adminPages is the handler of /admin/.
func (p *program) adminPages(app *App, access admin.Access) (http.Handler, error) {
	cfg := admin.Config{
		Client: app.client, Access: access, Logger: app.log, Mode: app.mode, Version: p.build().Version, CheckSchema: func(ctx context.Context) error { return stores.CheckSchema(ctx, app.db) },
		Dispatches: app.mode != config.ModePull,
		Remedies: admin.Remedies{
			Login:       lang.Provide(lang.M("It is the value of %s or %s.", "ADMIN_TOKEN", "ADMIN_READONLY_TOKEN")),
			Schema:      lang.Provide(lang.M("Run: %s", p.name+" migrate")),
			Connections: lang.Provide(lang.M("%s allows more.", "DB_MAX_CONNS")),
			Sweeper:     p.sweeperRemedy(),
		},
		Brand:  admin.Brand{Name: p.config.Settings.AdminBrand, URL: p.config.Settings.AdminBrandURL},
		Prefix: p.own.AdminPrefix, ProxyPrefix: p.config.Settings.AdminProxyPrefix, ForwardedPrefix: p.config.Settings.AdminForwardedPrefix,
		SweepEvery: p.sweepsExpected(app.mode), EnqueueCommand: p.name + " enqueue", API: "/tasks", APIToken: !app.open,
		Redact: p.redacts(), Timeout: p.config.DefaultTimeout(app.mode),
	}
	if app.mode == config.ModeCloudTasks {
		cfg.Links = func(row *queue.Row) []admin.Link { return links(app.target, row) }
	}
	return admin.New(cfg)
}

// redacts returns which tasks' arguments are hidden, nil if those of none are.
func (p *program) redacts() func(task string) bool {
	tasks := p.config.Settings.AdminRedact
	if len(tasks) == 0 {
		return nil
	}
	return func(task string) bool { return slices.Contains(tasks, task) }
}

// sweepsExpected is the interval at which sweeps are expected; 0: none are.
func (p *program) sweepsExpected(mode string) time.Duration {
	switch mode {
	case config.ModeLocal:
		return p.config.Settings.TasksSweepInterval
	case config.ModeCloudTasks:
		return cloudSweepInterval
	}
	return 0
}

func (p *program) sweeperRemedy() string {
	return lang.Provide(lang.M("Check the schedule that calls %s, or run: %s", "/tasks/sweep/", p.name+" sweep"))
}

// links lead to what Google Cloud's console knows of a task.
func links(t *config.Target, row *queue.Row) []admin.Link {
	project := "?project=" + url.QueryEscape(t.Tasks.Project)
	query := url.PathEscape(fmt.Sprintf(`jsonPayload.task_id="%s"`, row.ID))
	links := []admin.Link{{Name: "Cloud Logging", URL: "https://console.cloud.google.com/logs/query;query=" + query + ";duration=P7D" + project}}
	if id := telemetry.TraceID(row); id != "" {
		links = append(links, admin.Link{Name: "Cloud Trace", URL: "https://console.cloud.google.com/traces/list" + project + "&tid=" + id})
	}
	if id, err := t.Tasks.QueueID(row.Queue, row.ID); err == nil {
		links = append(links, admin.Link{Name: "Cloud Tasks queue " + id,
			URL: "https://console.cloud.google.com/cloudtasks/queue/" + url.PathEscape(t.Tasks.Location) + "/" + url.PathEscape(id) + "/tasks" + project})
	}
	return links
}

// checkAdmin checks what configures the pages, besides who may open them.
func (p *program) checkAdmin() error {
	if err := site.CheckPrefix(p.own.AdminPrefix); err != nil {
		return usagef("Config.AdminPrefix %s", err)
	}
	if first, _, _ := strings.Cut(strings.Trim(p.own.AdminPrefix, "/"), "/"); p.own.AdminPrefix != "" && slices.Contains([]string{"", "tasks", "health", "metrics"}, first) {
		return usagef("Config.AdminPrefix must not be %q: other parts of the server answer there", p.own.AdminPrefix)
	}
	s := p.config.Settings
	var problems []error
	check := func(setting string, err error) {
		if err != nil {
			problems = append(problems, config.Problemf(setting, "%s", err))
		}
	}
	check("ADMIN_PROXY_PREFIX", site.CheckPrefix(s.AdminProxyPrefix))
	check("ADMIN_BRAND", site.CheckBrand(s.AdminBrand))
	check("ADMIN_BRAND_URL", site.CheckBrandURL(s.AdminBrandURL))
	return errors.Join(problems...)
}

// adminAccess decides who may open /admin/: the program's own access, or else any of
// the ways that the settings configure. Without any the pages are open to this machine
// in local mode while /tasks/* is, and closed otherwise.
func (p *program) adminAccess(app *App) (admin.Access, error) {
	if p.own.AdminAccess != nil {
		return p.own.AdminAccess, nil
	}
	s := p.config.Settings
	token := secret(app.log, "ADMIN_TOKEN", s.AdminToken)
	readOnly := secret(app.log, "ADMIN_READONLY_TOKEN", s.AdminReadonlyToken)
	if token != "" && token == readOnly {
		return nil, config.Problemf("ADMIN_TOKEN", "and ADMIN_READONLY_TOKEN must differ")
	}
	if err := config.CheckNamed("IAP_AUDIENCE", s.IAPAudience, "audiences such as /projects/123/locations/europe-west1/services/admin"); err != nil {
		return nil, err
	}
	var ways []admin.Access
	if audiences := config.NonEmpty(s.IAPAudience); len(audiences) > 0 {
		proxy, err := oidc.NewIAP(oidc.IAPConfig{Audiences: audiences, Logger: app.log})
		if err != nil {
			return nil, config.FromFields(err)
		}
		ways = append(ways, iapAccess{proxy})
	}
	if token != "" || readOnly != "" {
		ways = append(ways, admin.Tokens(token, readOnly, admin.ClientAddress(p.clientAddress())))
	}
	if len(ways) > 0 {
		return admin.FirstOf(ways...), nil
	}
	if app.open && app.mode == config.ModeLocal {
		return localAccess{}, nil
	}
	return admin.Closed("the admin pages are closed: set ADMIN_TOKEN, ADMIN_READONLY_TOKEN or IAP_AUDIENCE"), nil
}

// iapAccess lets in whom Identity-Aware Proxy names.
type iapAccess struct{ *oidc.IAP }

func (a iapAccess) Identify(r *http.Request) (admin.Person, error) {
	who, err := a.IAP.Identify(r)
	if err != nil {
		return admin.Person{}, err
	}
	return admin.Person{Name: cmp.Or(who.Email, who.Subject)}, nil
}

// localAccess lets in everybody on this machine. A page of another site may link
// here, which changes nothing, and do no more.
type localAccess struct{}

var errNotLocal = errors.New("without ADMIN_TOKEN only requests from this machine are accepted")

func (localAccess) Identify(r *http.Request) (admin.Person, error) {
	linked := r.Method == http.MethodGet && r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document"
	if linked {
		r = r.Clone(r.Context())
		r.Header.Del("Sec-Fetch-Site")
		r.Header.Del("Origin")
	}
	if err := httpapi.LoopbackOnly().Authenticate(r); err != nil {
		return admin.Person{}, fmt.Errorf("%w (%w)", errNotLocal, err)
	}
	return admin.Person{Name: "local"}, nil
}
