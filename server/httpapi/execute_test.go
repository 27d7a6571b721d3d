package httpapi_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/httpapi"
)

// deliver is one delivery by Cloud Tasks.
func (a *api) deliver(id string, header ...string) reply {
	a.t.Helper()
	return a.do("POST", "/tasks/execute/"+id+"/?fail_on_error=true", "", header...)
}

func (a *api) expect(what string, got reply, status int, body string) {
	a.t.Helper()
	if got.status != status || !strings.Contains(got.text, body) {
		a.t.Errorf("%s: got %d %s, want %d with %s", what, got.status, got.text, status, body)
	}
}

func TestExecuteAnswersAsTheTableSays(t *testing.T) {
	a := newAPI(t, nil)

	id := a.enqueue(`{"task":"t.fail"}`)
	a.expect("first failure", a.deliver(id), 500, `{"executed":true,"failed":true,"result":{`)
	a.expect("last failure", a.deliver(id), 500, `"status":"FAILED"`)
	a.expect("delivery after the end", a.deliver(id), 200, `{"executed":false,"reason":"Task is not in READY status"}`)
	a.expect("operator's retry", a.do("POST", "/tasks/execute/"+id+"?allow_retry=true&fail_on_error=TRUE", "{}"), 500, `"attempts":3`)

	id = a.enqueue(`{"task":"t.fail"}`)
	quiet := a.do("POST", "/tasks/execute/"+id+"/", "")
	a.expect("failure without fail_on_error", quiet, 200, `{"executed":true,"result":{`)
	if !strings.Contains(quiet.text, `"status":"READY"`) || !strings.Contains(quiet.text, `"message":"no luck"`) {
		t.Errorf("the row after it: %s", quiet.text)
	}

	id = a.enqueue(`{"task":"t.discard"}`)
	a.expect("permanent failure", a.deliver(id), 500, `"status":"FAILED"`)
	a.expect("after it", a.deliver(id), 200, `"executed":false`)

	id = a.enqueue(`{"task":"t.cancel"}`)
	a.expect("not wanted any more", a.deliver(id), 200, `"status":"CANCELLED"`)
	a.expect("after it", a.deliver(id), 200, `"executed":false`)

	id = a.enqueue(`{"task":"t.snooze"}`)
	a.expect("own next time", a.deliver(id), 200, `{"executed":true,"result":{`)
	a.expect("before that time", a.deliver(id), 200, `{"executed":false,"reason":"task is not due yet"}`)

	id = a.enqueue(`{"task":"t.elsewhere"}`)
	a.expect("name not registered", a.deliver(id), 500, `{"executed":false,"reason":"task name is not registered in this version"}`)
	if n := a.attempts(id); n != 0.0 {
		t.Errorf("it used up %v attempts", n)
	}

	id = a.enqueue(`{"task":"t.echo","run_after":"2035-01-01T00:00:00Z"}`)
	a.expect("far from due", a.deliver(id), 200, `"executed":false`)

	unknown := uuid.NewString()
	a.expect("no such row", a.deliver(unknown), 404, `{"error":"Task not found"}`)
	a.expect("no such row, young", a.deliver(unknown, "X-CloudTasks-TaskRetryCount", "4"), 404, `{"error":"Task not found"}`)
	a.expect("no such row, again and again", a.deliver(unknown, "X-CloudTasks-TaskRetryCount", "5"), 200, `{"executed":false,"reason":"Task not found"}`)
	a.expect("bad flag", a.do("POST", "/tasks/execute/"+unknown+"/?fail_on_error=yes", ""), 400, "fail_on_error must be true or false")
	a.expect("bad body", a.do("POST", "/tasks/execute/"+unknown+"/", "[]"), 400, "Invalid JSON")
	a.expect("body with fields", a.do("POST", "/tasks/execute/"+unknown+"/", `{"fail_on_error":true}`), 400, "unknown field")
}

func TestDuplicateDeliveryKeepsTheMessageUntilTheRunHasEnded(t *testing.T) {
	a := newAPI(t, nil)
	id := a.enqueue(`{"task":"t.block"}`)
	done := make(chan reply)
	go func() { done <- a.deliver(id) }()
	<-a.started
	duplicate := a.deliver(id)
	a.expect("while it runs", duplicate, 409, `"executed":false`)
	if wait := duplicate.header.Get("Retry-After"); wait == "" || wait == "0" {
		t.Errorf("Retry-After %q", wait)
	}
	close(a.block)
	a.expect("the run", <-done, 200, `"status":"SUCCESSFUL"`)
	a.expect("afterwards", a.deliver(id), 200, `"executed":false`)
	if n := a.attempts(id); n != 1.0 {
		t.Errorf("%v attempts", n)
	}
}

func TestFullProcessAnswersBusy(t *testing.T) {
	for status, header := range map[int]int{http.StatusTooManyRequests: 0, http.StatusServiceUnavailable: http.StatusServiceUnavailable} {
		a := newAPI(t, func(c *httpapi.Config, _ *queue.Config) { c.BusyStatus = header })
		done := make(chan reply)
		for range 2 {
			id := a.enqueue(`{"task":"t.block"}`)
			go func() { done <- a.deliver(id) }()
			<-a.started
		}
		busy := a.deliver(a.enqueue(`{"task":"t.echo"}`))
		a.expect("third at once", busy, status, `"executed":false`)
		if busy.header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
		close(a.block)
		<-done
		<-done
	}
}

