// Package telemetry tells OpenTelemetry how tasks go along: one trace from the
// enqueue over the delivery to the run, and figures of all of them. It stands
// beside the path and hears of it through queue.Hooks.
//
// It uses the API of OpenTelemetry only. Where the spans and figures go is up to
// the providers that a program sets up with the SDK, as cmd/server does:
//
//	tel, err := telemetry.New(telemetry.Config{Tracer: tracerProvider, Meter: meterProvider})
//	…
//	client, err := queue.NewClient(queue.Config{…, Hooks: tel.Hooks()})
//
// docs/telemetry.md lists the spans, their attributes and the metrics.
package telemetry
