package cloudtasks

import (
	"fmt"
	"strings"
	"time"

	"cloud.google.com/go/cloudtasks/apiv2/cloudtaskspb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/claimcheck-go/claimcheck/internal/handlerpath"
	"github.com/claimcheck-go/claimcheck/queue"
)

// The service's limits for schedule_time and dispatch_deadline (whose lower one,
// 15 s, is below deadlineMargin).
const (
	maxScheduleAhead     = 30 * 24 * time.Hour
	maxHTTPDeadline      = 30 * time.Minute
	maxAppEngineDeadline = 24*time.Hour + 15*time.Second
)

// maxClockAhead is how long past a time may be that a task is still scheduled for: to this
// process's clock it may be past, and not to the service's, which runs what is past at once.
const maxClockAhead = time.Minute

// deadlineMargin is what Cloud Tasks waits beyond a task's own timeout, so that
// a task that times out still gets its failure stored and its answer read: a
// handler's context ends before the dispatch deadline does.
const deadlineMargin = 30 * time.Second

// MaxTaskTimeout is the longest task timeout that still ends before the
// service's longest dispatch deadline for HTTP targets (30 minutes). A longer
// task runs on all the same, but Cloud Tasks takes it for failed and delivers
// it again, to a row that is then still leased.
const MaxTaskTimeout = maxHTTPDeadline - deadlineMargin

// LongestTimeout is the longest that a task may take: its context must end
// before Cloud Tasks gives up on the delivery, and before the platform ends the
// request (RequestTimeout), or it would be delivered again while it runs. It also
// returns what limits it.
func (cfg Config) LongestTimeout() (longest time.Duration, because string) {
	longest, because = MaxTaskTimeout, "Cloud Tasks waits 30m for an answer"
	if cfg.AppEngine != nil {
		longest, because = maxAppEngineDeadline-deadlineMargin, "Cloud Tasks waits 24h for App Engine"
	}
	if limit := cfg.RequestTimeout - RequestMargin(cfg.RequestTimeout); cfg.RequestTimeout > 0 && limit < longest {
		longest, because = limit, fmt.Sprintf("the platform ends a request after %s", cfg.RequestTimeout)
	}
	return longest, because
}

// CheckTimeout refuses a task that may take longer than [Config.LongestTimeout].
func (cfg Config) CheckTimeout(timeout time.Duration) error {
	longest, because := cfg.LongestTimeout()
	if timeout <= longest {
		return nil
	}
	return fmt.Errorf("a timeout of %s is longer than the %s that a task may take here (%s, less a margin to store the result): "+
		"lower queue.Timeout and let the task go on with queue.Snooze, raise the platform's request timeout if that is what limits it, or put it on a backend that workers pull from (queue.OnBackend)",
		timeout, longest, because)
}

// RequestMargin is what a task leaves of a request's time, so that its result
// can be stored: a tenth, or ten seconds.
func RequestMargin(requestTimeout time.Duration) time.Duration {
	return min(requestTimeout/10, 10*time.Second)
}

// query goes on every handler URL: a failed run then answers 500, and the
// queue's backoff times the retry.
const query = "?fail_on_error=true"

