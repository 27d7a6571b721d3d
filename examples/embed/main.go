// Command embed is an existing program that gets background tasks: a net/http server
// with PostgreSQL and its own login. Signing up inserts the user and enqueues the
// welcome mail in one transaction, so that there is never one without the other.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/claimcheck-go/claimcheck/server"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	login := staff{password: os.Getenv("STAFF_PASSWORD")}
	if login.password == "" {
		return errors.New("STAFF_PASSWORD is required")
	}
	s := &shop{}
	app, err := server.Open(ctx, server.Config{
		Setup:       s.setup,
		TasksAuth:   login,
		AdminAccess: login,
		AdminPrefix: "/staff/tasks",
		Migrate:     true,
	})
	if err != nil {
		return err
	}
	go func() { _ = app.Run(ctx) }() // runs the tasks when there is no Cloud Tasks

	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.users)
	mux.HandleFunc("POST /sign-up", s.signUp)
	mux.Handle("/tasks/", app.TasksHandler())
	mux.Handle("/staff/tasks/", app.AdminHandler())
	mux.Handle("/health/", app.Handler()) // for Cloud Run's probes
	return serve(ctx, mux, app)
}

// serve serves until ctx ends, and then lets requests and tasks end.
func serve(ctx context.Context, handler http.Handler, app *server.App) error {
	address := cmp.Or(os.Getenv("LISTEN"), "127.0.0.1:8080")
	if port := os.Getenv("PORT"); port != "" { // Cloud Run sets it
		address = ":" + port
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	app.Logger().Info("listening", "url", "http://"+listener.Addr().String())
	web := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- web.Serve(listener) }()
	select {
	case err = <-served:
	case <-ctx.Done():
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 9*time.Second)
	defer cancel()
	// Once the tasks have ended, and before the database is closed.
	app.OnClose(func() error { return web.Shutdown(ending) })
	if err = errors.Join(err, app.Shutdown(ending)); err != nil {
		return fmt.Errorf("shutdown: %w", err)
	}
	return nil
}
