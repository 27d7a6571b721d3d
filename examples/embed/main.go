// Command embed is an existing program that gets background tasks: a net/http server
// with PostgreSQL and its own login. Signing up inserts the user and enqueues the
// welcome mail in one transaction, so that there is never one without the other.
package main

import (
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

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/claimcheck-go/claimcheck/queue"
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
	pool, err := pgxpool.New(ctx, os.Getenv("DATABASE_URL"))
	if err != nil {
		return err
	}
	defer pool.Close()
	s := &shop{db: pool}
	if err := s.createTables(ctx); err != nil {
		return err
	}
	app, err := server.Open(ctx, server.Config{
		Tasks:       []queue.Definition{SendWelcome.Handle(s.sendWelcome)},
		TasksAuth:   login,
		AdminAccess: login,
		Migrate:     true,
	})
	if err != nil {
		return err
	}
	s.client = app.Client()
	go func() { _ = app.Run(ctx) }() // runs the tasks when there is no Cloud Tasks

	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.users)
	mux.HandleFunc("POST /sign-up", s.signUp)
	mux.Handle("/tasks/", app.TasksHandler())
	mux.Handle("/admin/", login.require(app.AdminHandler()))
	return serve(ctx, mux, app)
}

// serve serves until ctx ends, and then lets requests and tasks end.
func serve(ctx context.Context, handler http.Handler, app *server.App) error {
	address := os.Getenv("LISTEN")
	if address == "" {
		address = "127.0.0.1:8080"
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
	shut := make(chan error, 1)
	go func() { shut <- app.Shutdown(ending) }() // beside the server's: it waits for deliveries, which wait for tasks
	if err = errors.Join(err, web.Shutdown(ending), <-shut); err != nil {
		return fmt.Errorf("shutdown: %w", err)
	}
	return nil
}
