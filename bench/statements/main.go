// Command statements measures single calls of the store, and pages of the admin,
// beside many rows that have finished: the table of docs/scaling.md.
//
//	go run ./statements                            # a private PostgreSQL server, removed at the end
//	go run ./statements -url postgres://…          # an empty database, whose rows stay
//	go run ./statements -url postgres://… -filled  # measured once more
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/claimcheck-go/claimcheck/bench/internal/server"
	"github.com/claimcheck-go/claimcheck/queue/pgstore"
)

func main() {
	if err := command(os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "statements:", err)
		os.Exit(1)
	}
}

// options are what the command line asks for.
type options struct {
	url, dir string
	filled   bool
	rows     int
	times    int
}

func command(args []string) error {
	if len(args) > 0 && args[0] == server.GuardCommand {
		return server.Guard(args[1:])
	}
	var o options
	flags := flag.NewFlagSet("statements", flag.ContinueOnError)
	flags.StringVar(&o.url, "url", "", "an empty PostgreSQL database instead of a private server; its rows stay")
	flags.BoolVar(&o.filled, "filled", false, "-url names a database that is filled already")
	flags.StringVar(&o.dir, "dir", "", "where the data goes; ten million rows take 5 GB")
	flags.IntVar(&o.rows, "rows", 10_000_000, "how many rows have finished; a twentieth as many are pending or delayed")
	flags.IntVar(&o.times, "times", 5, "how often each call runs")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 || o.rows < 1000 || o.times < 1 {
		return errors.New("see -help: there are only flags, -rows is at least 1000, -times at least 1")
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	return run(ctx, o)
}

func run(ctx context.Context, o options) error {
	if o.url == "" {
		private, err := server.StartPostgres(ctx, o.dir)
		if err != nil {
			return err
		}
		defer private.Stop()
		o.url = private.URL("postgres")
	}
	store, err := pgstore.Open(ctx, pgstore.Config{URL: o.url, Migrate: true})
	if err != nil {
		return err
	}
	defer func() { _ = store.Close() }()
	if !o.filled {
		began := time.Now()
		if err := fill(ctx, o.url, o.rows); err != nil {
			return fmt.Errorf("fill: %w", err)
		}
		fmt.Fprintf(os.Stderr, "filled in %s\n", time.Since(began).Round(time.Second))
	}
	return measure(ctx, store, o.times)
}
