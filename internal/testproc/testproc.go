// Package testproc has what tests need around processes they start: a log x
package testproc

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Log is what a process writes, on stdout and stderr, readable while it runs. It
// is a file that the process writes itself: what it wrote before it answered a
// request is there when the answer is. (From a pipe it would come later.)
type Log struct {
	tb   testing.TB
	path string
}

// NewLog prepares the log of a command that was not started yet.
func NewLog(tb testing.TB, command *exec.Cmd) *Log {
	tb.Helper()
	l := &Log{tb, filepath.Join(tb.TempDir(), "log")}
	// Appending, as stdout and stderr may be handed on to several processes.
	file, err := os.OpenFile(l.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = file.Close() })
	command.Stdout, command.Stderr = file, file
	return l
}

// String is all that was written until now. It can be called from several
// goroutines.
func (l *Log) String() string {
	l.tb.Helper()
	text, err := os.ReadFile(l.path)
	if err != nil {
		l.tb.Error(err)
	}
	return string(text)
}
