package doctor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	apiv2 "cloud.google.com/go/cloudtasks/apiv2"
	"cloud.google.com/go/cloudtasks/apiv2/cloudtaskspb"
	"github.com/googleapis/gax-go/v2"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/claimcheck-go/claimcheck/cloudtasks"
	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/config"
	"github.com/claimcheck-go/claimcheck/server/internal/stores"
)

// ProbeName is the name of the task that doctor --deliver enqueues.
const ProbeName = "claimcheck.probe"

// Probe returns the task of [ProbeName], which does nothing. Every server registers
// it.
func Probe() queue.Definition {
	return queue.NewTask(ProbeName, func(context.Context, struct{}) (struct{}, error) { return struct{}{}, nil }, queue.MaxAttempts(3))
}

// deliverCheck makes one real delivery, with --deliver.
func (d *Diagnosis) deliverCheck() Check {
	check := Check{
		Name: "delivery", Needs: []string{"schema", "rights", "TASKS_MODE", "TASKS_QUEUES", "create task", "act as"},
		Limit: d.DeliverTimeout + deliverMargin, Look: d.checkDelivery,
	}
	switch {
	case !d.Deliver:
		check.Skip = "--deliver makes one"
	case d.mode == config.ModeCloudTasks && d.target == nil:
		check.Skip = d.noCloudTasks()
	case d.mode != config.ModeCloudTasks: // whose checks are skipped
		check.Needs = check.Needs[:4]
	}
	if rawURL, _ := d.config.DatabaseURL(); d.file != "" || stores.InMemory(rawURL) {
		// Then rights is skipped, and the delivery must not be.
		check.Needs = slices.DeleteFunc(check.Needs, func(name string) bool { return name == "rights" })
	}
	return check
}

// deliverMargin is what the check may take besides the time that it waits.
const deliverMargin = 10 * time.Second

// delivery is one probe.
type delivery struct {
	*Diagnosis
	client  *queue.Client
	handle  *queue.Handle
	creator *probeCreator // in cloudtasks mode
}

// probeCreator keeps the name of the Cloud Task that it creates.
type probeCreator struct {
	cloudtasks.TaskCreator
	mu   sync.Mutex
	name string
}

// CreateTask creates a Cloud Task.
func (c *probeCreator) CreateTask(ctx context.Context, request *cloudtaskspb.CreateTaskRequest, options ...gax.CallOption) (*cloudtaskspb.Task, error) {
	task, err := c.TaskCreator.CreateTask(ctx, request, options...)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.name = task.GetName()
	return task, err
}

func (c *probeCreator) task() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.name
}

// checkDelivery enqueues the probe as any task is enqueued, and waits for the
// running service, or worker, to have run it.
func (d *Diagnosis) checkDelivery(ctx context.Context) Finding {
	if rawURL, _ := d.config.DatabaseURL(); d.file != "" || stores.InMemory(rawURL) {
		return Failf("start serve with this database", "not created: there is no database yet")
	}
	return (&delivery{Diagnosis: d}).check(ctx)
}

func (d *delivery) check(ctx context.Context) Finding {
	if err := d.enqueue(ctx); err != nil {
		return Failf("correct what the error names", "not created: %s", err)
	}
	began := time.Now()
	waiting, cancel := context.WithTimeout(ctx, d.DeliverTimeout)
	defer cancel()
	row, err := d.client.Wait(waiting, d.handle.ID)
	took := time.Since(began).Round(time.Millisecond)
	ending, cancelEnd := context.WithTimeout(context.WithoutCancel(ctx), deliverMargin/2)
	defer cancelEnd()
	return d.conclude(ending, row, took, err)
}

// conclude reports how the probe ended, or how far it came, from what the wait for
// it returned. A probe that has not ended is withdrawn.
func (d *delivery) conclude(ctx context.Context, row *queue.Row, took time.Duration, waited error) Finding {
	if waited == nil && row.Status == queue.StatusSuccessful {
		d.forget(ctx)
		return Okf("%s: created%s, claimed by %s and finished in %s", d.handle.ID, d.delivered(), last(row.WorkerIDs), took)
	}
	found := d.stuck(ctx, took, waited)
	if row := d.withdraw(ctx); row != nil && row.Status == queue.StatusSuccessful { // since the wait ended
		d.forget(ctx)
		return Okf("%s: created%s, claimed by %s and finished, but not within %s", d.handle.ID, d.delivered(), last(row.WorkerIDs), took)
	}
	return found
}

