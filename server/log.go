package server

import (
	"log/slog"
)

// logger writes to standard error: text for people, or the fields that Cloud
// Logging reads (severity, message, time) where it collects them.
func (p *program) logger() *slog.Logger {
	if p.own.Logger != nil {
		return p.own.Logger
	}
	var level slog.Level
	_ = level.UnmarshalText([]byte(p.config.Settings.LogLevel)) // the grammar lists the levels
	return p.loggerFrom(level)
}

func (p *program) loggerFrom(level slog.Level) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if p.config.LogsJSON() {
		options.ReplaceAttr = cloudLogging
		return slog.New(&cloudHandler{base: slog.NewJSONHandler(p.stderr, options), project: p.logProject()})
	}
	return slog.New(slog.NewTextHandler(p.stderr, options))
}

// cloudLogging renames slog's fields to those of
// https://cloud.google.com/logging/docs/structured-logging.
func cloudLogging(groups []string, a slog.Attr) slog.Attr {
	if len(groups) > 0 {
		return a
	}
	switch a.Key {
	case slog.MessageKey:
		a.Key = "message"
	case slog.LevelKey:
		a.Key = "severity"
		if a.Value.String() == slog.LevelWarn.String() {
			a.Value = slog.StringValue("WARNING")
		}
	}
	return a
}
