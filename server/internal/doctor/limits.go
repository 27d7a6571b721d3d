package doctor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/claimcheck-go/claimcheck/cloudtasks"
	"github.com/claimcheck-go/claimcheck/detect"
)

// checkTimeLimits compares how long tasks may take with how long a request may.
func (d *Diagnosis) checkTimeLimits(context.Context) Finding {
	request := d.config.RequestTimeout()
	if err := d.target.CheckTasks(d.registry); err != nil {
		return Failf("raise the platform's timeout and REQUEST_TIMEOUT, or lower queue.Timeout", "%s", err)
	}
	wanted, limit := d.config.Settings.TasksTimeout, d.config.DefaultTimeout(d.mode)
	if wanted == 0 {
		wanted = 9 * time.Minute
	}
	if limit < wanted {
		needs := (wanted + 30*time.Second).Truncate(time.Second)
		fix := fmt.Sprintf("give requests %s on the platform, and REQUEST_TIMEOUT=%s", needs, needs)
		if d.detector.Platform() == detect.CloudRunService {
			fix = fmt.Sprintf("gcloud run services update %s --timeout=%d --update-env-vars=REQUEST_TIMEOUT=%s", d.config.Env.Get("K_SERVICE"), int(needs.Seconds()), needs)
		}
		source := "REQUEST_TIMEOUT"
		if d.config.Settings.RequestTimeout == 0 {
			source = "REQUEST_TIMEOUT is not set, so Cloud Run's default counts:"
		}
		return Warnf(fix, "%s %s is less than tasks may take (%s): they end after %s", source, request, wanted, limit)
	}
	if request == 0 {
		return Okf("tasks end after %s at the latest, and Cloud Tasks waits for 30s more", limit)
	}
	return Okf("tasks end after %s, and the platform gives a request %s", limit, request)
}

// checkRates compares what the queues deliver at once with what the instances
// run at once: more is answered 429, which slows a queue down; far less leaves
// instances idle.
func (d *Diagnosis) checkRates(context.Context) Finding {
	var atOnce, slow []string
	var sum int
	for _, q := range d.queues {
		limits, id := q.GetRateLimits(), lastPart(q.GetName())
		sum += int(limits.GetMaxConcurrentDispatches())
		atOnce = append(atOnce, fmt.Sprintf("%s %g a second, %d at once", id, limits.GetMaxDispatchesPerSecond(), limits.GetMaxConcurrentDispatches()))
		if limits.GetMaxDispatchesPerSecond() < 1 {
			slow = append(slow, id)
		}
	}
	seen := strings.Join(atOnce, "; ")
	room := d.MaxInstances * d.Concurrency
	update := func(ids []string, flag string) string {
		var commands []string
		for _, id := range ids {
			commands = append(commands, d.updateQueue(id, flag))
		}
		return strings.Join(commands, "; ")
	}
	var ids []string
	for _, q := range d.queues {
		ids = append(ids, lastPart(q.GetName()))
	}
	switch {
	case len(d.queues) == 0:
		return Skipf("no queue could be read")
	case len(slow) > 0:
		return Warnf(update(slow, "--max-dispatches-per-second=500"), "%s: less than one a second", seen)
	case room == 0:
		return Okf("%s (with --max-instances it is compared with what they run at once)", seen)
	case sum > room:
		return Warnf(update(ids, fmt.Sprintf("--max-concurrent-dispatches=%d", max(1, room/len(ids)))),
			"%s: %d instances run %d at once and answer the rest 429, which slows a queue down", seen, d.MaxInstances, room)
	case sum*10 < room:
		return Warnf(update(ids, fmt.Sprintf("--max-concurrent-dispatches=%d", min(5000, room/len(ids)))),
			"%s: %d instances could run %d at once", seen, d.MaxInstances, room)
	}
	return Okf("%s; %d instances run %d at once", seen, d.MaxInstances, room)
}

