package server

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
	"github.com/claimcheck-go/claimcheck/server/internal/doctor"
)

// checkTimeLimits compares how long tasks may take with how long a request may.
func (e *examination) checkTimeLimits(context.Context) doctor.Finding {
	request := e.config.RequestTimeout()
	if err := checkTimeouts(e.known, e.target); err != nil {
		return doctor.Failf("raise the platform's timeout and REQUEST_TIMEOUT, or lower queue.Timeout", "%s", err)
	}
	wanted, limit := time.Duration(e.config.Settings.TasksTimeout), e.config.DefaultTimeout(e.mode)
	if wanted == 0 {
		wanted = 9 * time.Minute
	}
	if limit < wanted {
		needs := (wanted + 30*time.Second).Truncate(time.Second)
		mend := fmt.Sprintf("give requests %s on the platform, and REQUEST_TIMEOUT=%s", needs, needs)
		if e.detector.Platform() == detect.CloudRunService {
			mend = fmt.Sprintf("gcloud run services update %s --timeout=%d --update-env-vars=REQUEST_TIMEOUT=%s", e.config.Env.Get("K_SERVICE"), int(needs.Seconds()), needs)
		}
		given := "REQUEST_TIMEOUT"
		if e.config.Settings.RequestTimeout == 0 {
			given = "REQUEST_TIMEOUT is not set, so Cloud Run's default counts:"
		}
		return doctor.Warnf(mend, "%s %s is less than tasks want (%s) and their delivery waits: they end after %s", given, request, wanted, limit)
	}
	if request == 0 {
		return doctor.Okf("tasks end after %s at the latest, and Cloud Tasks waits for 30s more", limit)
	}
	return doctor.Okf("tasks end after %s, and the platform gives a request %s", limit, request)
}

// checkRates compares what the queues deliver at once with what the instances
// run at once: more is answered 429, which slows a queue down; far less leaves
// instances idle.
func (e *examination) checkRates(context.Context) doctor.Finding {
	var atOnce, slow []string
	var sum int
	for _, q := range e.queues {
		limits, id := q.GetRateLimits(), lastPart(q.GetName())
		sum += int(limits.GetMaxConcurrentDispatches())
		atOnce = append(atOnce, fmt.Sprintf("%s %g a second, %d at once", id, limits.GetMaxDispatchesPerSecond(), limits.GetMaxConcurrentDispatches()))
		if limits.GetMaxDispatchesPerSecond() < 1 {
			slow = append(slow, id)
		}
	}
	seen := strings.Join(atOnce, "; ")
	room := e.cmd.MaxInstances * e.cmd.Concurrency
	update := func(ids []string, flag string) string {
		var commands []string
		for _, id := range ids {
			commands = append(commands, fmt.Sprintf("gcloud tasks queues update %s --location=%s --project=%s %s", id, e.config.Settings.CloudTasksLocation, e.config.Settings.CloudTasksProject, flag))
		}
		return strings.Join(commands, "; ")
	}
	var ids []string
	for _, q := range e.queues {
		ids = append(ids, lastPart(q.GetName()))
	}
	switch {
	case len(e.queues) == 0:
		return doctor.Skipf("no queue could be looked at")
	case len(slow) > 0:
		return doctor.Warnf(update(slow, "--max-dispatches-per-second=500"), "%s: less than one a second", seen)
	case room == 0:
		return doctor.Okf("%s (with --max-instances it is compared with what they run at once)", seen)
	case sum > room:
		return doctor.Warnf(update(ids, fmt.Sprintf("--max-concurrent-dispatches=%d", max(1, room/len(ids)))),
			"%s: %d instances run %d at once and answer the rest 429, which slows a queue down", seen, e.cmd.MaxInstances, room)
	case sum*10 < room:
		return doctor.Warnf(update(ids, fmt.Sprintf("--max-concurrent-dispatches=%d", min(5000, room/len(ids)))),
			"%s: %d instances could run %d at once", seen, e.cmd.MaxInstances, room)
	}
	return doctor.Okf("%s; %d instances run %d at once", seen, e.cmd.MaxInstances, room)
}

