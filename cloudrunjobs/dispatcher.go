package cloudrunjobs

import (
	"context"
	"fmt"
	"regexp"
	"sync"
	"time"

	run "cloud.google.com/go/run/apiv2"
	"cloud.google.com/go/run/apiv2/runpb"
	"github.com/google/uuid"
	"github.com/googleapis/gax-go/v2"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/claimcheck-go/claimcheck/queue"
)

// Runner is the part of the Cloud Run client that a Dispatcher uses.
// *apiv2.JobsClient of cloud.google.com/go/run is one.
type Runner interface {
	RunJob(context.Context, *runpb.RunJobRequest, ...gax.CallOption) (*run.RunJobOperation, error)
}

// concurrency bounds the executions that one Dispatch is starting at once.
const concurrency = 8

// timeoutMargin is what an execution may take beyond its task's timeout: to
// start, and to store how the task ended.
const timeoutMargin = 5 * time.Minute

// maxExecution is the longest that Cloud Run lets a job's container run.
const maxExecution = 7 * 24 * time.Hour

// Dispatcher starts an execution for each ticket that is due. It is a
// queue.Dispatcher and a queue.TimeoutChecker, and safe for concurrent use.
type Dispatcher struct {
	runner Runner
	job    string
	now    func() time.Time
}

var (
	_ queue.Dispatcher     = (*Dispatcher)(nil)
	_ queue.TimeoutChecker = (*Dispatcher)(nil)
)

var (
	fullName = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^projects/[A-Za-z0-9:.-]+/locations/[a-z0-9-]+/jobs/[a-z]([a-z0-9-]{0,61}[a-z0-9])?$`)
	})
	shortName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$`) })
)

// IsShort reports whether a job's name leaves out its project and region.
func IsShort(name string) bool { return shortName().MatchString(name) }

// FullName puts a job's short name into a project and a region.
func FullName(project, location, name string) string {
	return fmt.Sprintf("projects/%s/locations/%s/jobs/%s", project, location, name)
}

// CheckName returns an error if job is not the full name of a job.
func CheckName(job string) error {
	if !fullName().MatchString(job) {
		return fmt.Errorf("the name of a job must be projects/PROJECT/locations/REGION/jobs/NAME, not %q", job)
	}
	return nil
}

// New returns a [Dispatcher] that runs tasks as executions of a job, which has a
// full name, like "projects/acme/locations/europe-west1/jobs/claimcheck".
func New(runner Runner, job string) (*Dispatcher, error) {
	if err := CheckName(job); err != nil {
		return nil, err
	}
	return &Dispatcher{runner: runner, job: job, now: time.Now}, nil
}

// CheckTimeout refuses tasks that may take longer than an execution.
func (d *Dispatcher) CheckTimeout(timeout time.Duration) error {
	if longest := maxExecution - timeoutMargin; timeout > longest {
		return fmt.Errorf("a timeout of %s is longer than the %s that a task may take in a Cloud Run job: lower queue.Timeout and let the task go on with queue.Snooze", timeout, longest)
	}
	return nil
}

// Dispatch starts an execution for each ticket that is due, and waits for none
// of them. Tickets that are not due are left to the sweeper.
func (d *Dispatcher) Dispatch(ctx context.Context, tickets ...queue.Ticket) error {
	var (
		group  errgroup.Group
		mu     sync.Mutex
		failed = map[uuid.UUID]error{}
	)
	group.SetLimit(concurrency)
	now := d.now()
	for _, ticket := range tickets {
		if ticket.DueAt.After(now) {
			continue
		}
		group.Go(func() error {
			if _, err := d.runner.RunJob(ctx, newRequest(d.job, ticket)); err != nil {
				mu.Lock()
				defer mu.Unlock()
				failed[ticket.ID] = explain(err, d.job)
			}
			return nil // one ticket's failure does not stop the others
		})
	}
	_ = group.Wait()
	if len(failed) > 0 {
		return &queue.DispatchError{Failed: failed}
	}
	return nil
}

// newRequest builds the request for one ticket. A task without a timeout has as long as the job's own settings say.
func newRequest(job string, ticket queue.Ticket) *runpb.RunJobRequest {
	overrides := &runpb.RunJobRequest_Overrides{
		TaskCount: 1,
		ContainerOverrides: []*runpb.RunJobRequest_Overrides_ContainerOverride{
			{Args: []string{"run", ticket.ID.String()}},
		},
	}
	if ticket.Timeout > 0 {
		overrides.Timeout = durationpb.New(min(ticket.Timeout.Round(time.Second)+timeoutMargin, maxExecution))
	}
	return &runpb.RunJobRequest{Name: job, Overrides: overrides}
}