// checkCreate creates a Cloud Task in every queue and deletes it.
func (d *Diagnosis) checkCreate(ctx context.Context) Finding {
	ids, _ := d.queueIDs() // checkQueues reports what is wrong with them
	var mu sync.Mutex
	failed, stayed := map[string]error{}, map[string]error{}
	var group errgroup.Group
	group.SetLimit(calls)
	for _, id := range ids {
		group.Go(func() error {
			create, remove := cloudtasks.Probe(ctx, d.cloudTasks, d.target.Tasks, id)
			mu.Lock()
			defer mu.Unlock()
			if create != nil {
				failed[id] = create
			}
			if remove != nil {
				stayed[id] = remove
			}
			return nil
		})
	}
	_ = group.Wait()
	for _, id := range slices.Sorted(maps.Keys(failed)) {
		if found, decided := d.classifyCreate(id, failed[id]); decided {
			return found
		}
	}
	if left := slices.Sorted(maps.Keys(stayed)); len(left) > 0 {
		var fixes []string
		for _, id := range left {
			fixes = append(fixes, fmt.Sprintf("gcloud tasks delete %s --queue=%s --location=%s --project=%s", leftoverName(stayed[id]), id, d.config.Settings.CloudTasksLocation, d.config.Settings.CloudTasksProject))
		}
		return Warnf("leave it, or as yourself: "+strings.Join(fixes, "; "),
			"created, but not deleted: it stays until its delivery, in 25 days, finds nothing to do: %s", stayed[left[0]])
	}
	return Okf("created and deleted one in %s", strings.Join(ids, ", "))
}

// leftoverName is the name of the Cloud Task that a probe could not delete.
func leftoverName(err error) string {
	var left *cloudtasks.LeftoverError
	if errors.As(err, &left) {
		return left.Name
	}
	return "TASK"
}

// classifyCreate returns what a refused create means. What concerns the account that
// deliveries are signed as is left to the check of that name.
func (d *Diagnosis) classifyCreate(id string, err error) (Finding, bool) {
	seen := false // the queue is known to exist
	for _, q := range d.queues {
		seen = seen || lastPart(q.GetName()) == id
	}
	why := cloudtasks.WhyRefused(err)
	switch code := status.Code(err); {
	case code == codes.PermissionDenied && why == cloudtasks.RefusedAccount, code == codes.NotFound && seen && d.target.Tasks.AppEngine == nil:
		d.createAs = err
		return Finding{}, false
	case code == codes.PermissionDenied:
		return Failf(fmt.Sprintf("gcloud tasks queues add-iam-policy-binding %s --location=%s --project=%s --member=serviceAccount:%s --role=roles/cloudtasks.enqueuer",
			id, d.config.Settings.CloudTasksLocation, d.config.Settings.CloudTasksProject, d.account()), "%s", err), true
	case code == codes.NotFound:
		return Failf(fmt.Sprintf("gcloud tasks queues create %s --location=%s --project=%s %s", id, d.config.Settings.CloudTasksLocation, d.config.Settings.CloudTasksProject, goodRetries), "%s", err), true
	}
	return Failf("see what it says", "%s", err), true
}

// checkActAs reports whether Cloud Tasks may sign as the account.
func (d *Diagnosis) checkActAs(context.Context) Finding {
	signer := d.target.Tasks.ServiceAccountEmail
	_, domain, _ := strings.Cut(signer, "@")
	project, ok := strings.CutSuffix(domain, ".iam.gserviceaccount.com")
	if !ok {
		project = d.config.Settings.CloudTasksProject
	}
	switch {
	case d.createAs == nil:
		return Okf("deliveries are signed as %s", signer)
	case status.Code(d.createAs) == codes.NotFound:
		name, _, _ := strings.Cut(signer, "@")
		return Failf(fmt.Sprintf("gcloud iam service-accounts create %s --project=%s, or correct OIDC_SERVICE_ACCOUNT_EMAIL", name, project),
			"there is no account %s: %s", signer, status.Convert(d.createAs).Message())
	}
	return Failf(fmt.Sprintf("gcloud iam service-accounts add-iam-policy-binding %s --project=%s --member=serviceAccount:%s --role=roles/iam.serviceAccountUser", signer, project, d.account()),
		"this process's account may not have deliveries signed as %s: %s", signer, status.Convert(d.createAs).Message())
}
