// Package testproc captures the output of processes that tests start.
package testproc

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Log is the output of a process on stdout and stderr, readable while it runs. It is a
// file that the process writes itself, so that it contains what the process wrote before
// an answer as soon as the answer is received. (From a pipe it would arrive later.)
type Log struct {
	tb   testing.TB
	path string
}

// NewLog prepares the log of a command before it is started.
func NewLog(tb testing.TB, command *exec.Cmd) *Log {
	tb.Helper()
	l := &Log{tb, filepath.Join(tb.TempDir(), "log")}
	// Append, because several processes may share stdout and stderr.
	file, err := os.OpenFile(l.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = file.Close() })
	command.Stdout, command.Stderr = file, file
	return l
}

// String returns all output until now. It is safe for concurrent use.
func (l *Log) String() string {
	l.tb.Helper()
	text, err := os.ReadFile(l.path)
	if err != nil {
		l.tb.Error(err)
	}
	return string(text)
}