// checkCreate creates a Cloud Task in every queue and deletes it.
func (e *examination) checkCreate(ctx context.Context) doctor.Finding {
	ids, _ := e.queueIDs() // checkQueues has said what is wrong with them
	var mu sync.Mutex
	failed, stayed := map[string]error{}, map[string]error{}
	var group errgroup.Group
	group.SetLimit(calls)
	for _, id := range ids {
		group.Go(func() error {
			create, remove := cloudtasks.Probe(ctx, e.tasks, e.target.Tasks, id)
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
		if found, decided := e.judgeCreate(id, failed[id]); decided {
			return found
		}
	}
	if left := slices.Sorted(maps.Keys(stayed)); len(left) > 0 {
		var mends []string
		for _, id := range left {
			mends = append(mends, fmt.Sprintf("gcloud tasks delete %s --queue=%s --location=%s --project=%s", leftoverName(stayed[id]), id, e.config.Settings.CloudTasksLocation, e.config.Settings.CloudTasksProject))
		}
		return doctor.Warnf("leave it there, or as yourself: "+strings.Join(mends, "; "),
			"created, but it stays there until its delivery, in 25 days, finds nothing to do: %s", stayed[left[0]])
	}
	return doctor.Okf("created and deleted one in %s", strings.Join(ids, ", "))
}

// leftoverName is the name of the Cloud Task that a probe could not delete.
func leftoverName(err error) string {
	var left *cloudtasks.LeftoverError
	if errors.As(err, &left) {
		return left.Name
	}
	return "TASK"
}

// judgeCreate says what a refused create means. What concerns the account that
// deliveries are signed as is left to the check of that name.
func (e *examination) judgeCreate(id string, err error) (doctor.Finding, bool) {
	seen := false // the queue is known to exist
	for _, q := range e.queues {
		seen = seen || lastPart(q.GetName()) == id
	}
	why := cloudtasks.WhyRefused(err)
	switch code := status.Code(err); {
	case code == codes.PermissionDenied && why == cloudtasks.RefusedAccount, code == codes.NotFound && seen && e.target.Tasks.AppEngine == nil:
		e.createAs = err
		return doctor.Finding{}, false
	case code == codes.PermissionDenied:
		return doctor.Failf(fmt.Sprintf("gcloud tasks queues add-iam-policy-binding %s --location=%s --project=%s --member=serviceAccount:%s --role=roles/cloudtasks.enqueuer",
			id, e.config.Settings.CloudTasksLocation, e.config.Settings.CloudTasksProject, e.account()), "%s", err), true
	case code == codes.NotFound:
		return doctor.Failf(fmt.Sprintf("gcloud tasks queues create %s --location=%s --project=%s%s", id, e.config.Settings.CloudTasksLocation, e.config.Settings.CloudTasksProject, goodRetries), "%s", err), true
	}
	return doctor.Failf("see what it says", "%s", err), true
}

// checkActAs says whether Cloud Tasks may sign as the account.
func (e *examination) checkActAs(context.Context) doctor.Finding {
	signer := e.target.Tasks.ServiceAccountEmail
	_, domain, _ := strings.Cut(signer, "@")
	project, ok := strings.CutSuffix(domain, ".iam.gserviceaccount.com")
	if !ok {
		project = e.config.Settings.CloudTasksProject
	}
	switch {
	case e.createAs == nil:
		return doctor.Okf("deliveries are signed as %s", signer)
	case status.Code(e.createAs) == codes.NotFound:
		name, _, _ := strings.Cut(signer, "@")
		return doctor.Failf(fmt.Sprintf("gcloud iam service-accounts create %s --project=%s, or correct OIDC_SERVICE_ACCOUNT_EMAIL", name, project),
			"there is no account %s: %s", signer, status.Convert(e.createAs).Message())
	}
	return doctor.Failf(fmt.Sprintf("gcloud iam service-accounts add-iam-policy-binding %s --project=%s --member=serviceAccount:%s --role=roles/iam.serviceAccountUser", signer, project, e.account()),
		"this process's account may not have deliveries signed as %s: %s", signer, status.Convert(e.createAs).Message())
}
