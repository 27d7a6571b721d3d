package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/httpapi"
	"github.com/claimcheck-go/claimcheck/server/internal/config"
)

// Open makes an App for a program that keeps its own main and its own HTTP server.
// It reads the settings, calls [Config].Setup, opens the database, and returns when
// the App's client and handlers can be used. Call [App.Run] in a goroutine for local
// mode, and [App.Shutdown] at the end.
//
// The error of wrong settings names all of them, each by its variable or its field.
// An error that is [queue.ErrSchema] says that the database has to be migrated, which
// Config.Migrate does. Open starts no listener but that of METRICS=HOST:PORT, reads no
// flags, changes nothing that is global to the process, and never ends it; any
// number of Apps can be open at once. It sets no provider, propagator or error handler
// of OpenTelemetry: what the App cannot export it reports to its own logger, and other
// errors of the SDK reach the handler that the program has set.
func Open(ctx context.Context, cfg Config) (*App, error) {
	p := &program{own: cfg, opens: true, stdin: strings.NewReader(""), stdout: os.Stdout, stderr: os.Stderr}
	err := p.load(config.ParseEnvironment(os.Environ()))
	var app *App
	if err == nil {
		app, err = p.assemble(ctx, assembly{})
	}
	switch {
	case err == nil:
		return app, nil
	case isUsage(err) && p.sources != nil:
		return nil, &openError{"server: Open: " + p.sources.Describe(err), err}
	default:
		return nil, fmt.Errorf("server: Open: %w%s", err, p.hint(err))
	}
}

// load reads the settings of a program without a command line.
func (p *program) load(process config.Environment) error {
	env, fields, err := p.begin(process)
	if err != nil {
		return err
	}
	var settings struct{ config.Settings }
	p.config = &config.Config{Settings: &settings.Settings, Env: env, OwnRoutes: p.own.Handler != nil, AdminPrefix: p.own.AdminPrefix}
	p.sources = config.NewSources(nil, env)
	p.sources.SetFields(fields)
	parser, err := kong.New(&settings, p.sources.Options()...)
	if err != nil {
		panic(err) // the settings' own tags are wrong
	}
	command, err := p.sources.Parse(parser)
	if err != nil {
		return err
	}
	p.findMisspelt()
	return p.sources.CheckBlank(command)
}

// openError is what is wrong with the settings, in one line.
type openError struct {
	text string
	err  error
}

func (e *openError) Error() string { return e.text }
func (e *openError) Unwrap() error { return e.err }

// isUsage reports whether err is a mistake in settings or arguments.
func isUsage(err error) bool {
	var usage usageError
	var problem config.Problem
	return errors.As(err, &usage) || errors.As(err, &problem)
}

// assembly says what serve knows about its App.
type assembly struct {
	listen      string // address of the server; empty: it is the caller's
	concurrency *int   // nil: the program's
	migrate     bool
}

// assemble makes a complete App: for serve, and for Open.
func (p *program) assemble(ctx context.Context, how assembly) (*App, error) {
	app, err := p.plan(ctx, true, true)
	if err != nil {
		return nil, err
	}
	defer func() {
		if !app.complete.Load() { // it failed, or Config.Handler panicked
			app.close()
		}
	}()
	if err := p.config.CheckExecutePath(); err != nil {
		return nil, err
	}
	auth, err := p.authenticator(app, how.listen)
	if err != nil {
		return nil, err
	}
	app.open = auth == httpapi.LoopbackOnly()
	access, err := p.adminAccess(app)
	if err == nil {
		err = p.checkAdmin()
	}
	if err != nil {
		return nil, err
	}
	if p.opens {
		for _, m := range p.misspelt {
			app.log.Warn(m.String())
		}
	}
	if app.mode != config.ModeLocal { // where App.Run has the queue log them
		app.warnDeclared()
	}
	app.warnEmpty()
	app.local = queue.NewLocal()
	if err := p.open(ctx, app, app.local, how.migrate || p.own.Migrate || app.mode == config.ModeLocal); err != nil {
		return nil, err
	}
	if app.executor, err = p.executor(app, p.concurrency(how.concurrency)); err != nil {
		return nil, err
	}
	stop, err := p.serveMetrics(ctx, app)
	if err != nil {
		return nil, err
	}
	app.stopMetrics = stop
	if err := p.makeHandlers(app, auth, access); err != nil {
		return nil, err
	}
	app.complete.Store(true)
	return app, nil
}

// concurrency is how many tasks run at once.
func (p *program) concurrency(flag *int) int {
	switch {
	case flag != nil:
		return *flag
	case p.own.Concurrency > 0:
		return p.own.Concurrency
	case p.config.OnPlatform():
		return 80
	default:
		return 4 * runtime.NumCPU()
	}
}
