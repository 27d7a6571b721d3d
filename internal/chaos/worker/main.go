// Command worker is the program that the chaos run starts several times: built like
// cmd/server, from public packages only, with the tasks of the run.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/claimcheck-go/claimcheck/internal/chaos/ledger"
	"github.com/claimcheck-go/claimcheck/internal/chaos/tasks"
	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/httpapi"
)

// settings are the flags.
type settings struct {
	name     string
	database string
	lease    time.Duration
	token    string
	cloud    cloud
}

func main() {
	log.SetFlags(0)
	var s settings
	flag.StringVar(&s.name, "name", "worker", "name in the worker IDs of rows")
	flag.StringVar(&s.database, "database", "", "URL of the database")
	flag.DurationVar(&s.lease, "lease", time.Second, "lease of a claim")
	flag.StringVar(&s.token, "token", "", "shared secret of callers")
	flag.StringVar(&s.cloud.api, "cloudtasks", "", "host:port of Cloud Tasks; none: tasks run in this process")
	flag.StringVar(&s.cloud.front, "front", "", "URL under which deliveries reach the workers")
	flag.StringVar(&s.cloud.issuer, "issuer", "", "issuer of the deliveries' tokens, and where its keys are")
	flag.StringVar(&s.cloud.account, "account", "", "account as which Cloud Tasks signs")
	flag.Parse()
	if err := run(s); err != nil {
		log.Fatalf("worker: %v", err)
	}
}

// run serves until SIGTERM, and then drains.
func run(s settings) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	go endWithParent()
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	database, err := open(ctx, s.database)
	if err != nil {
		return err
	}
	defer database.Close()

	worker := fmt.Sprintf("%s-%d", s.name, os.Getpid())
	runner := &tasks.Runner{Worker: worker, Ledger: database}
	config := queue.Config{
		Store: database.Store, Registry: runner.Registry(), Logger: logger, DispatchTimeout: 500 * time.Millisecond,
	}
	local := queue.NewLocal()
	auth := httpapi.BearerToken(s.token)
	if s.cloud.api == "" {
		config.Dispatcher = local
	} else if config.Dispatcher, auth, err = s.cloud.wire(ctx, auth, logger); err != nil {
		return err
	}
	client, err := queue.NewClient(config)
	if err != nil {
		return err
	}
	executor, err := queue.NewExecutor(client, queue.ExecutorConfig{Lease: s.lease, WorkerID: worker, Timeout: 20 * time.Second})
	if err != nil {
		return err
	}
	api, err := httpapi.New(httpapi.Config{Client: client, Executor: executor, Auth: auth, Logger: logger})
	if err != nil {
		return err
	}
	if s.cloud.api == "" {
		go local.Run(ctx, executor)
	}
	return serve(ctx, withUsage(api), executor)
}

// open waits for a database that is down.
func open(ctx context.Context, databaseURL string) (*ledger.Ledger, error) {
	for {
		database, err := ledger.Open(ctx, databaseURL)
		if err == nil || !errors.Is(err, queue.ErrUnavailable) {
			return database, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// endWithParent ends this process when its parent has ended, which closes standard input.
func endWithParent() {
	_, _ = io.Copy(io.Discard, os.Stdin)
	os.Exit(1)
}

// The time of running tasks after a signal to stop, as in cmd/server but shorter.
const (
	drainTime  = 300 * time.Millisecond
	lingerTime = 700 * time.Millisecond
)

func serve(ctx context.Context, handler http.Handler, executor *queue.Executor) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Printf("http://%s\n", listener.Addr())
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	draining, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	if err := executor.Shutdown(draining, lingerTime); err != nil {
		log.Printf("worker: %v", err)
	}
	closing, cancelClose := context.WithTimeout(context.Background(), time.Second)
	defer cancelClose()
	if err := server.Shutdown(closing); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}
