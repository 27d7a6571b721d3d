package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/propagation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/claimcheck-go/claimcheck/server/internal/config"
	"github.com/claimcheck-go/claimcheck/server/internal/stores"
	"github.com/claimcheck-go/claimcheck/server/telemetry"
)

// The protocols of OTLP.
const (
	otlpHTTP = "http/protobuf"
	otlpGRPC = "grpc"
)

// exports says where telemetry goes. OpenTelemetry's own variables say it; the
// exporters read what else stands in them by themselves.
type exports struct {
	traces  string // protocol; empty: nowhere
	metrics string // protocol; empty: nowhere
	page    bool   // GET /metrics
}

// exports reads the variables. Nothing goes anywhere unless one of them names an
// endpoint, whatever the SDK's defaults are.
func (p *program) exports() (e exports, err error) {
	e.page = p.config.Settings.Metrics != ""
	if strings.EqualFold(p.config.Env.Get("OTEL_SDK_DISABLED"), "true") {
		return e, nil
	}
	if e.traces, err = p.otlp("TRACES"); err != nil {
		return e, err
	}
	e.metrics, err = p.otlp("METRICS")
	return e, err
}

// otlp is the protocol in which one signal goes out; empty if it does not.
func (p *program) otlp(signal string) (string, error) {
	setting := func(name string) (string, string) {
		if own := "OTEL_EXPORTER_OTLP_" + signal + "_" + name; p.config.Env.Get(own) != "" {
			return own, p.config.Env.Get(own)
		}
		return "OTEL_EXPORTER_OTLP_" + name, p.config.Env.Get("OTEL_EXPORTER_OTLP_" + name)
	}
	switch exporter := p.config.Env.Get("OTEL_" + signal + "_EXPORTER"); exporter {
	case "", "otlp":
	case "none":
		return "", nil
	default:
		return "", config.Problemf("OTEL_"+signal+"_EXPORTER", "must be otlp or none, not %q (METRICS=on serves Prometheus)", exporter)
	}
	if _, endpoint := setting("ENDPOINT"); endpoint == "" {
		return "", nil
	}
	switch name, protocol := setting("PROTOCOL"); protocol {
	case "", otlpHTTP:
		return otlpHTTP, nil
	case otlpGRPC:
		return otlpGRPC, nil
	default:
		return "", config.Problemf(name, "must be %s or %s, not %q", otlpHTTP, otlpGRPC, protocol)
	}
}

// observer is OpenTelemetry's SDK at work; nil when nothing is exported.
type observer struct {
	*telemetry.Telemetry
	traces  *sdktrace.TracerProvider
	metrics *sdkmetric.MeterProvider
	page    *prometheus.Registry // what GET /metrics shows
}

// observe sets up the SDK for what is exported, and lets libraries that look for
// the global providers, such as the Cloud Tasks client, use it too. Open sets nothing
// global.
func (p *program) observe(ctx context.Context, e exports, log *slog.Logger) (_ *observer, err error) {
	if e == (exports{}) {
		return nil, nil
	}
	if !p.opens {
		otel.SetErrorHandler(&exportErrors{log: log})
	}
	about, err := p.resource(ctx)
	if err != nil {
		return nil, config.Problemf("OTEL_RESOURCE_ATTRIBUTES", ": %s", err)
	}
	o := &observer{}
	var cfg telemetry.Config
	if e.traces != "" {
		exporter, err := spanExporter(ctx, e.traces)
		if err != nil {
			return nil, config.Problemf("OTEL_EXPORTER_OTLP_*", ": %s", err)
		}
		o.traces = sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(about))
		if !p.opens {
			otel.SetTracerProvider(o.traces)
			otel.SetTextMapPropagator(propagation.TraceContext{})
		}
		cfg.Tracer = o.traces
	}
	if e.metrics != "" || e.page {
		if o.metrics, err = o.meterProvider(ctx, e, about); err != nil {
			return nil, err
		}
		if !p.opens {
			otel.SetMeterProvider(o.metrics)
		}
		cfg.Meter = o.metrics
	}
	o.Telemetry, err = telemetry.New(cfg)
	return o, err
}

