package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"cloud.google.com/go/cloudtasks/apiv2/cloudtaskspb"
	"github.com/googleapis/gax-go/v2"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/claimcheck-go/claimcheck/cloudtasks"
	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/config"
)

// cloudChecks are those of accounts and Cloud Tasks.
func (d *Diagnosis) cloudChecks() []Check {
	skip := d.noCloudTasks()
	keysSkip := skip
	if d.mode != config.ModeCloudTasks && len(d.callers()) > 0 && len(d.config.AudiencesFor(d.config.Settings.TaskHandlerURL)) > 0 {
		keysSkip = "" // tokens are accepted in the other modes too
	}
	if d.target != nil && d.target.Tasks.AppEngine != nil && len(d.callers()) == 0 {
		keysSkip = "no account's tokens are accepted"
	}
	account := []string{"OIDC_SERVICE_ACCOUNT_EMAIL", "OIDC_AUDIENCE", "OIDC_ALLOWED_EMAILS", "OIDC_ISSUER", "OIDC_CERTS_URL", "CLOUD_TASKS_EMULATOR_HOST"}
	queues := []string{"CLOUD_TASKS_PROJECT", "CLOUD_TASKS_LOCATION", "TASKS_QUEUES", "TASKS_QUEUE_ALIASES", "CLOUD_TASKS_EMULATOR_HOST", "OIDC_ISSUER"}
	actAs := Check{Name: "act as", Skip: skip, Needs: []string{"create task"}, Look: d.checkActAs}
	invoker := Check{Name: "invoker", Skip: skip, Needs: []string{"TASK_HANDLER_URL", "OIDC_SERVICE_ACCOUNT_EMAIL", "CLOUD_TASKS_PROJECT", "CLOUD_TASKS_LOCATION"}, Look: d.checkInvoker}
	if d.target != nil && d.target.Tasks.AppEngine != nil {
		actAs.Skip = "App Engine's deliveries carry no token"
		invoker.Skip = actAs.Skip
	}
	return []Check{
		{Name: "identity", Skip: skip, Needs: account, Look: d.checkIdentity},
		{Name: "keys", Skip: keysSkip, Needs: account, Look: d.checkKeys},
		{Name: "timeouts", Skip: skip, Needs: []string{"TASKS_MODE", "TASKS_TIMEOUT"}, Look: d.checkTimeLimits},
		{Name: "queues", Skip: skip, Needs: queues, Look: d.checkQueues},
		{Name: "queue retries", Skip: skip, Needs: []string{"queues"}, Look: d.checkRetries},
		{Name: "queue rates", Skip: skip, Needs: []string{"queues"}, Look: d.checkRates},
		{Name: "queue target", Skip: skip, Needs: []string{"queues"}, Look: d.checkQueueTarget},
		{Name: "create task", Skip: skip, Needs: []string{"queues", "TASK_HANDLER_URL", "TASK_HANDLER_PATH", "OIDC_SERVICE_ACCOUNT_EMAIL"}, Look: d.checkCreate},
		actAs,
		invoker,
	}
}

// queueIDs are the Cloud Tasks queues that tasks of this program may go through:
// of the allow-list, or without one of the registered tasks and of the aliases.
func (d *Diagnosis) queueIDs() ([]string, error) {
	names := config.NonEmpty(d.config.Settings.TasksQueues)
	if len(names) == 0 {
		names = slices.Collect(maps.Keys(d.config.Settings.TasksQueueAliases))
		for _, task := range d.registry.Tasks() {
			names = append(names, task.Queue)
		}
	}
	var ids []string
	var problems []error
	for _, name := range names {
		of, err := d.target.Tasks.QueueIDs(name)
		ids, problems = append(ids, of...), append(problems, err)
	}
	slices.Sort(ids)
	return slices.Compact(ids), errors.Join(problems...)
}

// calls is how many calls to Cloud Tasks are made at once.
const calls = 16

// checkQueues reads every queue.
func (d *Diagnosis) checkQueues(ctx context.Context) Finding {
	ids, err := d.queueIDs()
	if err != nil {
		return Failf("correct TASKS_QUEUES or TASKS_QUEUE_ALIASES", "%s", err)
	}
	if d.cloudTasks, err = d.Dial(ctx); err != nil {
		return Failf("gcloud auth application-default login", "%s", err)
	}
	var mu sync.Mutex
	seen, failed := map[string]*cloudtaskspb.Queue{}, map[string]error{}
	var group errgroup.Group
	group.SetLimit(calls)
	for _, id := range ids {
		group.Go(func() error {
			q, err := d.cloudTasks.GetQueue(ctx, &cloudtaskspb.GetQueueRequest{Name: d.queueName(id)}, gax.WithRetry(nil))
			mu.Lock()
			defer mu.Unlock()
			if seen[id] = q; err != nil {
				failed[id] = err
				delete(seen, id)
			}
			return nil
		})
	}
	_ = group.Wait()
	var described []string
	for _, id := range slices.Sorted(maps.Keys(seen)) {
		d.queues = append(d.queues, seen[id])
		described = append(described, describeQueue(id, seen[id]))
	}
	return d.classifyQueues(described, failed)
}

func (d *Diagnosis) queueName(id string) string {
	return fmt.Sprintf("projects/%s/locations/%s/queues/%s", d.config.Settings.CloudTasksProject, d.config.Settings.CloudTasksLocation, id)
}

func describeQueue(id string, q *cloudtaskspb.Queue) string {
	text := id + " " + q.GetState().String()
	if ratio := q.GetStackdriverLoggingConfig().GetSamplingRatio(); ratio > 0 {
		text += fmt.Sprintf(", logs %.3g%%", ratio*100)
	}
	return text
}

