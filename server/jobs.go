package server

import (
	"context"
	"errors"
	"fmt"

	run "cloud.google.com/go/run/apiv2"

	"github.com/claimcheck-go/claimcheck/cloudrunjobs"
	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/config"
)

// jobsBackend is the backend of tasks that run as executions of a Cloud Run job.
const jobsBackend = "jobs"

// dialJobs makes the client of Cloud Run.
func (p *program) dialJobs(ctx context.Context) (*run.JobsClient, error) {
	return run.NewJobsClient(ctx, p.jobsOptions...)
}

// openJobs adds the backend "jobs", if there is a job.
func (app *App) openJobs(ctx context.Context) error {
	if app.job == "" {
		return nil
	}
	var err error
	if app.jobs, err = app.program.dialJobs(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("make the Cloud Run client for JOBS_NAME (on Google Cloud give the service a service account, elsewhere run `gcloud auth application-default login`): %w", err)
	}
	dispatcher, err := cloudrunjobs.New(app.jobs, app.job)
	if err != nil {
		return errors.Join(err, app.jobs.Close())
	}
	app.config.Backends = map[string]queue.Backend{jobsBackend: {Dispatcher: dispatcher, Queues: app.config.Queues}}
	return nil
}

// checkBackend validates --backend, and with --json says what the endpoints do. A
// command that dispatches nothing knows the backend "jobs" by its setting alone, and
// needs no parts.
func (p *program) checkBackend(app *App, name string, asJSON bool) error {
	known := queue.DefaultBackend
	if p.config.Settings.JobsName != "" {
		known += ", " + jobsBackend
	}
	if name == queue.DefaultBackend || app != nil && app.client.HasBackend(name) || name == jobsBackend && p.config.Settings.JobsName != "" {
		return nil
	}
	err := config.Problemf("--backend", "%q is not known; known: %s", name, known)
	if asJSON {
		err = errors.Join(p.printJSON(map[string]string{"error": "Invalid backend name"}), err)
	}
	return err
}
