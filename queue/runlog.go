package queue

import (
	"context"
	"errors"
	"log/slog"
)

// logRun writes the one line that each run leaves in the log.
func (e *Executor) logRun(ctx context.Context, run *Run) {
	var f *failure
	errors.As(run.Err, &f)
	level, message := runLine(run, f)
	if !e.log.Enabled(ctx, level) {
		return
	}
	row := run.Row
	attrs := []slog.Attr{
		slog.Any("task_id", row.ID), slog.String("task_path", row.Task), slog.String("queue_name", row.Queue),
		slog.Int("attempt", row.Attempts), slog.Int("max_attempts", row.MaxAttempts),
		slog.String("status", string(row.Status)), slog.Int64("duration_ms", run.Duration.Milliseconds()),
	}
	switch {
	case f != nil:
		attrs = append(attrs, slog.String("error_class", f.class), slog.String("error", f.text))
		if f.panicked {
			attrs = append(attrs, slog.String("stack", f.trace))
		}
	case run.Err != nil:
		attrs = append(attrs, slog.Any("error", run.Err))
	}
	if run.Outcome == OutcomeRescheduled {
		attrs = append(attrs, slog.Time("run_after", row.RunAfter))
	}
	e.log.LogAttrs(ctx, level, message, attrs...)
}

// runLine says what became of a run, and how much that matters; f is the
// failure of its function, if it failed.
func runLine(run *Run, f *failure) (slog.Level, string) {
	switch run.Outcome {
	case OutcomeSucceeded:
		return slog.LevelInfo, "task succeeded"
	case OutcomeFailed:
		if run.Row.Status == StatusFailed {
			return slog.LevelError, "task failed; no attempt is left, or the error is permanent"
		}
		return slog.LevelWarn, "task failed; it will be tried again"
	case OutcomeCancelled:
		return slog.LevelInfo, "task cancelled itself"
	case OutcomeRescheduled:
		if f != nil && f.snoozed() {
			return slog.LevelInfo, "task runs again at the time it asked for"
		}
		return slog.LevelWarn, "task runs again at the time it asked for"
	case OutcomeInterrupted:
		return slog.LevelInfo, "task interrupted; its attempt is given back"
	default:
		return slog.LevelError, "task ended, but its result was not stored: " + string(run.Outcome)
	}
}
