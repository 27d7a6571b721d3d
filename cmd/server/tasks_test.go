package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/claimcheck-go/claimcheck/queue"
)

func TestDemoTasks(t *testing.T) {
	if out, err := echo(t.Context(), json.RawMessage(`{"a":1}`)); err != nil || string(out) != `{"a":1}` {
		t.Errorf("echo: %s, %v", out, err)
	}
	if _, err := fail(t.Context(), failArgs{Message: "why"}); err == nil || err.Error() != "why" {
		t.Errorf("fail: %v", err)
	}
	stopped, stop := context.WithCancelCause(t.Context())
	stop(queue.ErrShutdown)
	if _, err := sleep(stopped, sleepArgs{DurationMS: 60_000}); !errors.Is(err, queue.ErrShutdown) {
		t.Errorf("sleep: %v", err)
	}
	if _, err := sleep(t.Context(), sleepArgs{DurationMS: 1}); err != nil {
		t.Errorf("sleep: %v", err)
	}
	for _, ms := range []int64{-1, 1 << 62} {
		if _, err := sleep(t.Context(), sleepArgs{DurationMS: ms}); err == nil {
			t.Errorf("sleep of %d ms was accepted", ms)
		}
	}
	defer func() {
		if text := fmt.Sprint(recover()); !strings.Contains(text, "asked for") {
			t.Errorf("panic: %s", text)
		}
	}()
	_, _ = panics(t.Context(), nil)
}
