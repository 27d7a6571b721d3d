package server

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"
)

// cloudHandler adds to each line the fields that Cloud Logging indexes: the trace, by
// which a trace shows its lines, and labels, by which lines are found.
type cloudHandler struct {
	base    slog.Handler // without groups, in which the fields would not be found
	later   []func(slog.Handler) slog.Handler
	project func() string
}

// labels are the attributes that also become labels, in this order.
var labels = []string{"task_id", "task_path", "queue_name", "attempt", "status", "duration_ms", "error_class"}

// Enabled reports whether a line would be written.
func (h *cloudHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.base.Enabled(ctx, level)
}

// Handle writes a line.
func (h *cloudHandler) Handle(ctx context.Context, r slog.Record) error {
	fields := h.fields(ctx, r)
	if len(h.later) == 0 {
		if len(fields) > 0 {
			r = r.Clone()
			r.AddAttrs(fields...)
		}
		return h.base.Handle(ctx, r)
	}
	handler := h.base.WithAttrs(fields)
	for _, step := range h.later {
		handler = step(handler)
	}
	return handler.Handle(ctx, r)
}

func (h *cloudHandler) fields(ctx context.Context, r slog.Record) []slog.Attr {
	var fields []slog.Attr
	if span := trace.SpanContextFromContext(ctx); span.IsValid() {
		if project := h.project(); project != "" {
			fields = append(fields,
				slog.String("logging.googleapis.com/trace", "projects/"+project+"/traces/"+span.TraceID().String()),
				slog.String("logging.googleapis.com/spanId", span.SpanID().String()),
				slog.Bool("logging.googleapis.com/trace_sampled", span.IsSampled()))
		}
	}
	var found []any
	isTask := false
	r.Attrs(func(a slog.Attr) bool {
		for _, name := range labels {
			if a.Key == name {
				isTask = isTask || name == "task_id"
				found = append(found, slog.String(name, a.Value.Resolve().String()))
			}
		}
		return true
	})
	if isTask {
		fields = append(fields, slog.Group("logging.googleapis.com/labels", found...))
	}
	return fields
}

// WithAttrs returns a handler with more attributes.
func (h *cloudHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	if len(h.later) == 0 {
		return &cloudHandler{base: h.base.WithAttrs(attrs), project: h.project}
	}
	return h.then(func(next slog.Handler) slog.Handler { return next.WithAttrs(attrs) })
}

// WithGroup returns a handler whose further attributes, but not the trace, are in
// a group.
func (h *cloudHandler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	return h.then(func(next slog.Handler) slog.Handler { return next.WithGroup(name) })
}

func (h *cloudHandler) then(step func(slog.Handler) slog.Handler) slog.Handler {
	return &cloudHandler{base: h.base, later: append(h.later[:len(h.later):len(h.later)], step), project: h.project}
}

// logProject returns a function that returns the project of the log's traces; empty:
// it is not known. It is detected when the first line has a trace.
func (p *program) logProject() func() string {
	return sync.OnceValue(func() string {
		if !p.config.OnPlatform() && p.config.Env.Get("GOOGLE_CLOUD_PROJECT") == "" {
			return p.config.Settings.CloudTasksProject
		}
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		found, err := p.config.Detector().Project(ctx)
		if err != nil {
			return p.config.Settings.CloudTasksProject
		}
		return found.Value
	})
}