func (d *delivery) enqueue(ctx context.Context) (err error) {
	cfg := queue.Config{
		Store: d.db, Registry: d.registry, Queues: config.NonEmpty(d.config.Settings.TasksQueues), Logger: slog.New(slog.DiscardHandler),
		DispatchTimeout: d.config.Settings.TasksDispatchTimeout,
	}
	if d.mode == config.ModeCloudTasks {
		d.creator = &probeCreator{TaskCreator: d.cloudTasks}
		target := d.target.Tasks
		target.BatchCreate = false // there is one ticket
		if cfg.Dispatcher, err = cloudtasks.New(d.creator, target); err != nil {
			return err
		}
	}
	if d.client, err = queue.NewClient(cfg); err != nil {
		return err
	}
	options := []queue.Option{queue.MaxAttempts(3)}
	if len(cfg.Queues) > 0 {
		options = append(options, queue.OnQueue(cfg.Queues[0]))
	}
	if d.handle, err = d.client.Enqueue(ctx, ProbeName, nil, options...); err != nil {
		return err
	}
	if text := d.handle.Row.DispatchError; text != "" {
		d.withdraw(ctx)
		return errors.New(text)
	}
	return nil
}

// stuck reports how far the probe came.
func (d *delivery) stuck(ctx context.Context, took time.Duration, waited error) Finding {
	row, err := d.client.Get(ctx, d.handle.ID)
	where := fmt.Sprintf("%s: not finished after %s: created", d.handle.ID, took)
	switch {
	case errors.Is(err, queue.ErrNotFound): // only tasks that have ended are deleted
		return Warnf("run doctor --deliver again", "%s: created, and ended, but a purge deleted its row before its status was read; each doctor --deliver purges the probes that were successful", d.handle.ID)
	case err != nil:
		return Failf("look at the database", "%s, and then its row could not be read: %s (%v)", where, err, waited)
	case row.Status == queue.StatusFailed:
		return Failf("look at the log of the server", "%s: claimed by %s, and FAILED: %s", d.handle.ID, last(row.WorkerIDs), row.Errors[len(row.Errors)-1].Message)
	case row.Status == queue.StatusCancelled:
		return Failf("run doctor --deliver again", "%s: created, and then cancelled by another program before it ended", d.handle.ID)
	case len(row.WorkerIDs) > 0:
		return Failf("look at the log of that server", "%s%s, claimed by %s, which has not finished it (%s)", where, d.delivered(), last(row.WorkerIDs), row.Status)
	case d.mode == config.ModeLocal:
		return Failf("start serve with this database", "%s, not claimed: no server in local mode runs with this database", where)
	case d.mode == config.ModePull:
		return Failf("start work --continuous with this database, for queue "+row.Queue, "%s, not claimed: no worker pulls from queue %s of this database", where, row.Queue)
	}
	return d.stuckInQueue(ctx, where)
}

// delivered names the steps before the claim, which only cloudtasks mode has: in the
// other modes a process takes the row from the database.
func (d *delivery) delivered() string {
	if d.mode == config.ModeCloudTasks {
		return ", delivered, authenticated"
	}
	return ""
}

// stuckInQueue reports what Cloud Tasks recorded of the probe.
func (d *delivery) stuckInQueue(ctx context.Context, where string) Finding {
	name := d.creator.task()
	task, err := d.answered(ctx, name)
	switch code := status.Code(err); {
	case code == codes.NotFound:
		return Failf("let the service at TASK_HANDLER_URL use this database, and check whether a proxy in front of it answers 2xx by itself",
			"%s, and Cloud Tasks no longer has the task: its delivery was answered 2xx, but nothing claimed the row in this database (a service that uses another database answers 404, and from the sixth delivery on 200)", where)
	case code == codes.PermissionDenied:
		return Failf("look at the log of the server; to let doctor see more, give its account roles/cloudtasks.viewer on the queue",
			"%s, not claimed; this account may not read the Cloud Task %s", where, name)
	case err != nil:
		return Failf("look at the log of the server", "%s, not claimed; the Cloud Task could not be read: %s", where, err)
	}
	last := task.GetLastAttempt()
	answered := last.GetResponseStatus()
	switch code := answerCode(answered); {
	case task.GetDispatchCount() == 0:
		return Failf("look at the queue: "+describeCommand(name), "%s, not delivered: Cloud Tasks has made no attempt", where)
	case task.GetResponseCount() == 0:
		return Failf("let TASK_HANDLER_URL be reachable from Cloud Tasks (host, TLS, ingress, firewall)",
			"%s, not delivered: %d attempts, none of which was answered%s", where, task.GetDispatchCount(), prefixed(": ", answered.GetMessage()))
	case answered == nil:
		return Failf("look at the log of the server", "%s, delivered %d times before, not claimed: the delivery under way is not answered yet", where, task.GetResponseCount())
	case code == codes.Unauthenticated, code == codes.PermissionDenied:
		return Failf("compare OIDC_SERVICE_ACCOUNT_EMAIL and OIDC_AUDIENCE with the running service's; with Cloud Run's IAM give the account roles/run.invoker",
			"%s, delivered %d times, not authenticated: the last answer was %s", where, task.GetResponseCount(), answered.GetMessage())
	case redirect.MatchString(answered.GetMessage()):
		return Failf("let TASK_HANDLER_URL name the address that it is redirected to: Cloud Tasks follows no redirect",
			"%s, delivered %d times, not claimed: the last answer was %s", where, task.GetResponseCount(), answered.GetMessage())
	case code == codes.NotFound:
		return Failf("let TASK_HANDLER_URL and DATABASE_URL be the same where the server runs",
			"%s, delivered %d times, not claimed: the last answer was %s: no handler is at that path, or the service uses another database", where, task.GetResponseCount(), answered.GetMessage())
	default:
		return Failf("look at the log of the server; one of an older version does not know the task "+ProbeName,
			"%s, delivered %d times, not claimed: the last answer was %s", where, task.GetResponseCount(), answered.GetMessage())
	}
}

