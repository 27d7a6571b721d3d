// Command cloudtasks-emulator runs the fake of Cloud Tasks as a process, for
// development and demonstrations. It keeps tasks in memory, delivers them over
// HTTP, and signs its OIDC tokens with a key of its own; nothing of it is meant
// for production. On standard output it prints one line when it is ready: the
// settings with which the server uses it. SIGTERM and SIGINT stop it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/claimcheck-go/claimcheck/cloudtasks/cloudtaskstest"
	"github.com/claimcheck-go/claimcheck/internal/loopback"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	switch err := run(ctx, os.Args[1:], os.Stdout); {
	case err == nil, errors.Is(err, flag.ErrHelp):
	case errors.As(err, new(usageError)):
		fmt.Fprintln(os.Stderr, "cloudtasks-emulator:", err)
		os.Exit(2)
	default:
		fmt.Fprintln(os.Stderr, "cloudtasks-emulator:", err)
		os.Exit(1)
	}
}

// usageError is a mistake on the command line.
type usageError struct{ error }

type options struct {
	listen, http    string
	issuer          string
	appEngineURL    string
	queues          []string // none means any
	serviceAccounts []string
	allowNonLocal   bool
}

// parse reads the command line; for --help it prints the flags to out.
func parse(args []string, out io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("cloudtasks-emulator", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // a mistake gets one line, not all flags
	flags.StringVar(&o.listen, "listen", "127.0.0.1:8123", "`host:port` of the Cloud Tasks API (gRPC, plaintext)")
	flags.StringVar(&o.http, "http", "127.0.0.1:8124", "`host:port` of /certs (the keys of its OIDC tokens) and / (status), over HTTP")
	flags.StringVar(&o.issuer, "issuer", "", "issuer of its OIDC tokens, a `URL` (default: that of --http)")
	flags.StringVar(&o.appEngineURL, "app-engine-url", "", "`URL` of the server that gets App Engine tasks")
	flags.BoolVar(&o.allowNonLocal, "allow-non-loopback", false, "listen on other than loopback addresses: anybody there can have it send requests")
	flags.Func("queue", "`ID` of a queue that exists, in any project and location; repeatable (default: any ID)", func(id string) error {
		o.queues = append(o.queues, id)
		return nil
	})
	flags.Func("service-account", "`e-mail` that tasks may sign as; repeatable (default: any)", func(email string) error {
		o.serviceAccounts = append(o.serviceAccounts, email)
		return nil
	})
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(out, "cloudtasks-emulator runs a fake of Google Cloud Tasks, for development. Flags:")
		flags.SetOutput(out)
		flags.PrintDefaults()
		return o, err
	} else if err != nil {
		return o, usageError{fmt.Errorf("%w (see --help)", err)}
	}
	if flags.NArg() > 0 {
		return o, usageError{fmt.Errorf("takes no arguments, got %q", flags.Arg(0))}
	}
	if err := o.checkAddress("--listen", o.listen); err != nil {
		return o, err
	}
	return o, o.checkAddress("--http", o.http)
}

func (o options) checkAddress(flag, address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return usageError{fmt.Errorf("%s is %q; it takes host:port", flag, address)}
	}
	if !o.allowNonLocal && !loopback.Host(host) {
		return usageError{fmt.Errorf("%s is %q, which is no loopback address; add --allow-non-loopback if that is meant", flag, address)}
	}
	return nil
}

// run serves until ctx ends.
func run(ctx context.Context, args []string, stdout io.Writer) error {
	o, err := parse(args, stdout)
	if err != nil {
		return err
	}
	var listener net.ListenConfig
	api, err := listener.Listen(ctx, "tcp", o.listen)
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	defer func() { _ = api.Close() }()
	web, err := listener.Listen(ctx, "tcp", o.http)
	if err != nil {
		return fmt.Errorf("--http: %w", err)
	}
	defer func() { _ = web.Close() }()
	base := "http://" + web.Addr().String()
	if o.issuer == "" {
		o.issuer = base
	}
	fake, err := cloudtaskstest.New(cloudtaskstest.Config{
		AutoCreate:      func(id string) bool { return len(o.queues) == 0 || slices.Contains(o.queues, id) },
		AppEngineURL:    o.appEngineURL,
		Issuer:          o.issuer,
		ServiceAccounts: o.serviceAccounts,
	})
	if err != nil {
		return err
	}
	defer fake.Close()

	mux := http.NewServeMux()
	mux.Handle("GET /certs", fake.Certs())
	mux.Handle("GET /{$}", fake.Status())
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	defer func() { _ = server.Close() }()

	failed := make(chan error, 2)
	go func() { failed <- fake.Serve(api) }()
	go func() { failed <- server.Serve(web) }()
	fmt.Fprintf(stdout, "CLOUD_TASKS_EMULATOR_HOST=%s OIDC_ISSUER=%s OIDC_CERTS_URL=%s/certs\n", api.Addr(), o.issuer, base)
	select {
	case <-ctx.Done():
		return nil
	case err := <-failed:
		return fmt.Errorf("serve: %w", err)
	}
}
