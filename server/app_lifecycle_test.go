package server

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue"
)

// A panic in Setup or Handler passes through Open, which closes what was opened.
func TestPanicsCloseWhatIsOpen(t *testing.T) {
	t.Parallel()
	for _, where := range []string{"Setup", "Handler"} {
		closed := 0
		cfg := appConfig(t, testTasks...)
		cfg.Settings.DatabaseURL = testdb.Postgres(t)
		cfg.Migrate = true
		var kept *App
		cfg.Setup = func(ctx context.Context, app *App) ([]queue.Definition, error) {
			kept = app
			app.OnClose(func() error { closed++; return app.PgxPool().Ping(context.WithoutCancel(ctx)) })
			if where == "Setup" {
				panic(where)
			}
			return nil, nil
		}
		cfg.Handler = func(*App) http.Handler { panic("Handler") }
		pool := func() (got any) {
			defer func() { got = recover() }()
			_, _ = Open(t.Context(), cfg)
			return nil
		}
		if got := pool(); got != where || closed != 1 {
			t.Errorf("%s: panic %v, closed %d times", where, got, closed)
		}
		if kept.PgxPool() != nil {
			t.Errorf("%s: the pool is still there", where)
		}
	}
}

// Run and Shutdown refuse an App that is not complete.
func TestRunAndShutdownBeforeTheAppIsComplete(t *testing.T) {
	t.Parallel()
	cfg := appConfig(t, testTasks...)
	refused := func(app *App, where string) {
		if err := app.Run(t.Context()); !errors.Is(err, queue.ErrNotReady) {
			t.Errorf("Run in %s: %v", where, err)
		}
		if err := app.Shutdown(t.Context()); !errors.Is(err, queue.ErrNotReady) {
			t.Errorf("Shutdown in %s: %v", where, err)
		}
	}
	cfg.Setup = func(_ context.Context, app *App) ([]queue.Definition, error) {
		refused(app, "Setup")
		return nil, nil
	}
	cfg.Handler = func(app *App) http.Handler {
		refused(app, "Handler")
		return http.NotFoundHandler()
	}
	app := openApp(t, cfg)
	if _, err := app.Client().Enqueue(t.Context(), "demo.echo", nil); err != nil {
		t.Error(err)
	}
}

// A later Shutdown ends with its own context, and returns what the first did once that
// has ended.
func TestLaterShutdown(t *testing.T) {
	t.Parallel()
	closing, finish := make(chan struct{}), make(chan struct{})
	cfg := appConfig(t, testTasks...)
	cfg.Setup = func(_ context.Context, app *App) ([]queue.Definition, error) {
		app.OnClose(func() error { close(closing); <-finish; return errors.New("it was broken") })
		return nil, nil
	}
	app, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	first := make(chan error)
	go func() { first <- app.Shutdown(t.Context()) }()
	<-closing
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := app.Shutdown(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("the second call: %v", err)
	}
	close(finish)
	if err := <-first; err == nil || !strings.Contains(err.Error(), "it was broken") {
		t.Errorf("the first call: %v", err)
	}
	if err := app.Shutdown(t.Context()); err == nil || !strings.Contains(err.Error(), "it was broken") {
		t.Errorf("the third call: %v", err)
	}
}

// After Shutdown there is no pool, and OnClose calls at once.
func TestPoolsAndOnCloseAfterShutdown(t *testing.T) {
	t.Parallel()
	for _, databaseURL := range []string{"", testdb.Postgres(t), "sqlite::memory:"} {
		for _, asked := range []bool{false, true} {
			cfg := appConfig(t, testTasks...)
			if cfg.Migrate = true; databaseURL != "" {
				cfg.Settings.DatabaseURL = databaseURL
			}
			app, err := Open(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			if asked && app.PgxPool() == nil && app.DB() == nil {
				t.Errorf("%q: no pool", databaseURL)
			}
			if err := app.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
			if pgx, db := app.PgxPool(), app.DB(); pgx != nil || db != nil {
				t.Errorf("%q, asked before %v: %v and %v", databaseURL, asked, pgx, db)
			}
			closed := false
			if app.OnClose(func() error { closed = true; return errors.New("broken") }); !closed {
				t.Errorf("%q: OnClose did not call", databaseURL)
			}
		}
	}
}

// doctor reports tasks of Setup that cannot be registered.
func TestDoctorReportsBadTasksOfSetup(t *testing.T) {
	t.Parallel()
	for _, made := range [][]queue.Definition{{nil}, {queue.NewTask("a", echoTask), queue.NewTask("a", echoTask)}, {queue.NewTask("other", echoTask)}} {
		cfg := appConfig(t, queue.NewTask("other", echoTask))
		cfg.Setup = func(context.Context, *App) ([]queue.Definition, error) { return made, nil }
		status, stdout, stderr := runProgram(t, cfg, "doctor")
		if status != 1 || !strings.Contains(stdout, "fail     setup ") || !strings.Contains(stdout, "the tasks of Config.") {
			t.Errorf("status %d\n%s%s", status, stdout, stderr)
		}
	}
}

// The end of the caller's context stops a worker as a signal does: what does not end
// within the shutdown timeout is released.
func TestWorkEndsWithItsContext(t *testing.T) {
	t.Parallel()
	began := make(chan struct{})
	cfg := appConfig(t, queue.NewTask("stuck", func(ctx context.Context, _ any) (any, error) {
		close(began)
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}))
	client := openApp(t, cfg).Client()
	handle, err := client.Enqueue(t.Context(), "stuck", nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-began; cancel() }()
	var out lockedLog
	cfg.Logger = nil
	p := &program{own: cfg, stdin: strings.NewReader(""), stdout: &out, stderr: &out}
	if status := realMain(ctx, []string{"work", "--continuous", "--shutdown-timeout=1s"}, nil, p); status != 0 {
		t.Errorf("status %d: %s", status, &out)
	}
	row, err := client.Get(t.Context(), handle.ID)
	if err != nil || row.Status != queue.StatusReady || row.Attempts != 0 {
		t.Errorf("%+v, %v", row, err)
	}
}
