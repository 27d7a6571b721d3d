package httpapi_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/httpapi"
)

// A panic around an enqueue is answered, and the log says of which task.
func TestAPanicAroundAnEnqueueIsAnswered(t *testing.T) {
	var log bytes.Buffer
	value := any("middleware is broken")
	a := newAPI(t, func(c *httpapi.Config, q *queue.Config) {
		c.Logger = slog.New(slog.NewTextHandler(&log, nil))
		q.Middleware = []queue.Middleware{{Enqueue: func(queue.EnqueueFunc) queue.EnqueueFunc {
			return func(context.Context, []*queue.Row) error { panic(value) }
		}}}
	})
	if r := a.do("POST", "/tasks/enqueue/", `{"task":"t.echo"}`); r.status != http.StatusInternalServerError || r.body["error"] != "internal error" {
		t.Errorf("%d %s", r.status, r.text)
	}
	for _, want := range []string{`level=ERROR msg="request failed" method=POST path=/tasks/enqueue/`, `error="enqueue of t.echo: panic: middleware is broken"`, "task_path=t.echo", "panic_test.go"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("%s is missing in %s", want, log.String())
		}
	}

	// What asks net/http to end the connection still does.
	value = http.ErrAbortHandler
	defer func() {
		if got := recover(); got != http.ErrAbortHandler { //nolint:errorlint // a sentinel that is a panic's value
			t.Errorf("recovered %v", got)
		}
	}()
	a.do("POST", "/tasks/enqueue/", `{"task":"t.echo"}`)
}
