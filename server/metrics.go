package server

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/claimcheck-go/claimcheck/server/internal/config"
)

// handler returns the handler of the page.
func (o *observer) handler() http.Handler {
	return promhttp.HandlerFor(o.page, promhttp.HandlerOpts{
		ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: 4, Timeout: 10 * time.Second,
	})
}

// getOnly refuses methods other than GET and HEAD.
func getOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", http.MethodGet)
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// serveMetrics serves the page on a listener of its own, if METRICS names one, until
// stop is called. Any client that can reach the address may read the page.
func (p *program) serveMetrics(ctx context.Context, app *App) (stop func(), err error) {
	where := p.config.Settings.Metrics
	if where == "" || where == config.MetricsOn {
		return func() {}, nil
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", where)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w (METRICS chooses another address)", where, err)
	}
	page := app.observer.handler()
	server := newHTTPServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/metrics" {
			http.NotFound(w, r)
			return
		}
		page.ServeHTTP(w, r)
	}))
	server.ReadTimeout = headerTime
	go func() { _ = server.Serve(limitPeers(listener)) }()
	app.log.Info("serving metrics to any client that can reach this address", "listen", "http://"+listener.Addr().String()+"/metrics")
	return func() { _ = server.Close() }, nil
}