func spanExporter(ctx context.Context, protocol string) (sdktrace.SpanExporter, error) {
	if protocol == otlpGRPC {
		return otlptracegrpc.New(ctx)
	}
	return otlptracehttp.New(ctx)
}

func (o *observer) meterProvider(ctx context.Context, e exports, about *resource.Resource) (*sdkmetric.MeterProvider, error) {
	options := []sdkmetric.Option{sdkmetric.WithResource(about)}
	if e.metrics != "" {
		var exporter sdkmetric.Exporter
		var err error
		if e.metrics == otlpGRPC {
			exporter, err = otlpmetricgrpc.New(ctx)
		} else {
			exporter, err = otlpmetrichttp.New(ctx)
		}
		if err != nil {
			return nil, config.Problemf("OTEL_EXPORTER_OTLP_*", ": %s", err)
		}
		options = append(options, sdkmetric.WithReader(sdkmetric.NewPeriodicReader(exporter)))
	}
	if e.page {
		o.page = prometheus.NewRegistry()
		reader, err := otelprometheus.New(otelprometheus.WithRegisterer(o.page), otelprometheus.WithoutScopeInfo())
		if err != nil {
			return nil, fmt.Errorf("metrics page: %w", err)
		}
		options = append(options, sdkmetric.WithReader(reader))
	}
	return sdkmetric.NewMeterProvider(options...), nil
}

// resource says which process this is. OTEL_SERVICE_NAME and
// OTEL_RESOURCE_ATTRIBUTES win over what the platform says.
func (p *program) resource(ctx context.Context) (*resource.Resource, error) {
	about := []resource.Option{resource.WithAttributes(
		semconv.ServiceName(cmp.Or(p.config.Env.Get("K_SERVICE"), p.config.Env.Get("CLOUD_RUN_JOB"), p.config.Env.Get("GAE_SERVICE"), "claimcheck")),
		semconv.ServiceInstanceID(uuid.NewString()),
	)}
	if version := cmp.Or(p.config.Env.Get("K_REVISION"), p.config.Env.Get("GAE_VERSION")); version != "" {
		about = append(about, resource.WithAttributes(semconv.ServiceVersion(version)))
	}
	return resource.New(ctx, append(about, resource.WithTelemetrySDK(), resource.WithFromEnv())...)
}

// shutdown exports what is left, until ctx ends.
func (o *observer) shutdown(ctx context.Context) error {
	if o == nil {
		return nil
	}
	var group sync.WaitGroup
	var traces, metrics error
	if o.traces != nil {
		group.Go(func() { traces = o.traces.Shutdown(ctx) })
	}
	if o.metrics != nil {
		group.Go(func() { metrics = o.metrics.Shutdown(ctx) })
	}
	group.Wait()
	return errors.Join(traces, metrics)
}

// observeDatabase returns what makes a span of each call of the store; nil if no
// setting asks for that.
func (p *program) observeDatabase(app *App) func(ctx context.Context, op string) (ended func(error)) {
	if app.observer == nil || !p.config.Settings.TraceDatabase {
		return nil
	}
	rawURL, _ := p.config.DatabaseURL() // openDatabase reports what is wrong with it
	return app.observer.Observe(stores.TelemetryName(rawURL))
}

// observeStore exports the store's tasks and connections, if this process goes on
// running.
func (p *program) observeStore(app *App) error {
	if !app.runs {
		return nil
	}
	return app.observer.Watch(app.db)
}

// exportErrors logs that telemetry cannot be exported, once a minute at most.
type exportErrors struct {
	log *slog.Logger

	mu   sync.Mutex
	last time.Time
}

// Handle is called by the SDK.
func (e *exportErrors) Handle(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if time.Since(e.last) < time.Minute {
		return
	}
	e.last = time.Now()
	e.log.Warn("telemetry was not exported; the tasks do not mind", "error", err)
}