// newCreateTaskRequest builds the request for one ticket. cfg has been checked. It depends on nothing but its arguments.
func newCreateTaskRequest(cfg Config, ticket queue.Ticket, now time.Time) (*cloudtaskspb.CreateTaskRequest, error) {
	queueID, err := cfg.QueueID(ticket.Queue, ticket.ID)
	if err != nil {
		return nil, err
	}
	parent := "projects/" + cfg.Project + "/locations/" + cfg.Location + "/queues/" + queueID

	m := &messages{}
	task := &m.task
	if cfg.AppEngine != nil {
		task.MessageType = appEngineRequest(cfg.AppEngine, ticket)
	} else {
		task.MessageType = m.httpRequest(cfg, ticket)
	}
	if deadline := dispatchDeadline(ticket.Timeout, cfg.AppEngine != nil); deadline > 0 {
		m.deadline.Seconds, m.deadline.Nanos = int64(deadline/time.Second), int32(deadline%time.Second)
		task.DispatchDeadline = &m.deadline
	}
	if ticket.Name != "" {
		if !validTaskID(ticket.Name) {
			return nil, fmt.Errorf("ticket name %q cannot be a Cloud Tasks task ID, which is 1 to 500 letters, digits, hyphens and underscores", ticket.Name)
		}
		task.Name = parent + "/tasks/" + ticket.Name
	}
	if ticket.DueAt.After(now.Add(-maxClockAhead)) {
		if ticket.DueAt.Sub(now) > maxScheduleAhead {
			return nil, fmt.Errorf("due at %s, but Cloud Tasks schedules at most 30 days ahead; dispatch it within %d days of its time",
				ticket.DueAt.UTC().Format(time.RFC3339), queue.ArmWithin/(24*time.Hour))
		}
		task.ScheduleTime = timestamppb.New(ticket.DueAt)
	}
	m.request.Parent, m.request.Task = parent, task
	return &m.request, nil
}

// messages are what a request for an HTTP target consists of, in one allocation.
type messages struct {
	request  cloudtaskspb.CreateTaskRequest
	task     cloudtaskspb.Task
	message  cloudtaskspb.Task_HttpRequest
	http     cloudtaskspb.HttpRequest
	header   cloudtaskspb.HttpRequest_OidcToken
	token    cloudtaskspb.OidcToken
	deadline durationpb.Duration
}

func (m *messages) httpRequest(cfg Config, ticket queue.Ticket) *cloudtaskspb.Task_HttpRequest {
	handlerURL := cfg.HandlerURL
	if ticket.AnyVersion {
		handlerURL = WithoutTag(handlerURL)
	}
	m.token.ServiceAccountEmail, m.token.Audience = cfg.ServiceAccountEmail, cfg.Audience
	m.header.OidcToken = &m.token
	m.http.HttpMethod, m.http.Url = cloudtaskspb.HttpMethod_POST, withID(handlerURL, ticket)
	m.http.AuthorizationHeader = &m.header
	m.message.HttpRequest = &m.http
	return &m.message
}

// withID returns a handler's URL or path for one ticket.
func withID(handler string, ticket queue.Ticket) string {
	before, after, _ := strings.Cut(handler, handlerpath.Placeholder)
	return before + ticket.ID.String() + after + query
}

func appEngineRequest(target *AppEngineTarget, ticket queue.Ticket) *cloudtaskspb.Task_AppEngineHttpRequest {
	request := &cloudtaskspb.AppEngineHttpRequest{
		HttpMethod:  cloudtaskspb.HttpMethod_POST,
		RelativeUri: withID(target.HandlerPath, ticket),
	}
	version := target.Version
	if ticket.AnyVersion {
		version = ""
	}
	if target.Service != "" || version != "" {
		request.AppEngineRouting = &cloudtaskspb.AppEngineRouting{Service: target.Service, Version: version}
	}
	return &cloudtaskspb.Task_AppEngineHttpRequest{AppEngineHttpRequest: request}
}

// dispatchDeadline is how long Cloud Tasks waits for the handler: the task's
// timeout and a margin, within the service's limits. A task without a timeout
// gets the longest there is: a shorter one would only deliver it again while it
// runs. On App Engine that is 0, the default of the service's scaling type.
func dispatchDeadline(timeout time.Duration, appEngine bool) time.Duration {
	longest := maxHTTPDeadline
	if appEngine {
		longest = maxAppEngineDeadline
	}
	switch {
	case timeout <= 0 && appEngine:
		return 0
	case timeout <= 0, timeout > longest-deadlineMargin:
		return longest
	}
	return timeout + deadlineMargin
}
