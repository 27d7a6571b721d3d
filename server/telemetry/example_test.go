package telemetry_test

import (
	"context"
	"fmt"
	"log"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/sqlitestore"
	"github.com/claimcheck-go/claimcheck/server/telemetry"
)

// A program sets up OpenTelemetry's SDK with exporters of its choice, here ones that
// keep everything in memory, and hands its providers over.
func Example() {
	ctx := context.Background()
	spans, reader := tracetest.NewInMemoryExporter(), sdkmetric.NewManualReader()
	traces := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))
	metrics := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))

	tel, err := telemetry.New(telemetry.Config{Tracer: traces, Meter: metrics})
	if err != nil {
		log.Fatal(err)
	}
	store, err := sqlitestore.Open(ctx, sqlitestore.Config{URL: "sqlite::memory:", Migrate: true})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	if err := tel.Watch(store); err != nil { // gauges: tasks that wait and run, connections
		log.Fatal(err)
	}
	greet := queue.NewTask("greet", func(_ context.Context, name string) (string, error) { return "Hello " + name, nil })
	client, err := queue.NewClient(queue.Config{Store: store, Registry: queue.NewRegistry(greet), Hooks: tel.Hooks()})
	if err != nil {
		log.Fatal(err)
	}
	executor, err := queue.NewExecutor(client, queue.ExecutorConfig{})
	if err != nil {
		log.Fatal(err)
	}

	if _, err := greet.Enqueue(ctx, client, "world"); err != nil {
		log.Fatal(err)
	}
	if _, err := executor.ProcessOne(ctx, queue.From{}); err != nil {
		log.Fatal(err)
	}
	for _, span := range spans.GetSpans() {
		fmt.Println(span.Name)
	}
	var collected metricdata.ResourceMetrics
	if err := reader.Collect(ctx, &collected); err != nil {
		log.Fatal(err)
	}
	for _, metric := range collected.ScopeMetrics[0].Metrics {
		if runs, ok := metric.Data.(metricdata.Sum[int64]); ok && metric.Name == "claimcheck.runs" {
			fmt.Println(metric.Name, runs.DataPoints[0].Value)
		}
	}
	// Output:
	// send default
	// process default
	// claimcheck.runs 1
}
