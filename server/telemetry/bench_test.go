package telemetry_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/telemetry"
)

// instant is a store that stores nothing, so that what is measured is ours.
type instant struct {
	queue.Store
	row queue.Row
}

func (s *instant) Insert(_ context.Context, rows ...*queue.NewRow) error {
	s.row = *rows[0].Row
	return nil
}

func (s *instant) Claim(_ context.Context, _ uuid.UUID, req queue.ClaimRequest) (*queue.Row, error) {
	row := s.row
	row.Status, row.Attempts, row.ClaimID = queue.StatusRunning, 1, req.ClaimID
	return &row, nil
}

func (s *instant) Finish(context.Context, queue.Claim, queue.Finish) (time.Time, error) {
	return time.Time{}, nil
}

// BenchmarkEnqueueAndRun is one task on a store that costs nothing, without
// telemetry, with traces of which none is sampled, and with all of it:
//
//	go test -run '^$' -bench EnqueueAndRun -benchmem ./server/telemetry
func BenchmarkEnqueueAndRun(b *testing.B) {
	traces := func(sampler sdktrace.Sampler) *sdktrace.TracerProvider {
		return sdktrace.NewTracerProvider(sdktrace.WithSampler(sampler), sdktrace.WithBatcher(nowhere{}))
	}
	metrics := sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader()))
	for _, c := range []struct {
		name string
		cfg  telemetry.Config
	}{
		{name: "off"},
		{"metrics", telemetry.Config{Meter: metrics}},
		{"unsampled", telemetry.Config{Meter: metrics, Tracer: traces(sdktrace.NeverSample())}},
		{"sampled", telemetry.Config{Meter: metrics, Tracer: traces(sdktrace.AlwaysSample())}},
	} {
		b.Run(c.name, func(b *testing.B) { benchmarkEnqueueAndRun(b, c.cfg) })
	}
}

func benchmarkEnqueueAndRun(b *testing.B, tel telemetry.Config) {
	task := queue.NewTask("t", func(context.Context, int) (int, error) { return 0, nil })
	cfg := queue.Config{Store: &instant{}, Registry: queue.NewRegistry(task), Logger: slog.New(slog.DiscardHandler)}
	if tel != (telemetry.Config{}) {
		t, err := telemetry.New(tel)
		if err != nil {
			b.Fatal(err)
		}
		cfg.Hooks = t.Hooks()
	}
	client, err := queue.NewClient(cfg)
	if err != nil {
		b.Fatal(err)
	}
	executor, err := queue.NewExecutor(client, queue.ExecutorConfig{})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		handle, err := task.Enqueue(b.Context(), client, 1)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := executor.RunByID(b.Context(), handle.ID, queue.RunOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}

// nowhere is where spans go.
type nowhere struct{}

func (nowhere) ExportSpans(context.Context, []sdktrace.ReadOnlySpan) error { return nil }
func (nowhere) Shutdown(context.Context) error                             { return nil }
