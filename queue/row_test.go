package queue

import (
	"strings"
	"testing"
	"time"
)

func TestHistoryKeepsTheLatestErrorsWithinBounds(t *testing.T) {
	row := &Row{WorkerIDs: []string{"w"}}
	for attempt := 1; attempt <= 3*MaxErrors; attempt++ {
		row.Attempts = attempt
		f := classify(&PanicError{Value: strings.Repeat("x", 1<<15), Stack: make([]byte, 1<<15)})
		row.Errors = row.withError(f.record(row, time.Now()))
	}
	size := 0
	for i, e := range row.Errors {
		size += len(e.Message) + len(e.Traceback)
		if want := 2*MaxErrors + i + 1; e.Attempt != want {
			t.Errorf("record %d is of attempt %d, want %d", i, e.Attempt, want)
		}
	}
	if len(row.Errors) != MaxErrors || size > MaxErrors*(maxMessageBytes+maxTracebackBytes) {
		t.Errorf("%d records of %d bytes", len(row.Errors), size)
	}
}