func TestInterruptedDeliveryComesAgain(t *testing.T) {
	a := newAPI(t, nil)
	id := a.enqueue(`{"task":"t.block"}`)
	done := make(chan reply)
	go func() { done <- a.deliver(id) }()
	<-a.started
	stopped, stop := context.WithCancel(t.Context())
	stop()
	if err := a.exec.Shutdown(stopped, 5*time.Second); err != nil {
		t.Error(err)
	}
	a.expect("interrupted", <-done, 500, `"executed":false`)
	if n := a.attempts(id); n != 0.0 {
		t.Errorf("%v attempts, want the claim released", n)
	}
	a.expect("delivery to a process that stops", a.deliver(id), 500, `"executed":false`)
}

// broken is a store whose claims fail in a given way.
type broken struct {
	queue.Store
	err error
}

func (b broken) Claim(context.Context, uuid.UUID, queue.ClaimRequest) (*queue.Row, error) {
	return nil, b.err
}
func (b broken) Get(context.Context, uuid.UUID) (*queue.Row, error) { return nil, b.err }
func (b broken) Insert(context.Context, ...*queue.NewRow) error     { return b.err }

// requiredStore hides that its store is a queue.Operator.
type requiredStore struct{ queue.Store }

func TestAStoreThatIsNoOperatorAnswers501(t *testing.T) {
	var log bytes.Buffer // written by this goroutine: the handler is called directly
	a := newAPI(t, func(c *httpapi.Config, q *queue.Config) {
		q.Store, c.Logger = requiredStore{q.Store}, slog.New(slog.NewTextHandler(&log, nil))
	})
	id := a.enqueue(`{"task":"t.echo","args":7}`)
	a.expect("execute", a.deliver(id), 200, `"executed":true`)
	for _, call := range []string{"GET /tasks/status/", "GET /tasks/purge/", "POST /tasks/purge/"} {
		method, path, _ := strings.Cut(call, " ")
		a.expect(call, a.do(method, path, ""), 501, queue.ErrUnsupported.Error())
	}
	if log.Len() > 0 {
		t.Errorf("logged, though nothing failed: %s", &log)
	}
	a.expect("sweep", a.do("POST", "/tasks/sweep/", ""), 200, `"dispatched":0`)
}

func TestDatabaseErrorsAre503WithoutDetails(t *testing.T) {
	for name, err := range map[string]error{
		"unreachable": fmt.Errorf("%w: dial tcp 10.0.0.1:5432: secret", queue.ErrUnavailable),
		"closed":      fmt.Errorf("claim: %w", queue.ErrClosed),
		"slow":        fmt.Errorf("secret: %w", context.DeadlineExceeded),
		"schema":      fmt.Errorf("secret: %w", queue.ErrSchema),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // calls are retried for seconds
				a := newAPI(t, func(_ *httpapi.Config, q *queue.Config) { q.Store = broken{q.Store, err} })
				for _, got := range []reply{
					a.deliver(uuid.NewString()),
					a.do("GET", "/tasks/result/"+uuid.NewString()+"/", ""),
					a.do("POST", "/tasks/enqueue/", `{"task":"t.echo"}`),
				} {
					if got.status != 503 || got.header.Get("Retry-After") == "" || strings.Contains(got.text, "secret") || got.body["error"] == nil {
						t.Errorf("%d %s %v", got.status, got.text, got.header)
					}
				}
			})
		})
	}
	a := newAPI(t, func(_ *httpapi.Config, q *queue.Config) { q.Store = broken{q.Store, errors.New("secret")} })
	a.expect("a bug", a.deliver(uuid.NewString()), 500, `{"error":"internal error"}`)
}

func TestAFailedTaskWithoutItsArgumentsSaysWhyItIsNotRetried(t *testing.T) {
	a := newAPI(t, nil)
	id := a.enqueue(`{"task":"t.discard","keep_successful":"1h","keep_failed":"0"}`)
	a.deliver(id)
	a.expect("a repeated delivery", a.deliver(id), 200, `{"executed":false,"reason":"Task is not in READY status"}`)
	a.expect("a retry", a.do("POST", "/tasks/execute/"+id+"/?allow_retry=true", ""), 200,
		`{"executed":false,"reason":"its retention (Keep, keep_failed) dropped its arguments when it ended, so it cannot be retried; a sweep deletes it after 20`)
}

// The ticket of a deleted task is an ordinary end: one warning, and it is not delivered again.
func TestTheTicketOfADeletedTask(t *testing.T) {
	var log bytes.Buffer
	a := newAPI(t, func(cfg *httpapi.Config, _ *queue.Config) { cfg.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	id := a.enqueue(`{"task":"t.echo"}`)
	a.expect("delete", a.do("POST", "/tasks/delete/"+id+"/", ""), 200, `{"deleted":true}`)
	a.expect("its ticket, at first", a.deliver(id, "X-CloudTasks-TaskRetryCount", "0"), 404, `{"error":"Task not found"}`)
	a.expect("its ticket, at last", a.deliver(id, "X-CloudTasks-TaskRetryCount", "5"), 200, `{"executed":false,"reason":"Task not found"}`)
	if lines := log.String(); strings.Count(lines, "\n") != 1 || !strings.Contains(lines, "level=WARN") || !strings.Contains(lines, "it was deleted, or is in another database") || !strings.Contains(lines, id) {
		t.Error(lines)
	}
}
