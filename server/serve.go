package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/claimcheck-go/claimcheck/server/internal/config"
	"github.com/claimcheck-go/claimcheck/server/internal/stores"
)

type serveCmd struct {
	Listen      string `placeholder:"HOST:PORT" help:"Address to listen on. Default: :$PORT on Cloud Run and App Engine, else 127.0.0.1:8080."`
	Concurrency *int   `placeholder:"N" accepts:"of at least 1" help:"Tasks that run at once. Default: 80 on Cloud Run and App Engine, 4 per CPU in local mode."`
	Migrate     bool   `help:"Bring the schema up to date first. Local mode always does."`
}

// A platform kills an instance 10 s after SIGTERM. Of these, running tasks get
// drainTime to end by themselves, and lingerTime to return once their contexts are
// cancelled, so that their claims can be released.
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
	ctx, signals, stop := untilSignal(ctx)
	defer stop()
	started := endAtSecond(ctx, signals)
	app, err := p.assemble(ctx, assembly{listen: listen, concurrency: c.Concurrency, migrate: c.Migrate})
	started()
	if err != nil {
		if ctx.Err() != nil && !isUsage(err) {
			return nil // it was stopped before it could start
		}
		return err
	}
	defer app.close()
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", listen)
	if err != nil {
		return fmt.Errorf("listen on %s: %w (--listen chooses another address)", listen, err)
	}
	p.announce(app, listener.Addr())

	server := newHTTPServer(app.Handler())
	served := make(chan error, 1)
	go func() { served <- server.Serve(limitPeers(listener)) }()
	go func() { _ = app.Run(ctx) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	return drain(app, server, signals)
}

// drain stops claiming, lets running tasks end, and releases the rest; a second
// signal skips the wait.
func drain(app *App, server *http.Server, signals <-chan os.Signal) error {
	app.log.Info("stopping: running tasks may end first", "for", drainTime.String())
	flushing, cancelFlush := context.WithTimeout(context.Background(), drainTime+lingerTime+flushTime*3/4)
	defer cancelFlush()
	draining, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	context.AfterFunc(app.hurryOn(draining, signals), cancel)
	if err := app.drain(draining, lingerTime); err != nil {
		app.log.Error("stopped with claims that were not released; they expire with their leases", "error", err)
	}
	// The answers of the runs above are being sent.
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

// announce logs one line that describes this server.
func (p *program) announce(app *App, address net.Addr) {
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
	if app.open {
		fields = append(fields, "access", "open to every program on this machine; set TASK_API_TOKEN to require a credential")
	}
	app.log.Info("claimcheck is ready", fields...)
}
