package cloudtaskstest

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"cloud.google.com/go/cloudtasks/apiv2/cloudtaskspb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// The service's limits for a task.
const (
	maxHTTPTask          = 1 << 20
	maxAppEngineTask     = 100 << 10
	maxURL               = 2083
	maxScheduleAhead     = 30 * 24 * time.Hour
	minDispatchDeadline  = 15 * time.Second
	maxHTTPDeadline      = 30 * time.Minute
	maxAppEngineDeadline = 24*time.Hour + 15*time.Second
	maxCallDeadline      = 30 * time.Second
)

const parentRE = `projects/[A-Za-z0-9:.-]+/locations/[a-z0-9-]+`

var (
	parentPattern    = regexp.MustCompile(`^` + parentRE + `$`)
	queueNamePattern = regexp.MustCompile(`^` + parentRE + `/queues/[A-Za-z0-9-]{1,100}$`)
	taskIDPattern    = regexp.MustCompile(`^[A-Za-z0-9_-]{1,500}$`)
)

var (
	errQueueName    = invalid(`Queue name must be formatted: "projects/<PROJECT_ID>/locations/<LOCATION_ID>/queues/<QUEUE_ID>".`)
	errNoQueue      = status.Error(codes.NotFound, "Queue does not exist. If you just created the queue, wait at least a minute for the queue to initialize.")
	errNotFound     = status.Error(codes.NotFound, "Requested entity was not found.")
	errTaskGone     = status.Error(codes.NotFound, "The task no longer exists, though a task with this name existed recently. The task either successfully completed or was deleted.")
	errTaskExists   = status.Error(codes.AlreadyExists, "Requested entity already exists")
	errCallDeadline = invalid("The deadline cannot be more than 30s in the future.")
)

func invalid(text string) error { return status.Error(codes.InvalidArgument, text) }

// checkCallDeadline refuses calls that would wait too long, as the service does
// (seen by golang/pkgsite, not in the reference).
func checkCallDeadline(ctx context.Context) error {
	if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) > maxCallDeadline {
		return errCallDeadline
	}
	return nil
}

// checkTask checks a task that is to be created in a queue of this name.
func (s *Server) checkTask(queueName string, t *cloudtaskspb.Task, now time.Time) error {
	if err := checkTaskName(queueName, t.GetName()); err != nil {
		return err
	}
	size, limit, longest, span := proto.Size(t), maxHTTPTask, maxHTTPDeadline, "[15s, 30m]"
	switch {
	case t.GetHttpRequest() != nil:
		if err := s.checkHTTPRequest(t.GetHttpRequest()); err != nil {
			return err
		}
	case t.GetAppEngineHttpRequest() != nil:
		if uri := t.GetAppEngineHttpRequest().GetRelativeUri(); uri != "" && uri[0] != '/' {
			return invalid("AppEngineHttpRequest.relativeUri must begin with '/'.")
		}
		limit, longest, span = maxAppEngineTask, maxAppEngineDeadline, "[15s, 24h15s]"
	default:
		return invalid("Task.httpRequest or Task.appEngineHttpRequest is required.")
	}
	if size > limit {
		return invalid("Task size too large")
	}
	if deadline := t.GetDispatchDeadline(); deadline != nil &&
		(deadline.AsDuration() < minDispatchDeadline || deadline.AsDuration() > longest) {
		return invalid("Task.dispatchDeadline must be between " + span + ".")
	}
	if at := t.GetScheduleTime(); at != nil && at.AsTime().Sub(now) > maxScheduleAhead {
		return invalid(fmt.Sprintf("The Task.scheduleTime, %s, is too far in the future. Schedule time must be no more than 720h in the future.",
			at.AsTime().Format(time.RFC3339)))
	}
	return nil
}

// checkTaskName checks a name that the caller chose; empty is no choice.
func checkTaskName(queueName, name string) error {
	if name == "" {
		return nil
	}
	inQueue, id, ok := strings.Cut(name, "/tasks/")
	switch {
	case !ok || !queueNamePattern.MatchString(inQueue):
		return invalid(`Task name must be formatted: "projects/<PROJECT_ID>/locations/<LOCATION_ID>/queues/<QUEUE_ID>/tasks/<TASK_ID>"`)
	case inQueue != queueName:
		return invalid(fmt.Sprintf("The queue name from request ('%s') must be the same as the queue name in the named task ('%s').", queueName, inQueue))
	case !taskIDPattern.MatchString(id):
		return invalid(fmt.Sprintf("Task ID %q can contain only letters ([A-Za-z]), numbers ([0-9]), hyphens (-), or underscores (_). Task ID must between 1 and 500 characters.", id))
	}
	return nil
}

func (s *Server) checkHTTPRequest(r *cloudtaskspb.HttpRequest) error {
	switch {
	case r.GetUrl() == "":
		return invalid("HttpRequest.url is required.")
	case !strings.HasPrefix(r.GetUrl(), "http://") && !strings.HasPrefix(r.GetUrl(), "https://"):
		return invalid("HttpTarget.url must start with 'http://' or 'https://'.")
	case len(r.GetUrl()) > maxURL:
		return invalid(fmt.Sprintf("HttpRequest.url must be at most %d characters.", maxURL))
	case r.GetOauthToken() != nil:
		return status.Error(codes.Unimplemented, "cloudtaskstest: OAuth tokens are not built, only OIDC tokens")
	}
	if len(r.GetBody()) > 0 && !mayHaveBody(r.GetHttpMethod()) {
		return invalid("HttpRequest.body is only allowed for POST, PUT and PATCH.")
	}
	if token := r.GetOidcToken(); token != nil {
		switch email := token.GetServiceAccountEmail(); {
		case email == "":
			return invalid("OidcToken.serviceAccountEmail is required.")
		case len(s.cfg.ServiceAccounts) > 0 && !slices.Contains(s.cfg.ServiceAccounts, email):
			return errNotFound // the service answers no more than that
		}
	}
	return nil
}

func mayHaveBody(m cloudtaskspb.HttpMethod) bool {
	switch m {
	case cloudtaskspb.HttpMethod_HTTP_METHOD_UNSPECIFIED, cloudtaskspb.HttpMethod_POST,
		cloudtaskspb.HttpMethod_PUT, cloudtaskspb.HttpMethod_PATCH:
		return true
	}
	return false
}
