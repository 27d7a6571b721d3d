package telemetry

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/claimcheck-go/claimcheck/queue"
)

// Attributes besides those of OpenTelemetry's conventions.
const (
	taskKey       = attribute.Key("claimcheck.task")        // the task's name
	attemptKey    = attribute.Key("claimcheck.attempt")     // 1 for the first
	outcomeKey    = attribute.Key("claimcheck.outcome")     // queue.Outcome
	retryCountKey = attribute.Key("claimcheck.retry_count") // of the delivery, as Cloud Tasks counts it
)

// messaging returns the attributes of every span about messages.
func messaging(kind attribute.KeyValue, name, queueName string) []attribute.KeyValue {
	attributes := []attribute.KeyValue{semconv.MessagingSystemKey.String("claimcheck"), kind, semconv.MessagingOperationName(name)}
	if queueName != "" {
		attributes = append(attributes, semconv.MessagingDestinationName(queueName))
	}
	return attributes
}

// enqueuing starts the producer's span, which lasts until the tickets of all rows are
// created, and stores its trace in the rows.
func (t *Telemetry) enqueuing(ctx context.Context, rows []*queue.Row) (context.Context, func(error)) {
	if len(rows) == 0 {
		return ctx, func(error) {}
	}
	queueName, task := rows[0].Queue, rows[0].Task
	for _, row := range rows[1:] {
		if row.Queue != queueName {
			queueName = ""
		}
		if row.Task != task {
			task = ""
		}
	}
	name := "send"
	if queueName != "" {
		name += " " + queueName
	}
	attributes := messaging(semconv.MessagingOperationTypeSend, "send", queueName)
	if task != "" {
		attributes = append(attributes, taskKey.String(task))
	}
	if len(rows) == 1 {
		attributes = append(attributes, semconv.MessagingMessageID(rows[0].ID.String()))
	} else {
		attributes = append(attributes, semconv.MessagingBatchMessageCount(len(rows)))
	}
	ctx, span := t.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindProducer), trace.WithAttributes(attributes...))
	context := store(ctx)
	for _, row := range rows {
		row.TraceContext = context
	}
	return ctx, func(err error) {
		if err != nil {
			fail(span, "enqueue", err.Error())
		}
		span.End()
	}
}

// running starts the consumer's span. Its parent is the trace in the row, with the
// span of the delivery in between if there is one; any other trace of ctx becomes a
// link.
func (t *Telemetry) running(ctx context.Context, row *queue.Row) context.Context {
	options := []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindConsumer)}
	if parent := stored(row); parent.IsValid() {
		asked := trace.SpanContextFromContext(ctx)
		if asked.IsValid() && asked.TraceID() != parent.TraceID() && !waitsForTrace(ctx) {
			options = append(options, trace.WithLinks(trace.Link{SpanContext: asked}))
		}
		ctx = trace.ContextWithRemoteSpanContext(ctx, parent)
	}
	ctx = beginDelivery(ctx)
	attributes := append(messaging(semconv.MessagingOperationTypeProcess, "process", row.Queue),
		semconv.MessagingMessageID(row.ID.String()), taskKey.String(row.Task), attemptKey.Int(row.Attempts))
	ctx, _ = t.tracer.Start(ctx, "process "+row.Queue, append(options, trace.WithAttributes(attributes...))...)
	return ctx
}

// endRun ends the consumer's span.
func endRun(span trace.Span, run *queue.Run) {
	defer span.End()
	if !span.IsRecording() {
		return
	}
	span.SetAttributes(outcomeKey.String(string(run.Outcome)))
	if kind := errorType(run); kind != "" {
		fail(span, kind, run.Err.Error())
	}
}

// errorType returns the type of the task's error, or the outcome if another part
// failed; empty if nothing did.
func errorType(run *queue.Run) string {
	if run.Err == nil {
		return ""
	}
	switch run.Outcome {
	case queue.OutcomeFailed, queue.OutcomeRescheduled:
		// A task that snoozes leaves no error.
		if n := len(run.Row.Errors); n > 0 && (run.Outcome == queue.OutcomeFailed || run.Row.Errors[n-1].StartedAt.Equal(run.Row.LastAttemptedAt)) {
			return run.Row.Errors[n-1].ExceptionClassPath
		}
		return ""
	case queue.OutcomeCancelled, queue.OutcomeInterrupted:
		return ""
	default:
		return string(run.Outcome)
	}
}

func fail(span trace.Span, kind, text string) {
	span.SetAttributes(semconv.ErrorTypeKey.String(kind))
	span.SetStatus(codes.Error, text)
}

// Observe returns a function that starts a span for a store's call, if ctx has a
// trace: calls outside of traces start none. It is meant for the Observe field of the
// stores' Config; system is OpenTelemetry's name for the database, such as postgresql.
func (t *Telemetry) Observe(system string) func(ctx context.Context, op string) (ended func(error)) {
	attributes := trace.WithAttributes(semconv.DBSystemNameKey.String(system), semconv.DBCollectionName("claimcheck_tasks"))
	return func(ctx context.Context, op string) func(error) {
		if t.tracer == nil || !trace.SpanFromContext(ctx).IsRecording() {
			return func(error) {}
		}
		_, span := t.tracer.Start(ctx, op, trace.WithSpanKind(trace.SpanKindClient), attributes, trace.WithAttributes(semconv.DBQuerySummary(op)))
		return func(err error) {
			if err != nil {
				fail(span, "database", err.Error())
			}
			span.End()
		}
	}
}
