// Command demo shows the admin's pages with invented tasks: go run ./server/admin/demo.
// -measure prints how long each page takes instead.
// No worker is up, so that the night stays as bad as it is until an operator retries.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/admin"
	"github.com/claimcheck-go/claimcheck/server/admin/internal/demodata"
	"github.com/claimcheck-go/claimcheck/server/httpapi"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	var o options
	flag.StringVar(&o.listen, "listen", "127.0.0.1:8090", "loopback address to listen on")
	flag.StringVar(&o.database, "database", "", "URL of an empty database: sqlite:FILE, postgres://… or mysql://…; without it a temporary file")
	flag.BoolVar(&o.filled, "filled", false, "use the tasks that an earlier run has put into -database")
	flag.IntVar(&o.night.Successful, "rows", 100_000, "successful tasks to make up")
	flag.IntVar(&o.night.Failed, "failed", 0, "failed tasks to make up, beside the usual ones")
	flag.BoolVar(&o.measure, "measure", false, "print how long each page takes, and end")
	flag.Parse()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	listen, database string
	filled           bool // by an earlier run
	night            demodata.Night
	measure          bool
}

// run fills a database, and serves the pages over it until ctx ends.
func run(ctx context.Context, o options) error {
	store, end, err := openNight(ctx, o)
	if err != nil {
		return err
	}
	defer end()
	client, err := queue.NewClient(queue.Config{Store: store, Registry: demodata.Registry()})
	if err != nil {
		return err
	}
	if o.measure {
		operator, err := client.Operator()
		if err != nil {
			return err
		}
		return measure(ctx, operator, func() (http.Handler, error) { return newPages(client) })
	}
	pages, err := newPages(client)
	if err != nil {
		return err
	}
	return serve(ctx, o.listen, pages)
}

func newPages(client *queue.Client) (http.Handler, error) {
	return admin.New(admin.Config{
		Client: client, Access: admin.Open("you"), Mode: "pull", SweepEvery: 30 * time.Second,
		Links: func(row *queue.Row) []admin.Link {
			return []admin.Link{{Name: "Cloud Logging", URL: "https://console.cloud.google.com/logs/query;query=" + row.ID.String()}}
		},
	})
}

// serve answers until ctx ends.
func serve(ctx context.Context, listen string, pages http.Handler) error {
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
