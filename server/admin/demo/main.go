// Command demo shows the admin's pages with invented tasks: go run ./server/admin/demo.
// No worker is up, so that the night stays as bad as it is until an operator retries.
package main

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	_ "modernc.org/sqlite" // registers the driver with which the data is written

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/sqlitestore"
	"github.com/claimcheck-go/claimcheck/server/admin"
	"github.com/claimcheck-go/claimcheck/server/admin/internal/demodata"
	"github.com/claimcheck-go/claimcheck/server/httpapi"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	listen := flag.String("listen", "127.0.0.1:8090", "loopback address to listen on")
	rows := flag.Int("rows", 100_000, "successful tasks to make up")
	flag.Parse()
	if err := run(ctx, *listen, *rows); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run serves the pages over a database in a temporary folder until ctx ends.
func run(ctx context.Context, listen string, rows int) error {
	folder, err := os.MkdirTemp("", "claimcheck-demo")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(folder) }() // it is the system's to clean up too
	path := filepath.Join(folder, "demo.db")
	store, err := sqlitestore.Open(ctx, sqlitestore.Config{URL: "sqlite:" + path, Migrate: true})
	if err != nil {
		return err
	}
	defer func() { _ = store.Close() }()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		return err
	}
	err = demodata.Fill(ctx, db, time.Now(), rows)
	if err := errors.Join(err, db.Close()); err != nil {
		return err
	}
	client, err := queue.NewClient(queue.Config{Store: store, Registry: demodata.Registry()})
	if err != nil {
		return err
	}
	pages, err := admin.New(admin.Config{
		Client: client, Access: admin.Open("you"), Mode: "pull", SweepEvery: 30 * time.Second,
		Links: func(row *queue.Row) []admin.Link {
			return []admin.Link{{Name: "Cloud Logging", URL: "https://console.cloud.google.com/logs/query;query=" + row.ID.String()}}
		},
	})
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/admin/", httpapi.Require(httpapi.LoopbackOnly())(pages))
	mux.Handle("/{$}", http.RedirectHandler("/admin/", http.StatusFound))
	server := &http.Server{Addr: listen, Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		<-ctx.Done()
		_ = server.Close()
	}()
	slog.Info("the pages are ready", "url", "http://"+listen+"/admin/")
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
