// Package telemetry reports tasks to OpenTelemetry: one trace from the enqueue over
// the delivery to the run, and metrics. It observes a [queue.Client] and its
// executors through [queue.Hooks], and deliveries through [Telemetry.Around].
//
// It uses the API of OpenTelemetry only. A program sets up providers with the SDK,
// and with them where spans and metrics are exported to:
//
//	tel, err := telemetry.New(telemetry.Config{Tracer: tracerProvider, Meter: meterProvider})
//	…
//	client, err := queue.NewClient(queue.Config{…, Hooks: tel.Hooks()})
//
// docs/telemetry.md lists the spans, their attributes and the metrics.
package telemetry
