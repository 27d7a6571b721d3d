package cloudrunjobs

import (
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// explain puts in front of a refused execution what that means and how to fix
// it. The service's own error stays inside.
func explain(err error, job string) error {
	at := "start an execution of " + job
	if remedy := remedy(status.Code(err)); remedy != "" {
		at += ": " + remedy
	}
	return fmt.Errorf("%s: %w", at, err)
}

// remedy is what the service's codes mean for RunJob; "" leaves it to its own text.
func remedy(code codes.Code) string {
	switch code {
	case codes.NotFound:
		return "there is no such job; create it with `gcloud run jobs create`, or check its name"
	case codes.PermissionDenied:
		return "this process's account needs run.jobs.runWithOverrides on the job: roles/run.jobsExecutorWithOverrides or roles/run.developer; the Cloud Run Admin API must be enabled"
	case codes.Unauthenticated:
		return "no valid credentials; on Google Cloud give the service a service account, elsewhere run `gcloud auth application-default login`"
	case codes.FailedPrecondition:
		return "the job cannot be run as it is; look at it with `gcloud run jobs describe`"
	case codes.ResourceExhausted:
		return "a quota is used up; the sweeper starts the task later"
	case codes.DeadlineExceeded:
		return "no answer in time; the execution may exist all the same, and the sweeper starts another"
	case codes.Unavailable:
		return "Cloud Run cannot be reached; the sweeper starts the task later"
	}
	return ""
}
