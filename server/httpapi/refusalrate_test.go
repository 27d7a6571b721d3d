package httpapi

import (
	"fmt"
	"testing"
	"time"
)

// A caller that varies the text of its refusals neither fills the memory nor the log,
// and what it suppressed is counted.
func TestRefusalsAreLoggedAtABoundedRate(t *testing.T) {
	var l refusalLog
	now := time.Now()
	lines := 0
	for i := range 10_000 {
		if _, ok := l.admit(refusalClass{401 + i%2, fmt.Sprint("text ", i)}, now); ok {
			lines++
		}
	}
	if most := refusalClasses + 2; lines > most || len(l.classes) > most {
		t.Errorf("%d lines, %d classes, want at most %d", lines, len(l.classes), most)
	}
	if _, ok := l.admit(refusalClass{403, "text 0"}, now); !ok {
		t.Error("another status has no line of its own")
	}
	now = now.Add(refusalPause)
	class := refusalClass{401, "text 0"}
	if suppressed, ok := l.admit(class, now); !ok || suppressed != 0 {
		t.Errorf("a minute later: %d, %v", suppressed, ok)
	}
	for range 3 {
		if _, ok := l.admit(class, now.Add(refusalPause-1)); ok {
			t.Error("two lines within a minute")
		}
	}
	if suppressed, ok := l.admit(class, now.Add(refusalPause)); !ok || suppressed != 3 {
		t.Errorf("%d suppressed, %v, want 3", suppressed, ok)
	}
}
