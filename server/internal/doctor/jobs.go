package doctor

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
)

// The permissions to start an execution. The second is required, since each has
// arguments of its own; roles/run.invoker has only the first.
const (
	mayRun          = "run.jobs.run"
	mayRunOverrides = "run.jobs.runWithOverrides"
)

// jobChecks are those of the Cloud Run job behind the backend "jobs", in every
// mode.
func (d *Diagnosis) jobChecks() []Check {
	skip := ""
	if d.config.Settings.JobsName == "" {
		skip = "JOBS_NAME is not set"
	}
	needs := []string{"JOBS_NAME"}
	if cloudrunjobs.IsShort(d.config.Settings.JobsName) {
		needs = append(needs, "CLOUD_TASKS_PROJECT", "CLOUD_TASKS_LOCATION")
	}
	return []Check{
		{Name: "job", Skip: skip, Needs: needs, Look: d.checkJob},
		{Name: "run job", Skip: skip, Needs: []string{"job"}, Look: d.checkRunJob},
	}
}

// checkJob looks at the job. An account that may run it need not be allowed to
// read it, and gets the same answer where there is no such job.
func (d *Diagnosis) checkJob(ctx context.Context) Finding {
	var err error
	if d.job, err = d.config.JobName(ctx); err != nil {
		return Failf("correct JOBS_NAME (--jobs-name)", "%s", err)
	}
	if d.jobs, err = d.DialJobs(ctx); err != nil {
		return Failf("gcloud auth application-default login", "%s", err)
	}
	job, err := d.jobs.GetJob(ctx, &runpb.GetJobRequest{Name: d.job}, gax.WithRetry(nil))
	switch code := status.Code(err); {
	case code == codes.NotFound:
		return Failf(fmt.Sprintf("correct JOBS_NAME, or gcloud run jobs create %s --image=IMAGE --max-retries=0 --service-account=ACCOUNT with the server's variables (docs/long-tasks.md)", d.jobAt()), "there is no job %s: %s", d.job, err)
	case code == codes.PermissionDenied && googleapi.Disabled(err.Error()):
		return Failf("gcloud services enable run.googleapis.com --project="+d.jobPart(1), "the Cloud Run Admin API is not enabled: %s", err)
	case code == codes.PermissionDenied:
		return Warnf(d.grantOnJob("roles/run.viewer"), "this account may not read %s, which only doctor needs; or there is no such job", d.job)
	case code == codes.Unauthenticated:
		return Failf("give the service an account; elsewhere gcloud auth application-default login", "%s", err)
	case err != nil:
		return Failf("let this network reach run.googleapis.com", "job %s: %s", d.job, err)
	}
	if n := job.GetTemplate().GetTemplate().GetMaxRetries(); n != 0 {
		return Warnf("gcloud run jobs update "+d.jobAt()+" --max-retries=0", "Cloud Run retries %s, up to %d times and at once; attempts are counted in the row", d.job, n)
	}
	return Okf("%s", d.job)
}

// checkRunJob queries whether this process may run the job, and does not run it.
func (d *Diagnosis) checkRunJob(ctx context.Context) Finding {
	answer, err := d.jobs.TestIamPermissions(ctx, &iampb.TestIamPermissionsRequest{Resource: d.job, Permissions: []string{mayRun, mayRunOverrides}}, gax.WithRetry(nil))
	grant := d.grantOnJob("roles/run.jobsExecutorWithOverrides")
	if err != nil {
		return Failf("see what it says; it may be that there is no such job, or "+grant, "could not check whether it may be run: %s", err)
	}
	may := answer.GetPermissions()
	switch {
	case slices.Contains(may, mayRunOverrides):
		return Okf("this account may run %s", d.job)
	case slices.Contains(may, mayRun):
		return Failf(grant, "this account may run %s, but not with a task's arguments (%s), which roles/run.invoker does not allow", d.job, mayRunOverrides)
	}
	return Failf(grant, "this account may not run %s (%s)", d.job, mayRunOverrides)
}

// jobPart is a part of the job's full name: 1 is the project, 3 the region.
func (d *Diagnosis) jobPart(n int) string { return strings.Split(d.job, "/")[n] }

// jobAt names the job to gcloud.
func (d *Diagnosis) jobAt() string {
	return fmt.Sprintf("%s --region=%s --project=%s", path.Base(d.job), d.jobPart(3), d.jobPart(1))
}

func (d *Diagnosis) grantOnJob(role string) string {
	return fmt.Sprintf("gcloud run jobs add-iam-policy-binding %s --member=serviceAccount:%s --role=%s", d.jobAt(), d.account(), role)
}
