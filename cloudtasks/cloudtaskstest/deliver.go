package cloudtaskstest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"

	"cloud.google.com/go/cloudtasks/apiv2/cloudtaskspb"
	"google.golang.org/genproto/googleapis/rpc/code"
)

const defaultDispatchDeadline = 10 * time.Minute

// delivery is one request to a handler, copied from the task under the lock.
type delivery struct {
	method   string
	url      string
	host     string // of an App Engine task that goes to AppEngineURL
	header   http.Header
	body     []byte
	token    *cloudtaskspb.OidcToken
	deadline time.Duration

	delay      time.Duration
	loseAnswer bool
}

// outcome is how an attempt ended.
type outcome struct {
	code       int   // the HTTP status, 0 if there was no answer
	err        error // why there was none
	retryAfter time.Duration
}

func (o outcome) ok() bool { return o.code >= 200 && o.code < 300 }

func (o outcome) text() string {
	if o.err != nil {
		return o.err.Error()
	}
	return fmt.Sprintf("HTTP status code %d", o.code)
}

// rpcCode is the code under which GetTask shows the attempt.
func (o outcome) rpcCode() code.Code {
	switch {
	case o.ok():
		return code.Code_OK
	case errors.Is(o.err, context.DeadlineExceeded):
		return code.Code_DEADLINE_EXCEEDED
	case o.code == http.StatusNotFound:
		return code.Code_NOT_FOUND
	case o.code == http.StatusTooManyRequests:
		return code.Code_RESOURCE_EXHAUSTED
	case o.code == 0, o.code >= 500:
		return code.Code_UNAVAILABLE
	}
	return code.Code_UNKNOWN
}

// errAnswerLost stands for an answer that the fake threw away.
var errAnswerLost = errors.New("cloudtaskstest: the answer was lost (fault)")

// newDelivery is called with s.mu held.
func newDelivery(s *Server, t *task) delivery {
	d := delivery{deadline: t.pb.GetDispatchDeadline().AsDuration()}
	if r := t.pb.GetHttpRequest(); r != nil {
		d.method, d.url, d.body, d.token = method(r.GetHttpMethod()), r.GetUrl(), r.GetBody(), r.GetOidcToken()
		d.header = ownHeaders(r.GetHeaders())
		setTaskHeaders(d.header, "X-CloudTasks-", t, t.non5xx, "")
	} else {
		r := t.pb.GetAppEngineHttpRequest()
		host := r.GetAppEngineRouting().GetHost()
		d.method, d.body = method(r.GetHttpMethod()), r.GetBody()
		d.url = "https://" + host + r.GetRelativeUri()
		if s.cfg.AppEngineURL != "" {
			d.url, d.host = strings.TrimSuffix(s.cfg.AppEngineURL, "/")+r.GetRelativeUri(), host
		}
		d.header = ownHeaders(r.GetHeaders())
		reason := "App Error"
		if t.lastCode == 0 {
			reason = "Instance Unavailable"
		}
		setTaskHeaders(d.header, "X-AppEngine-", t, int(t.pb.GetResponseCount()), reason)
	}
	return d
}

// ownHeaders are the headers that the task's creator chose, less those that the
// service does not let through.
func ownHeaders(chosen map[string]string) http.Header {
	header := http.Header{}
	for name, value := range chosen {
		name = http.CanonicalHeaderKey(name)
		switch {
		case name == "Host", name == "Content-Length",
			strings.HasPrefix(name, "X-Google-"), strings.HasPrefix(name, "X-Appengine-"), strings.HasPrefix(name, "X-Cloudtasks-"):
		default:
			header.Set(name, value)
		}
	}
	return header
}

// setTaskHeaders sets what the service says about the task. TaskRetryCount
// counts all earlier attempts; TaskExecutionCount those that were answered, for
// HTTP targets without 5xx. PreviousResponse and RetryReason come with retries;
// the reason is empty for HTTP targets (recorded from the service).
//
// Assumed: after an attempt without an answer PreviousResponse is absent.
func setTaskHeaders(header http.Header, prefix string, t *task, executions int, reason string) {
	eta := t.due.UnixMicro()
	header.Set(prefix+"QueueName", path.Base(t.queue.settings.GetName()))
	header.Set(prefix+"TaskName", path.Base(t.name()))
	header.Set(prefix+"TaskRetryCount", strconv.Itoa(len(t.attempts)))
	header.Set(prefix+"TaskExecutionCount", strconv.Itoa(executions))
	header.Set(prefix+"TaskETA", fmt.Sprintf("%d.%06d", eta/1e6, eta%1e6))
	if len(t.attempts) == 0 {
		return
	}
	header.Set(prefix+"TaskRetryReason", reason)
	if t.lastCode != 0 {
		header.Set(prefix+"TaskPreviousResponse", strconv.Itoa(t.lastCode))
	}
}

func method(m cloudtaskspb.HttpMethod) string {
	if m == cloudtaskspb.HttpMethod_HTTP_METHOD_UNSPECIFIED {
		return http.MethodPost
	}
	return m.String()
}

// deliver makes the request and waits for the answer, up to the deadline.
func (s *Server) deliver(d delivery) outcome {
	if !sleep(s.ctx, d.delay) {
		return outcome{err: errClosed}
	}
	ctx, cancel := context.WithTimeout(s.ctx, d.deadline)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, d.method, d.url, bytes.NewReader(d.body))
	if err != nil {
		return outcome{err: err}
	}
	request.Header = d.header.Clone()
	request.Host = d.host
	if d.token != nil {
		audience := d.token.GetAudience()
		if audience == "" {
			audience = d.url // the service's default: the whole URL, query included
		}
		token, err := s.Token(d.token.GetServiceAccountEmail(), audience)
		if err != nil {
			return outcome{err: err}
		}
		request.Header.Set("Authorization", "Bearer "+token)
	}
	// A RoundTripper does not follow redirects: 3xx is a failure like any other.
	response, err := s.transport.RoundTrip(request)
	if err != nil {
		return outcome{err: err}
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 1<<20)) // lets the connection be used again
	_ = response.Body.Close()
	if d.loseAnswer {
		return outcome{err: errAnswerLost}
	}
	return outcome{code: response.StatusCode, retryAfter: retryAfter(response.StatusCode, response.Header, time.Now())}
}

// sleep waits for d; it reports false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
