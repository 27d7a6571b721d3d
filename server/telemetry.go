package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"

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

// exports are the destinations of telemetry, as OpenTelemetry's own variables name
// them. The exporters read the other variables themselves.
type exports struct {
	traces  string // protocol; empty: not exported
	metrics string // protocol; empty: not exported
	page    bool   // GET /metrics
}

// exports reads the variables. Nothing is exported unless one of them names an
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

// otlp returns the protocol in which a signal is exported; empty: it is not.
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

// observer holds the providers of OpenTelemetry's SDK; nil when nothing is exported.
type observer struct {
	*telemetry.Telemetry
	traces  *sdktrace.TracerProvider
	metrics *sdkmetric.MeterProvider
	page    *prometheus.Registry // what GET /metrics shows
}

// observe sets up the SDK for what is exported, and makes its providers the global
// ones, which libraries such as the Cloud Tasks client use. Open sets nothing global:
// its exporters log their own errors.
func (p *program) observe(ctx context.Context, e exports, log *slog.Logger) (_ *observer, err error) {
	if e == (exports{}) {
		return nil, nil
	}
	failures := &exportErrors{log: log}
	if !p.opens {
		otel.SetErrorHandler(failures)
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
		if p.opens {
			exporter = loggedSpans{exporter, failures}
		}
		o.traces = sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(about))
		if !p.opens {
			otel.SetTracerProvider(o.traces)
			otel.SetTextMapPropagator(propagation.TraceContext{})
		}
		cfg.Tracer = o.traces
	}
	if e.metrics != "" || e.page {
		if o.metrics, err = p.meterProvider(ctx, e, o, about, failures); err != nil {
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

func (p *program) meterProvider(ctx context.Context, e exports, o *observer, about *resource.Resource, failures *exportErrors) (*sdkmetric.MeterProvider, error) {
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
		if p.opens {
			exporter = loggedMetrics{exporter, failures}
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

// resource describes this process. OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES
// override what the platform reports.
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

// shutdown exports the remaining telemetry until ctx ends.
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

// observeDatabase returns a function that makes a span of each call of the store; nil
// unless TRACE_DATABASE is set.
func (p *program) observeDatabase(app *App) func(ctx context.Context, op string) (ended func(error)) {
	if app.observer == nil || !p.config.Settings.TraceDatabase {
		return nil
	}
	rawURL, _ := p.config.DatabaseURL() // openDatabase reports what is wrong with it
	return app.observer.Observe(stores.TelemetryName(rawURL))
}

// observeStore exports metrics of the store's tasks and connections, if this process
// runs tasks.
func (p *program) observeStore(app *App) error {
	if !app.runs {
		return nil
	}
	return app.observer.Watch(app.db)
}
