package server

import (
	"log/slog"
	"strings"
	"testing"

	"go.opentelemetry.io/otel"
)

// An App of Open reports what it cannot export to its own logger, and not to the
// error handler of the process.
func TestOpenLogsExportErrors(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
	t.Setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "100")
	other := &lockedLog{}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { _, _ = other.Write([]byte(err.Error() + "\n")) }))
	defer otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { slog.Error(err.Error()) }))
	for _, signal := range []string{"TRACES", "METRICS"} {
		t.Run(signal, func(t *testing.T) {
			t.Setenv("OTEL_"+signal+"_EXPORTER", "none") // the other one is exported
			log := &lockedLog{}
			cfg := appConfig(t, testTasks...)
			cfg.IgnoreEnv, cfg.Logger = false, slog.New(slog.NewTextHandler(log, nil))
			app, err := Open(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := app.Client().Enqueue(t.Context(), "demo.echo", nil); err != nil {
				t.Error(err)
			}
			if err := app.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
			if !strings.Contains(log.String(), "telemetry was not exported; tasks are not affected") {
				t.Errorf("log: %s", log)
			}
		})
	}
	if text := other.String(); text != "" {
		t.Errorf("the handler of the process got: %s", text)
	}
}
