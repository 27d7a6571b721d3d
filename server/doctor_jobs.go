package server

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"cloud.google.com/go/iam/apiv1/iampb"
	"cloud.google.com/go/run/apiv2/runpb"
	"github.com/googleapis/gax-go/v2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/claimcheck-go/claimcheck/cloudrunjobs"
	"github.com/claimcheck-go/claimcheck/internal/googleapi"
	"github.com/claimcheck-go/claimcheck/server/internal/doctor"
)

// What starting an execution takes: the second, since each is given arguments of
// its own. roles/run.invoker has the first alone.
const (
	mayRun          = "run.jobs.run"
	mayRunOverrides = "run.jobs.runWithOverrides"
)

// jobChecks are those of the Cloud Run job behind the backend "jobs", in every
// mode.
func (e *examination) jobChecks() []doctor.Check {
	skip := ""
	if e.config.Settings.JobsName == "" {
		skip = "JOBS_NAME is not set"
	}
	needs := []string{"JOBS_NAME"}
	if cloudrunjobs.IsShort(e.config.Settings.JobsName) {
		needs = append(needs, "CLOUD_TASKS_PROJECT", "CLOUD_TASKS_LOCATION")
	}
	return []doctor.Check{
		{Name: "job", Skip: skip, Needs: needs, Look: e.checkJob},
		{Name: "run job", Skip: skip, Needs: []string{"job"}, Look: e.checkRunJob},
	}
}

// checkJob looks at the job. An account that may run it need not be allowed to
// look at it, and is then told so as well where there is no such job.
func (e *examination) checkJob(ctx context.Context) doctor.Finding {
	var err error
	if e.job, err = e.config.JobName(ctx); err != nil {
		return doctor.Failf("correct JOBS_NAME (--jobs-name)", "%s", err)
	}
	if e.jobs, err = e.dialJobs(ctx); err != nil {
		return doctor.Failf("gcloud auth application-default login", "%s", err)
	}
	job, err := e.jobs.GetJob(ctx, &runpb.GetJobRequest{Name: e.job}, gax.WithRetry(nil))
	switch code := status.Code(err); {
	case code == codes.NotFound:
		return doctor.Failf(fmt.Sprintf("correct JOBS_NAME, or gcloud run jobs create %s --image=IMAGE --max-retries=0 --service-account=ACCOUNT with the server's variables (docs/long-tasks.md)", e.jobAt()), "there is no job %s: %s", e.job, err)
	case code == codes.PermissionDenied && googleapi.Disabled(err.Error()):
		return doctor.Failf("gcloud services enable run.googleapis.com --project="+e.jobPart(1), "the Cloud Run Admin API is not enabled: %s", err)
	case code == codes.PermissionDenied:
		return doctor.Warnf(e.grantOnJob("roles/run.viewer"), "this account may not look at %s, which only doctor needs; or there is no such job", e.job)
	case code == codes.Unauthenticated:
		return doctor.Failf("give the service an account; elsewhere gcloud auth application-default login", "%s", err)
	case err != nil:
		return doctor.Failf("let this network reach run.googleapis.com", "job %s: %s", e.job, err)
	}
	if n := job.GetTemplate().GetTemplate().GetMaxRetries(); n != 0 {
		return doctor.Warnf("gcloud run jobs update "+e.jobAt()+" --max-retries=0", "%s is tried again by Cloud Run, up to %d times and at once; attempts are the row's", e.job, n)
	}
	return doctor.Okf("%s", e.job)
}

// checkRunJob asks whether this process may run the job, and does not run it.
func (e *examination) checkRunJob(ctx context.Context) doctor.Finding {
	answer, err := e.jobs.TestIamPermissions(ctx, &iampb.TestIamPermissionsRequest{Resource: e.job, Permissions: []string{mayRun, mayRunOverrides}}, gax.WithRetry(nil))
	grant := e.grantOnJob("roles/run.jobsExecutorWithOverrides")
	if err != nil {
		return doctor.Failf("see what it says; it may be that there is no such job, or "+grant, "whether it may be run could not be found out: %s", err)
	}
	may := answer.GetPermissions()
	switch {
	case slices.Contains(may, mayRunOverrides):
		return doctor.Okf("this account may run %s", e.job)
	case slices.Contains(may, mayRun):
		return doctor.Failf(grant, "this account may run %s, but not with a task's arguments (%s), which roles/run.invoker does not allow", e.job, mayRunOverrides)
	}
	return doctor.Failf(grant, "this account may not run %s (%s)", e.job, mayRunOverrides)
}

// jobPart is a part of the job's full name: 1 is the project, 3 the region.
func (e *examination) jobPart(n int) string { return strings.Split(e.job, "/")[n] }

// jobAt names the job to gcloud.
func (e *examination) jobAt() string {
	return fmt.Sprintf("%s --region=%s --project=%s", path.Base(e.job), e.jobPart(3), e.jobPart(1))
}

func (e *examination) grantOnJob(role string) string {
	return fmt.Sprintf("gcloud run jobs add-iam-policy-binding %s --member=serviceAccount:%s --role=%s", e.jobAt(), e.account(), role)
}