// classifyQueues fails for queues that do not exist or do not run, and warns about
// those that this account may use but not read.
func (d *Diagnosis) classifyQueues(described []string, failed map[string]error) Finding {
	at := fmt.Sprintf(" --location=%s --project=%s", d.config.Settings.CloudTasksLocation, d.config.Settings.CloudTasksProject)
	var bad, fixes, hidden []string
	for _, id := range slices.Sorted(maps.Keys(failed)) {
		err := failed[id]
		switch code := status.Code(err); {
		case code == codes.NotFound:
			bad = append(bad, id+" does not exist")
			fixes = append(fixes, "gcloud tasks queues create "+id+at+" "+goodRetries)
		case code == codes.PermissionDenied && cloudtasks.WhyRefused(err) == cloudtasks.RefusedDisabled:
			return Failf("gcloud services enable cloudtasks.googleapis.com --project="+d.config.Settings.CloudTasksProject, "the Cloud Tasks API is not enabled: %s", err)
		case code == codes.PermissionDenied:
			hidden = append(hidden, id)
		case code == codes.Unavailable && d.config.Settings.CloudTasksEmulatorHost != "":
			return Failf("start the emulator, or correct CLOUD_TASKS_EMULATOR_HOST", "%s", err)
		case code == codes.Unauthenticated:
			return Failf("give the service an account; elsewhere gcloud auth application-default login", "%s", err)
		default:
			return Failf("let this network reach cloudtasks.googleapis.com", "queue %s: %s", id, err)
		}
	}
	for _, q := range d.queues {
		if q.GetState() != cloudtaskspb.Queue_RUNNING {
			id := lastPart(q.GetName())
			bad = append(bad, fmt.Sprintf("%s is %s, so nothing is delivered", id, q.GetState()))
			fixes = append(fixes, "gcloud tasks queues resume "+id+at)
		}
	}
	switch {
	case len(bad) > 0:
		return Failf(strings.Join(fixes, "; "), "%s", strings.Join(bad, "; "))
	case len(hidden) > 0:
		for _, id := range hidden {
			fixes = append(fixes, fmt.Sprintf("gcloud tasks queues add-iam-policy-binding %s%s --member=serviceAccount:%s --role=roles/cloudtasks.viewer", id, at, d.account()))
		}
		return Warnf(strings.Join(fixes, "; "),
			"this account may not read %s, which only doctor needs", strings.Join(hidden, ", "))
	}
	return Okf("%s", strings.Join(described, "; "))
}

func lastPart(name string) string { return name[strings.LastIndexByte(name, '/')+1:] }

// account is the account of this process, or a placeholder.
func (d *Diagnosis) account() string { return cmp.Or(d.runsAs, "ACCOUNT") }

// goodRetries are the retry settings that the server relies on.
const goodRetries = "--max-attempts=-1 --max-retry-duration=0s --min-backoff=5s --max-backoff=300s --max-doublings=6"

// checkRetries checks the queues' retry settings. Attempts are counted in the row: a
// queue that gives up earlier leaves the rest to the sweeper, and one with a longer
// backoff than the server relies on keeps tasks waiting.
func (d *Diagnosis) checkRetries(context.Context) Finding {
	var attempts int32
	for _, task := range d.registry.Tasks() {
		attempts = max(attempts, int32(task.MaxAttempts)) //nolint:gosec // it is small
	}
	return d.eachQueue(goodRetries, func(q *cloudtaskspb.Queue) (bad []string) {
		r := q.GetRetryConfig()
		least, most := r.GetMinBackoff().AsDuration(), r.GetMaxBackoff().AsDuration()
		if n := r.GetMaxAttempts(); n != -1 && n < attempts {
			bad = append(bad, fmt.Sprintf("gives up after %d deliveries, and tasks have up to %d attempts", n, attempts))
		}
		if d := r.GetMaxRetryDuration().AsDuration(); d > 0 {
			bad = append(bad, fmt.Sprintf("gives up after %s", d))
		}
		if least < time.Second || least > time.Minute {
			bad = append(bad, fmt.Sprintf("retries after %s at first; 5s is recommended", least))
		}
		if most > queue.LongestBackoff {
			bad = append(bad, fmt.Sprintf("waits up to %s between deliveries, and the server relies on %s", most, queue.LongestBackoff))
		}
		return bad
	})
}

// updateQueue is the fix for a queue that these flags of gcloud correct. gcloud does
// not reach an emulator's queues.
func (d *Diagnosis) updateQueue(id, flags string) string {
	if d.config.Settings.CloudTasksEmulatorHost != "" {
		return fmt.Sprintf("give the emulator's queue %s what these flags mean: %s", id, flags)
	}
	return fmt.Sprintf("gcloud tasks queues update %s --location=%s --project=%s %s", id, d.config.Settings.CloudTasksLocation, d.config.Settings.CloudTasksProject, flags)
}

// eachQueue collects the problems of the queues that could be read.
func (d *Diagnosis) eachQueue(fix string, check func(*cloudtaskspb.Queue) []string) Finding {
	var bad, fixes, fine []string
	for _, q := range d.queues {
		id := lastPart(q.GetName())
		if found := check(q); len(found) > 0 {
			bad = append(bad, id+" "+strings.Join(found, ", "))
			fixes = append(fixes, d.updateQueue(id, fix))
			continue
		}
		r := q.GetRetryConfig()
		fine = append(fine, fmt.Sprintf("%s waits %s to %s, without an end", id, r.GetMinBackoff().AsDuration(), r.GetMaxBackoff().AsDuration()))
	}
	switch {
	case len(d.queues) == 0:
		return Skipf("no queue could be read")
	case len(bad) > 0:
		return Warnf(strings.Join(fixes, "; "), "%s", strings.Join(bad, "; "))
	}
	return Okf("%s", strings.Join(fine, "; "))
}
