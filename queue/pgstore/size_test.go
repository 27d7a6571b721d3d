package pgstore

import (
	"strings"
	"testing"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

func TestAFinishIsAsLargeAsItsErrors(t *testing.T) {
	var s Store
	s.merge(usualLimits)
	f := finishOf{Finish: queue.Finish{Status: queue.StatusFailed, Errors: make([]queue.AttemptError, queue.MaxErrors)}}
	for i, text := range []string{"", strings.Repeat("x", 4096)} {
		for j := range f.Errors {
			f.Errors[j] = queue.AttemptError{Message: text, Traceback: text, ExceptionClassPath: text, WorkerID: text, At: time.Now(), StartedAt: time.Now()}
		}
		encoded, err := errorsValue(f.Errors)
		if err != nil {
			t.Fatal(err)
		}
		if size, want := s.finishes.size(f), len(encoded.list.String); size < want*9/10 || size > want*5/4 {
			t.Errorf("%d: %d bytes count as %d", i, want, size)
		}
	}
	if size := s.finishes.size(finishOf{Finish: queue.Finish{ReturnValue: []byte(`"four"`)}}); size != 6 {
		t.Errorf("a value of 6 bytes counts as %d", size)
	}
}