// answerTime bounds the wait for the answer to a delivery that is under way.
const answerTime = deliverMargin / 4

// answered returns the Cloud Task once its last delivery was answered. While one is
// under way, Cloud Tasks shows the answer neither to it nor to those before.
func (d *delivery) answered(ctx context.Context, name string) (*cloudtaskspb.Task, error) {
	limit := time.Now().Add(answerTime)
	for {
		task, err := d.cloudTasks.GetTask(ctx, &cloudtaskspb.GetTaskRequest{Name: name}, gax.WithRetry(nil))
		if err != nil || task.GetLastAttempt() == nil || task.GetLastAttempt().GetResponseStatus() != nil || time.Now().After(limit) {
			return task, err
		}
		if err := gax.Sleep(ctx, 100*time.Millisecond); err != nil {
			return task, nil //nolint:nilerr // what was seen is reported
		}
	}
}

// prefixed is a text with something before it, or nothing.
func prefixed(prefix, text string) string {
	if text == "" {
		return ""
	}
	return prefix + text
}

var (
	httpStatus = regexp.MustCompile(`\b[1-5]\d\d\b`)
	redirect   = regexp.MustCompile(`\b3\d\d\b`)
)

// answerCode is the meaning of a delivery's answer: by its HTTP status, which
// Cloud Tasks keeps in the text, or else by the code.
func answerCode(answered *rpcstatus.Status) codes.Code {
	switch httpStatus.FindString(answered.GetMessage()) {
	case "401":
		return codes.Unauthenticated
	case "403":
		return codes.PermissionDenied
	case "404":
		return codes.NotFound
	}
	return codes.Code(answered.GetCode()) //nolint:gosec // codes are small
}

// describeCommand is the command that shows the queue of a Cloud Task,
// projects/P/locations/L/queues/Q/tasks/T.
func describeCommand(task string) string {
	parts := strings.Split(task, "/")
	if len(parts) < 6 {
		return "gcloud tasks queues describe"
	}
	return fmt.Sprintf("gcloud tasks queues describe %s --location=%s --project=%s", parts[5], parts[3], parts[1])
}

// forget deletes the rows of probes that have arrived.
func (d *delivery) forget(ctx context.Context) {
	_, _, _ = d.client.Purge(ctx, queue.PurgeRequest{Statuses: []queue.Status{queue.StatusSuccessful}, Task: ProbeName}, nil)
}

// withdraw cancels the probe, if it has not ended, and deletes its Cloud Task. It
// returns the row as it is then, or nil if that is not known. The row stays, so that a
// delivery under way finds that it is over.
func (d *delivery) withdraw(ctx context.Context) *queue.Row {
	row, _, err := d.client.Cancel(ctx, d.handle.ID)
	if err != nil {
		row = nil
	}
	if d.creator != nil && d.creator.task() != "" {
		_ = deleteTask(ctx, d.cloudTasks, d.creator.task()) // refused where this account may not; its delivery is answered 200
	}
	return row
}

func deleteTask(ctx context.Context, client *apiv2.Client, name string) error {
	return client.DeleteTask(ctx, &cloudtaskspb.DeleteTaskRequest{Name: name}, gax.WithRetry(nil))
}

// last is the last of a list, or a dash.
func last(list []string) string {
	if len(list) == 0 {
		return "-"
	}
	return list[len(list)-1]
}
