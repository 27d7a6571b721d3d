package cloudtaskstest_test

import (
	"fmt"
	"io"
	"net/http"
	"path"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/cloudtasks/apiv2/cloudtaskspb"

	"github.com/claimcheck-go/claimcheck/cloudtasks/cloudtaskstest"
)

// The counts, and what the retry headers hold, are as recorded from the real
// service.
func TestHeadersOfHTTPTasks(t *testing.T) {
	bubble(t, nil, nil, func(fx *fixture) {
		fx.answer(503, 404, 200)
		chosen := task()
		chosen.GetHttpRequest().Headers = map[string]string{
			"x-mine": "kept", "User-Agent": "mine", "X-CloudTasks-TaskRetryCount": "99", "X-AppEngine-QueueName": "forged", "Host": "forged",
		}
		created := fx.create(chosen)
		fx.empty()
		for i, want := range []struct{ retries, executions, previous string }{{"0", "0", ""}, {"1", "0", "503"}, {"2", "1", "404"}} {
			header := fx.requests[i].Header
			for name, value := range map[string]string{
				"User-Agent":                        "Google-Cloud-Tasks",
				"X-Mine":                            "kept",
				"X-CloudTasks-QueueName":            "default",
				"X-CloudTasks-TaskName":             path.Base(created.GetName()),
				"X-CloudTasks-TaskRetryCount":       want.retries,
				"X-CloudTasks-TaskExecutionCount":   want.executions,
				"X-CloudTasks-TaskPreviousResponse": want.previous,
				"X-AppEngine-QueueName":             "",
				"X-CloudTasks-TaskETA":              fmt.Sprintf("%.6f", float64(fx.times[i].UnixMicro())/1e6),
			} {
				if got := header.Get(name); got != value {
					fx.Errorf("delivery %d: %s is %q, want %q", i, name, got, value)
				}
			}
			if reason, ok := header[http.CanonicalHeaderKey("X-CloudTasks-TaskRetryReason")]; ok != (i > 0) || ok && reason[0] != "" {
				fx.Errorf("delivery %d: retry reason %q", i, reason)
			}
			if fx.requests[i].Host != "worker.example" {
				fx.Errorf("delivery %d: host %s", i, fx.requests[i].Host)
			}
		}
	})
}

func TestAppEngineTasks(t *testing.T) {
	bubble(t, nil, nil, func(fx *fixture) {
		fx.answer(503, 404, 200)
		body := ""
		fx.before = func(r *http.Request, _ int) {
			raw, _ := io.ReadAll(r.Body)
			body = string(raw)
		}
		created := fx.create(&cloudtaskspb.Task{MessageType: &cloudtaskspb.Task_AppEngineHttpRequest{AppEngineHttpRequest: &cloudtaskspb.AppEngineHttpRequest{
			RelativeUri: "/tasks/execute/1/", AppEngineRouting: &cloudtaskspb.AppEngineRouting{Service: "worker", Version: "v7"}, Body: []byte("hello"),
		}}})
		host := created.GetAppEngineHttpRequest().GetAppEngineRouting().GetHost()
		if host != "v7-dot-worker-dot-acme.appspot.com" {
			fx.Errorf("host %s", host)
		}
		fx.empty()
		for i, want := range []struct{ retries, executions, previous, reason string }{{"0", "0", "", ""}, {"1", "1", "503", "App Error"}, {"2", "2", "404", "App Error"}} {
			r := fx.requests[i]
			for name, value := range map[string]string{
				"User-Agent":                       "AppEngine-Google; (+http://code.google.com/appengine)",
				"Content-Type":                     "application/octet-stream",
				"X-AppEngine-QueueName":            "default",
				"X-AppEngine-TaskRetryCount":       want.retries,
				"X-AppEngine-TaskExecutionCount":   want.executions,
				"X-AppEngine-TaskPreviousResponse": want.previous,
				"X-AppEngine-TaskRetryReason":      want.reason,
				"X-CloudTasks-QueueName":           "",
				"Authorization":                    "",
			} {
				if got := r.Header.Get(name); got != value {
					fx.Errorf("delivery %d: %s is %q, want %q", i, name, got, value)
				}
			}
			if r.Host != host || r.URL.Path != "/tasks/execute/1/" || body != "hello" {
				fx.Errorf("delivery %d: %s%s %q", i, r.Host, r.URL, body)
			}
		}
	})
}

func TestAppEngineTasksGoToTheirConfiguredURL(t *testing.T) {
	got := make(chan string, 1)
	transport := roundTripper(func(r *http.Request) (*http.Response, error) {
		got <- r.URL.String() + " for " + r.Host
		return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
	})
	bubble(t, nil, func(c *cloudtaskstest.Config) {
		c.Handler, c.Transport, c.AppEngineURL = nil, transport, "http://127.0.0.1:8080/"
		got = make(chan string, 1)
	}, func(fx *fixture) {
		fx.create(&cloudtaskspb.Task{MessageType: &cloudtaskspb.Task_AppEngineHttpRequest{AppEngineHttpRequest: &cloudtaskspb.AppEngineHttpRequest{RelativeUri: "/x?y=1"}}})
		fx.empty()
		if want, got := "http://127.0.0.1:8080/x?y=1 for acme.appspot.com", <-got; got != want {
			fx.Errorf("got %s, want %s", got, want)
		}
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestAppEngineThrottlesOnlyOn503(t *testing.T) {
	slowed := func(code int) (took time.Duration) {
		bubble(t, limitedQueue(1, 1), nil, func(fx *fixture) {
			fx.answer(code)
			for range 3 {
				fx.create(&cloudtaskspb.Task{MessageType: &cloudtaskspb.Task_AppEngineHttpRequest{AppEngineHttpRequest: &cloudtaskspb.AppEngineHttpRequest{}}})
			}
			start := time.Now()
			fx.empty()
			took = time.Since(start)
		})
		return took
	}
	if slow, plain := slowed(503), slowed(429); slow <= plain {
		t.Errorf("503: %s, 429: %s", slow, plain)
	}
}

func TestDeliversOverRealHTTP(t *testing.T) {
	srv, client := cloudtaskstest.Start(t, cloudtaskstest.Config{AutoCreate: cloudtaskstest.AnyQueue})
	got, url := serveHTTP(t)
	ctx := withTimeout(t)
	post := httpTask(url + "/tasks/execute/1/?fail_on_error=true")
	if _, err := client.CreateTask(ctx, &cloudtaskspb.CreateTaskRequest{Parent: queueName, Task: post}); err != nil {
		t.Fatal(err)
	}
	if err := srv.WaitEmpty(ctx); err != nil {
		t.Fatal(err)
	}
	r := <-got
	if r.Method != http.MethodPost || r.URL.String() != "/tasks/execute/1/?fail_on_error=true" || r.ContentLength != 0 || !strings.HasPrefix(url, "http://"+r.Host) {
		t.Errorf("%s %s, %d bytes, to %s", r.Method, r.URL, r.ContentLength, r.Host)
	}
}
