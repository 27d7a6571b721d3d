package server

import (
	"context"
	"errors"
	"fmt"

	run "cloud.google.com/go/run/apiv2"

	"github.com/claimcheck-go/claimcheck/cloudrunjobs"
	"github.com/claimcheck-go/claimcheck/detect"
	"github.com/claimcheck-go/claimcheck/queue"
)

// jobsBackend is the backend of tasks that run as executions of a Cloud Run job.
const jobsBackend = "jobs"

// jobName is the full name of the job that JOBS_NAME says; empty is none.
func (p *program) jobName(ctx context.Context) (string, error) {
	s, d := p.settings, p.detector()
	name := s.JobsName
	if cloudrunjobs.IsShort(name) {
		project, err := said(ctx, s.CloudTasksProject, d.Project)
		if err != nil {
			return "", usagef("JOBS_NAME is the name of a job alone, and its project is neither given nor detected here: write projects/PROJECT/locations/REGION/jobs/%s", name)
		}
		// The job is where the service is; queues may be in another region.
		location := s.CloudTasksLocation
		if found, err := d.Location(ctx); err == nil {
			location = found.Value
		}
		if location == "" {
			return "", usagef("JOBS_NAME is the name of a job alone, and its region is neither given nor detected here: write projects/PROJECT/locations/REGION/jobs/%s", name)
		}
		name = cloudrunjobs.FullName(project, location, name)
	}
	if name == "" {
		return "", nil
	}
	if err := cloudrunjobs.CheckName(name); err != nil {
		return "", usageError{err}
	}
	return name, nil
}

// said is a setting, or what is detected in its place.
func said(ctx context.Context, setting string, detected func(context.Context) (detect.Found, error)) (string, error) {
	if setting != "" {
		return setting, nil
	}
	found, err := detected(ctx)
	return found.Value, err
}

// dialJobs makes the client of Cloud Run; tests make another.
var dialJobs = func(ctx context.Context) (*run.JobsClient, error) { return run.NewJobsClient(ctx) }

// openJobs adds the backend "jobs", if there is a job.
func (parts *parts) openJobs(ctx context.Context) error {
	if parts.job == "" {
		return nil
	}
	var err error
	if parts.jobs, err = dialJobs(ctx); err != nil {
		return fmt.Errorf("make the Cloud Run client for JOBS_NAME (on Google Cloud give the service a service account, elsewhere run `gcloud auth application-default login`): %w", err)
	}
	dispatcher, err := cloudrunjobs.New(parts.jobs, parts.job)
	if err != nil {
		return errors.Join(err, parts.jobs.Close())
	}
	parts.config.Backends = map[string]queue.Backend{jobsBackend: {Dispatcher: dispatcher, Queues: parts.config.Queues}}
	return nil
}
