package cloudtasks

import (
	"fmt"
	"path"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// explain puts in front of a failed create what it means and how to fix it.
// The service's own error stays inside for errors.As and status.Code.
func explain(err error, cfg Config, parent string) error {
	queueID := path.Base(parent)
	at := fmt.Sprintf("create Cloud Task in queue %s (project %s, location %s)", queueID, cfg.Project, cfg.Location)
	if remedy := remedy(status.Code(err), cfg, queueID); remedy != "" {
		at += ": " + remedy
	}
	return fmt.Errorf("%s: %w", at, err)
}

// remedy is the table of what the service's codes mean for CreateTask; "" leaves
// it to the service's own text.
func remedy(code codes.Code, cfg Config, queueID string) string {
	switch code {
	case codes.NotFound:
		return fmt.Sprintf("the queue or the service account does not exist; create the queue with `gcloud tasks queues create %s --location=%s --project=%s` (one made a minute ago may still be unknown), or check the project, the location, the aliases of queues%s",
			queueID, cfg.Location, cfg.Project, cfg.account(" and the service account "+cfg.ServiceAccountEmail))
	case codes.PermissionDenied:
		return fmt.Sprintf("this process's account needs roles/cloudtasks.enqueuer on the queue (`gcloud tasks queues add-iam-policy-binding %s --location=%s --project=%s --member=serviceAccount:ACCOUNT --role=roles/cloudtasks.enqueuer`)%s; the Cloud Tasks API must be enabled in project %s",
			queueID, cfg.Location, cfg.Project, cfg.account(" and roles/iam.serviceAccountUser (iam.serviceAccounts.actAs) on "+cfg.ServiceAccountEmail), cfg.Project)
	case codes.Unauthenticated:
		return "no valid credentials; on Google Cloud give the service a service account, elsewhere run `gcloud auth application-default login`"
	case codes.InvalidArgument:
		return fmt.Sprintf("the service refused the request; check the handler's URL%s and the location of the queues", cfg.account(", the service account"))
	case codes.FailedPrecondition:
		return "the queue, or the project's App Engine application, is disabled or cannot take tasks; look at it with `gcloud tasks queues describe " + queueID + "`"
	case codes.ResourceExhausted:
		return "a quota is used up; the sweeper sends the task later, ask for more at https://console.cloud.google.com/iam-admin/quotas"
	case codes.DeadlineExceeded:
		return "no answer in time; the task may exist all the same, and the sweeper sends it again"
	case codes.Unavailable:
		return "Cloud Tasks cannot be reached; the sweeper sends the task later (with an emulator, check its address)"
	case codes.Unimplemented:
		return "what answers is not Cloud Tasks; check the address of the emulator"
	}
	return ""
}

// account returns text where the deliveries carry the token of a service
// account, which is not the case for App Engine targets.
func (cfg Config) account(text string) string {
	if cfg.AppEngine != nil {
		return ""
	}
	return text
}
