package cloudtasks

import (
	"context"
	"fmt"
	"path"
	"strings"
	"time"

	"cloud.google.com/go/cloudtasks/apiv2/cloudtaskspb"
	"github.com/google/uuid"
	"github.com/googleapis/gax-go/v2"

	"github.com/claimcheck-go/claimcheck/internal/googleapi"
	"github.com/claimcheck-go/claimcheck/queue"
)

// ProbePrefix begins the name of every Cloud Task that [Probe] creates.
const ProbePrefix = "claimcheck-doctor-"

// TaskClient is the part of the Cloud Tasks client that a Probe uses.
type TaskClient interface {
	TaskCreator
	DeleteTask(context.Context, *cloudtaskspb.DeleteTaskRequest, ...gax.CallOption) error
}

// Probe creates a Cloud Task like any other in one Cloud Tasks queue, and
// deletes it at once: only so can be seen whether this process may create one
// that is signed as the account of cfg. The task is named ProbePrefix and random
// letters, is due queue.ArmWithin from now, and carries the ID of no row, all
// zeros; should it stay, its delivery ends by itself.
//
// The first error is that of creating, explained as a [Dispatcher] does, and the
// second, a *[LeftoverError], that of deleting.
func Probe(ctx context.Context, client TaskClient, cfg Config, queueID string) (create, remove error) {
	cfg.QueueAliases = nil
	cfg, err := cfg.check()
	if err != nil {
		return err, nil
	}
	now := time.Now()
	request, err := newCreateTaskRequest(cfg, queue.Ticket{
		Queue: queueID, DueAt: now.Add(queue.ArmWithin), Name: ProbePrefix + uuid.NewString(),
	}, now)
	if err != nil {
		return err, nil
	}
	if _, err := client.CreateTask(ctx, request); err != nil {
		return explain(err, cfg, request.GetParent()), nil
	}
	name := request.GetTask().GetName()
	err = client.DeleteTask(ctx, &cloudtaskspb.DeleteTaskRequest{Name: name}, gax.WithRetry(nil))
	if err != nil {
		return nil, &LeftoverError{Name: path.Base(name), QueueID: queueID, Err: err}
	}
	return nil, nil
}

// LeftoverError says that [Probe] could not delete the Cloud Task that it created.
type LeftoverError struct {
	Name    string // of the Cloud Task, without its queue
	QueueID string
	Err     error
}

// Error returns the text.
func (e *LeftoverError) Error() string {
	return fmt.Sprintf("delete Cloud Task %s in queue %s: %s", e.Name, e.QueueID, e.Err)
}

// Unwrap returns the service's error.
func (e *LeftoverError) Unwrap() error { return e.Err }

// Refusal is what a refused call is about.
type Refusal int

// The refusals that the service's texts distinguish.
const (
	RefusedUnknown  Refusal = iota // the text does not say
	RefusedQueue                   // the permission on the queue is missing
	RefusedAccount                 // the permission to act as the service account is
	RefusedDisabled                // the Cloud Tasks API is not enabled in the project
)

// WhyRefused reads from the error of a call that was denied which permission is
// missing. The service says: lacks IAM permission "cloudtasks.tasks.create" for
// the resource …
func WhyRefused(err error) Refusal {
	text := err.Error()
	_, service, found := strings.Cut(text, "desc = ")
	if found {
		text = service // the text before it is from explain, and names both
	}
	switch {
	case googleapi.Disabled(text):
		return RefusedDisabled
	case strings.Contains(text, "actAs"), strings.Contains(text, "iam.serviceAccounts"):
		return RefusedAccount
	case strings.Contains(text, "cloudtasks."):
		return RefusedQueue
	}
	return RefusedUnknown
}
