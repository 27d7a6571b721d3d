package server

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/claimcheck-go/claimcheck/detect"
	"github.com/claimcheck-go/claimcheck/server/admin"
	"github.com/claimcheck-go/claimcheck/server/httpapi"
	"github.com/claimcheck-go/claimcheck/server/internal/api"
	"github.com/claimcheck-go/claimcheck/server/internal/config"
	"github.com/claimcheck-go/claimcheck/server/telemetry"
)

// makeHandlers makes everything that the server answers.
func (p *program) makeHandlers(app *App, auth httpapi.Authenticator, access admin.Access) error {
	cfg := httpapi.Config{
		Client: app.client, Executor: app.executor, Auth: auth, RouteAuth: p.routeAuth(auth), Logger: app.log,
		RequestTimeout: p.config.RequestTimeout(),
		ExecutePath:    p.config.ExecutePath(), MaxBody: p.config.Settings.TasksMaxBody,
		Redact: p.redacts(),
	}
	if p.config.Detector().Platform() == detect.AppEngine {
		cfg.BusyStatus = http.StatusServiceUnavailable
	}
	switch {
	case app.observer != nil:
		cfg.Around = app.observer.Around
	case p.config.LogsJSON():
		cfg.Around = telemetry.Receive
	}
	var err error
	if app.api, err = httpapi.New(cfg); err != nil {
		return err
	}
	if app.pages, err = p.adminPages(app, access); err != nil {
		return err
	}
	metrics := app.api // which knows no such page
	if p.config.Settings.Metrics == config.MetricsOn {
		metrics = httpapi.Require(auth)(getOnly(app.observer.handler()))
	}
	own := app.api
	if p.own.Handler != nil {
		if own = p.own.Handler(app); own == nil {
			return usagef("Config.Handler returned nil: return a handler, or leave Config.Handler nil")
		}
	}
	app.all = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch path := strings.TrimSuffix(r.URL.Path, "/"); {
		case path == "/health/live":
			w.WriteHeader(http.StatusOK)
		case path == "/health/ready":
			ready(w, r, app.db)
		case path == "/metrics":
			metrics.ServeHTTP(w, r)
		case p.config.IsAdmin(r.URL.Path):
			api.LimitBodyTime(w, r)
			app.pages.ServeHTTP(w, r)
		case path == "/tasks", strings.HasPrefix(path, "/tasks/"), strings.HasPrefix(path, "/health/"), executes(cfg.ExecutePath, path):
			app.api.ServeHTTP(w, r)
		default:
			own.ServeHTTP(w, r)
		}
	})
	return nil
}

// executes reports whether a path is one at which deliveries arrive. Neither ends
// with a slash that counts.
func executes(executePath, path string) bool {
	before, after, _ := strings.Cut(strings.TrimSuffix(executePath, "/"), "{task_id}")
	id, begins := strings.CutPrefix(path, before)
	id, ends := strings.CutSuffix(id, after)
	return begins && ends && id != "" && !strings.Contains(id, "/")
}

// ready answers whether the database does, and says nothing else.
func ready(w http.ResponseWriter, r *http.Request, db database) {
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	if err := db.Ping(ctx); err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	w.WriteHeader(http.StatusOK)
}
