package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	apiv2 "cloud.google.com/go/cloudtasks/apiv2"
	run "cloud.google.com/go/run/apiv2"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/config"
	"github.com/claimcheck-go/claimcheck/server/internal/stores"
	"github.com/claimcheck-go/claimcheck/server/notice"
)

// App is a program's settings and the running parts that they describe. [Open]
// returns one that is complete. [Config].Setup gets one whose database is not open
// yet: of its methods, Setup may call Client, Settings, Logger, PgxPool, DB and
// OnClose.
//
// The methods of an App are safe for concurrent use.
type App struct {
	program *program
	mode    string
	log     *slog.Logger
	config  queue.Config
	target  *config.Target // in cloudtasks mode

	exports  exports
	observer *observer       // nil: nothing is exported
	runs     bool            // this process runs tasks
	existing bool            // the database must exist, with its tables
	notices  *notice.Notices // nil: there are none

	hurried atomic.Bool // a second signal has come

	job    string          // the Cloud Run job of the backend "jobs"; empty: there is none
	jobs   *run.JobsClient // if there is one
	tasks  *apiv2.Client   // in cloudtasks mode
	db     database
	client *queue.Client // not ready until open

	// What only Open and serve make.
	open        bool         // without a credential, to programs on this machine
	local       *queue.Local // in local mode
	executor    *queue.Executor
	stopMetrics func()       // of the listener of METRICS, if there is one
	api         http.Handler // /tasks/
	pages       http.Handler // /admin/
	all         http.Handler
	stopped     context.Context //nolint:containedctx // ends when Shutdown begins
	stop        context.CancelFunc
	complete    atomic.Bool // Open or serve has made everything
	shutdown    sync.Once
	shut        chan struct{} // closed when the first Shutdown has returned
	ended       error         // of Shutdown

	mu          sync.Mutex
	looping     chan struct{}  // closed while Run does not run
	pool        stores.Pool    // of the program itself, once it was asked for
	poolsClosed bool           // there are no pools any more
	closers     []func() error // of OnClose
	closed      bool           // the closers were called
}

// Client returns the client that enqueues tasks and reads their results. It is the
// same one in Setup, before it is ready: until [Open] has returned, or the command
// has opened the database, its methods return [queue.ErrNotReady].
func (app *App) Client() *queue.Client { return app.client }

// Logger returns the program's logger.
func (app *App) Logger() *slog.Logger { return app.log }

// Settings returns the settings in effect, whether a flag, a field of
// [Config].Settings, the environment or a default has set them. DatabaseURL and
// TasksMode are what the defaults stand for. Secrets are included.
func (app *App) Settings() Settings {
	effective := *app.program.config.Settings
	effective.TasksMode = app.mode
	if rawURL, err := app.program.config.DatabaseURL(); err == nil {
		effective.DatabaseURL = rawURL
	}
	return fieldsOf(&effective)
}

// Handler returns everything that the server answers: /tasks/, /admin/,
// /health/live, /health/ready, /metrics if METRICS asks for it, and
// [Config].Handler. Mount it at the root of the server and do not wrap it in
// [http.StripPrefix]: it expects and links to its paths as they are listed here, and
// Cloud Tasks calls them.
//
// Requests without a credential are accepted only if no setting and no field
// requires one, and then only over connections whose two addresses are loopback, and
// not if a proxy forwarded them: see [httpapi.LoopbackOnly].
func (app *App) Handler() http.Handler { return app.all }

// TasksHandler returns the part of [App.Handler] that answers /tasks/ and
// TASK_HANDLER_PATH. Mount it under these paths, without stripping them.
func (app *App) TasksHandler() http.Handler { return app.api }

// AdminHandler returns the part of [App.Handler] that answers /admin/, or
// [Config].AdminPrefix. Mount it under that path, with or without stripping it.
func (app *App) AdminHandler() http.Handler { return app.pages }

// OnClose registers what to close when the program ends, or when a later step of
// its start fails. The last one registered is called first; the database is closed
// after all of them. Once they were called, by [App.Shutdown] for example, OnClose
// calls f at once and logs its error.
func (app *App) OnClose(f func() error) {
	app.mu.Lock()
	closed := app.closed
	if !closed {
		app.closers = append(app.closers, f)
	}
	app.mu.Unlock()
	if !closed {
		return
	}
	if err := f(); err != nil {
		app.log.Warn("closing what was opened after the shutdown", "error", err)
	}
}

