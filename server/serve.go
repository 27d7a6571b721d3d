package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/claimcheck-go/claimcheck/detect"
	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/admin"
	"github.com/claimcheck-go/claimcheck/server/httpapi"
	"github.com/claimcheck-go/claimcheck/server/internal/config"
	"github.com/claimcheck-go/claimcheck/server/internal/stores"
	"github.com/claimcheck-go/claimcheck/server/telemetry"
)

type serveCmd struct {
	Listen      string `placeholder:"HOST:PORT" help:"Address to listen on. Default: :$PORT on Cloud Run and App Engine, else 127.0.0.1:8080."`
	Concurrency *int   `placeholder:"N" accepts:"of at least 1" help:"Tasks that run at once. Default: 80 on Cloud Run and App Engine, 4 per CPU in local mode."`
	Migrate     bool   `help:"Bring the schema up to date first. Local mode always does."`
}

// When the platform stops an instance it kills it 10 s after SIGTERM. Of these,
// running tasks get drainTime to end by themselves, and lingerTime to return
// once their contexts are cancelled, so that their claims can be given back.
const (
	drainTime  = 6 * time.Second
	lingerTime = 2 * time.Second
)

// Run serves until SIGTERM or SIGINT, and then drains.
func (c *serveCmd) Run(ctx context.Context, p *program) error {
	if c.Concurrency != nil && *c.Concurrency < 1 {
		return config.Problemf("--concurrency", "must be at least 1, not %d: leave it out for the default", *c.Concurrency)
	}
	listen := c.listen(p)
	if err := checkListen(listen); err != nil {
		return err
	}
	app, err := p.plan(ctx, true, true)
	if err != nil {
		return err
	}
	if err := p.config.CheckExecutePath(); err != nil {
		return err
	}
	auth, err := p.authenticator(app, listen)
	if err != nil {
		return err
	}
	access, err := p.adminAccess(app, listen, auth == httpapi.LoopbackOnly())
	if err != nil {
		return err
	}
	ctx, signals, stop := untilSignal(ctx)
	defer stop()
	local := queue.NewLocal()
	defer app.close()
	if err := p.open(ctx, app, local, c.Migrate || app.mode == config.ModeLocal); err != nil {
		if ctx.Err() != nil {
			return nil // told to stop before it could start
		}
		return err
	}
	executor, err := p.executor(app, c.concurrency(p))
	if err != nil {
		return err
	}
	stopMetrics, err := p.serveMetrics(ctx, app)
	if err != nil {
		return err
	}
	defer stopMetrics()
	handler, err := p.handler(app, executor, auth, access)
	if err != nil {
		return err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", listen)
	if err != nil {
		return fmt.Errorf("listen on %s: %w (--listen chooses another address)", listen, err)
	}
	p.announce(app, listener.Addr(), auth == httpapi.LoopbackOnly())

	server := newHTTPServer(handler)
	served := make(chan error, 1)
	go func() { served <- server.Serve(limitPeers(listener)) }()
	if app.mode == config.ModeLocal {
		go local.Run(ctx, executor)
		defer p.sweepAlong(ctx, app.client)()
	}
	select {
	case err := <-served:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	return drain(app, server, executor, signals)
}

// drain stops taking work, lets what is running end, and gives back the rest; a
// second signal skips the wait.
func drain(app *App, server *http.Server, executor *queue.Executor, signals <-chan os.Signal) error {
	app.log.Info("stopping: running tasks may end first", "for", drainTime.String())
	flushing, cancelFlush := context.WithTimeout(context.Background(), drainTime+lingerTime+flushTime*3/4)
	defer cancelFlush()
	draining, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	context.AfterFunc(app.hurryOn(draining, signals), cancel)
	if err := executor.Shutdown(draining, lingerTime); err != nil {
		app.log.Error("stopped with tasks still running", "error", err)
	}
	// The answers of the runs above are on their way.
	closing, cancelClose := context.WithTimeout(context.Background(), app.endTime(time.Second))
	defer cancelClose()
	if err := server.Shutdown(closing); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("closing the server: %w", err)
	}
	flushing, cancelFlush = context.WithTimeout(flushing, app.endTime(flushTime))
	defer cancelFlush()
	app.flush(flushing)
	app.log.Info("stopped")
	return nil
}

func (c *serveCmd) listen(p *program) string {
	switch port := p.config.Env.Get("PORT"); {
	case c.Listen != "":
		return c.Listen
	case p.config.OnPlatform() && port != "":
		return ":" + port
	case p.config.OnPlatform():
		return ":8080"
	default:
		return "127.0.0.1:8080"
	}
}

func checkListen(address string) error {
	if err := config.CheckAddress(address); err != nil {
		return config.Problemf("--listen", "%s, not %q", err, address)
	}
	return nil
}

func (c *serveCmd) concurrency(p *program) int {
	switch {
	case c.Concurrency != nil:
		return *c.Concurrency
	case p.config.OnPlatform():
		return 80
	default:
		return 4 * runtime.NumCPU()
	}
}

// handler is all that the server answers.
func (p *program) handler(app *App, executor *queue.Executor, auth httpapi.Authenticator, access admin.Access) (http.Handler, error) {
	cfg := httpapi.Config{
		Client: app.client, Executor: executor, Auth: auth, RouteAuth: p.routeAuth(auth), Logger: app.log,
		RequestTimeout: p.config.RequestTimeout(),
		ExecutePath:    p.config.ExecutePath(), MaxBody: int64(p.config.Settings.TasksMaxBody),
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
	api, err := httpapi.New(cfg)
	if err != nil {
		return nil, err
	}
	pages, err := p.adminPages(app, access)
	if err != nil {
		return nil, err
	}
	metrics := api // which knows no such page
	if p.config.Settings.Metrics == config.MetricsOn {
		metrics = httpapi.Require(auth)(getOnly(app.observer.handler()))
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		httpapi.LimitBodyTime(w, r)
		switch path := strings.TrimSuffix(r.URL.Path, "/"); {
		case path == "/health/live":
			w.WriteHeader(http.StatusOK)
		case path == "/health/ready":
			ready(w, r, app.db)
		case path == "/metrics":
			metrics.ServeHTTP(w, r)
		case isAdmin(r.URL.Path):
			pages.ServeHTTP(w, r)
		default:
			api.ServeHTTP(w, r)
		}
	}), nil
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

// announce logs the one line from which one sees what this server is.
func (p *program) announce(app *App, address net.Addr, open bool) {
	databaseURL, _ := p.config.DatabaseURL()
	build := p.build()
	fields := []any{"version", build.Version, "revision", build.Revision, "mode", app.mode, "listen", "http://" + address.String(), "database", stores.Describe(databaseURL)}
	if t := app.target; t != nil {
		handler := t.Tasks.HandlerURL
		if t.Tasks.AppEngine != nil {
			handler = "App Engine " + t.Tasks.AppEngine.Service + "/" + t.Tasks.AppEngine.Version
		}
		fields = append(fields, "handler_url", handler, "audience", strings.Join(t.Audiences, ","),
			"cloud_tasks", t.Tasks.Project+"/"+t.Tasks.Location)
	}
	queues := "all"
	if len(app.config.Queues) > 0 {
		queues = strings.Join(app.config.Queues, ",")
	}
	fields = append(fields, "queues", queues)
	if open {
		fields = append(fields, "access", "open to every program on this machine; set TASK_API_TOKEN to require a credential")
	}
	app.log.Info("claimcheck is ready", fields...)
}
