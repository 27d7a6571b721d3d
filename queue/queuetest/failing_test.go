package queuetest_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// failing is a test that is expected to fail.
type failing struct {
	testing.TB
	text string
}

func (f *failing) Helper()        {}
func (f *failing) Log(...any)     {}
func (f *failing) Cleanup(func()) {}

func (f *failing) Fatal(args ...any) {
	f.text = fmt.Sprint(args...)
	runtime.Goexit()
}

func (f *failing) Fatalf(format string, args ...any) { f.Fatal(fmt.Sprintf(format, args...)) }

// fails returns with what text do ends its test.
func fails(t *testing.T, do func(t testing.TB)) string {
	t.Helper()
	f := &failing{TB: t}
	ended := make(chan bool, 1)
	go func() {
		defer func() { ended <- true }()
		do(f)
	}()
	<-ended
	if f.text == "" {
		t.Fatal("it did not end the test")
	}
	return f.text
}

// says checks the text with which do ends its test: its parts come in this order.
func says(t *testing.T, do func(t testing.TB), parts ...string) {
	t.Helper()
	text := fails(t, do)
	rest := text
	for _, part := range parts {
		_, after, found := strings.Cut(rest, part)
		if !found {
			t.Errorf("%q is missing, or not in this place, in:\n%s", part, text)
			return
		}
		rest = after
	}
}