// Run runs due tasks and sweeps in local mode; in the other modes it only waits. It
// returns nil once ctx has ended or [App.Shutdown] was called. Tasks that deliveries
// run, and all heartbeats, do not depend on it. Calling it while it runs is an error.
// Until [Open] has returned, as in Setup, it returns [queue.ErrNotReady].
func (app *App) Run(ctx context.Context) error {
	if !app.complete.Load() {
		return fmt.Errorf("server: App.Run: %w", queue.ErrNotReady)
	}
	ended := make(chan struct{})
	defer close(ended)
	if begun, err := app.beginLoop(ended); !begun {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(app.stopped, cancel)()
	var storing sync.WaitGroup
	storing.Go(func() { app.storeSchedules(ctx) })
	storing.Go(func() { app.warnKeys(ctx) })
	defer storing.Wait()
	if app.mode == config.ModeLocal {
		var claiming sync.WaitGroup
		claiming.Go(func() { app.local.Run(ctx, app.executor) })
		defer claiming.Wait()
		defer app.program.sweepAlong(ctx, app.client)()
	} else if app.notices != nil {
		var looking sync.WaitGroup
		looking.Go(func() { app.notices.CheckEvery(ctx, app.client) })
		defer looking.Wait()
	}
	<-ctx.Done()
	return nil
}

// beginLoop reports whether Run may run, until it closes ended: not when it runs
// already, and not after Shutdown.
func (app *App) beginLoop(ended chan struct{}) (begun bool, err error) {
	app.mu.Lock()
	defer app.mu.Unlock()
	if app.stopped.Err() != nil {
		return false, nil
	}
	select {
	case <-app.looping:
		app.looping = ended
		return true, nil
	default:
		return false, errors.New("server: App.Run is running already: call it once")
	}
}

// Shutdown ends the App. It claims nothing more, lets running tasks end until
// shortly before the deadline of ctx, and then cancels their contexts and releases
// the claims of those that return, so that another process runs them. It makes
// [App.Run] return nil, exports what telemetry is left, calls the functions of
// [App.OnClose] and closes the database. The error says what did not end in time.
//
// Give ctx a deadline below the platform's: Cloud Run and App Engine kill a process
// 10 s after SIGTERM. Call it beside [http.Server.Shutdown] and not after it, since
// that waits for deliveries, which last as long as their tasks. A later call waits
// for the first and returns the same, or the error of its own ctx if that ends before.
// Until [Open] has returned, as in Setup, Shutdown returns [queue.ErrNotReady].
func (app *App) Shutdown(ctx context.Context) error {
	if !app.complete.Load() {
		return fmt.Errorf("server: App.Shutdown: %w", queue.ErrNotReady)
	}
	first := false
	app.shutdown.Do(func() { first = true })
	if first {
		defer close(app.shut)
		app.ended = app.shutDown(ctx)
		return app.ended
	}
	select {
	case <-app.shut:
		return app.ended
	case <-ctx.Done():
		return fmt.Errorf("server: App.Shutdown: the first call has not ended: %w", ctx.Err())
	}
}

// shutDown drains and closes within ctx.
func (app *App) shutDown(ctx context.Context) error {
	draining, linger, cancel := drainContext(ctx)
	defer cancel()
	drained := app.drain(draining, linger)
	ending := make(chan error, 1)
	go func() { ending <- app.end(ctx) }()
	select {
	case err := <-ending:
		return errors.Join(drained, err)
	case <-ctx.Done():
		return errors.Join(drained, ctx.Err())
	}
}

// drainContext divides the time of a shutdown: running tasks may end until the
// context returned does; then those that are left get linger to return, and the rest
// is for closing.
func drainContext(ctx context.Context) (_ context.Context, linger time.Duration, _ context.CancelFunc) {
	deadline, limited := ctx.Deadline()
	if !limited {
		ctx, cancel := context.WithCancel(ctx)
		return ctx, lingerTime, cancel
	}
	reserved := min(lingerTime*3/2, time.Until(deadline)/2)
	ctx, cancel := context.WithDeadline(ctx, deadline.Add(-reserved))
	return ctx, reserved * 2 / 3, cancel
}

// drain stops claiming, and waits for running tasks until ctx ends, and then for
// linger.
func (app *App) drain(ctx context.Context, linger time.Duration) error {
	app.mu.Lock()
	app.stop()
	looping := app.looping
	app.mu.Unlock()
	err := app.executor.Shutdown(ctx, linger)
	<-looping
	return err
}

// closeAll calls the functions of OnClose, the last one first.
func (app *App) closeAll() error {
	app.mu.Lock()
	closers := app.closers
	app.closers, app.closed = nil, true
	app.mu.Unlock()
	var problems []error
	for _, closer := range slices.Backward(closers) {
		problems = append(problems, closer())
	}
	return errors.Join(problems...)
}
