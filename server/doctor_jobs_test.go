package server

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"

	"cloud.google.com/go/iam/apiv1/iampb"
	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	run "cloud.google.com/go/run/apiv2"
	"cloud.google.com/go/run/apiv2/runpb"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/claimcheck-go/claimcheck/server/internal/doctor"
)

// lookedAtJob is Cloud Run with one job, which may be looked at and not be run.
type lookedAtJob struct {
	runpb.UnimplementedJobsServer
	t       *testing.T
	look    error // why it may not be looked at
	ask     error // why permissions cannot be read
	may     []string
	retries int32
}

func (j *lookedAtJob) GetJob(_ context.Context, r *runpb.GetJobRequest) (*runpb.Job, error) {
	if r.GetName() != procJob {
		return nil, status.Errorf(codes.NotFound, "Resource '%s' was not found", r.GetName())
	}
	if j.look != nil {
		return nil, j.look
	}
	return &runpb.Job{Name: procJob, Template: &runpb.ExecutionTemplate{
		Template: &runpb.TaskTemplate{Retries: &runpb.TaskTemplate_MaxRetries{MaxRetries: j.retries}},
	}}, nil
}

func (j *lookedAtJob) TestIamPermissions(_ context.Context, r *iampb.TestIamPermissionsRequest) (*iampb.TestIamPermissionsResponse, error) {
	if r.GetResource() != procJob {
		j.t.Errorf("asked about %s", r.GetResource())
	}
	return &iampb.TestIamPermissionsResponse{Permissions: j.may}, j.ask
}

func (j *lookedAtJob) RunJob(context.Context, *runpb.RunJobRequest) (*longrunningpb.Operation, error) {
	j.t.Error("it ran the job")
	return nil, status.Error(codes.Internal, "no")
}

// employ gives the target a job in which all is well.
func (p *target) employ(name string) *lookedAtJob {
	p.t.Helper()
	j, server := &lookedAtJob{t: p.t, may: []string{"run.jobs.run", "run.jobs.runWithOverrides"}}, grpc.NewServer()
	runpb.RegisterJobsServer(server, j)
	listener, err := (&net.ListenConfig{}).Listen(p.t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		p.t.Fatal(err)
	}
	go func() { _ = server.Serve(listener) }()
	p.t.Cleanup(server.Stop)
	p.env["JOBS_NAME"] = name
	p.stubs = func(c *doctor.Config) {
		c.DialJobs = func(ctx context.Context) (*run.JobsClient, error) {
			conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
			if err != nil {
				return nil, err
			}
			return run.NewJobsClient(ctx, option.WithGRPCConn(conn))
		}
	}
	return j
}

func TestDoctorLooksAtTheJob(t *testing.T) {
	const there = "--region=europe-west1 --project=proc"
	const denied = "Permission 'run.jobs.get' denied on resource (or resource may not exist)."
	const grant = "gcloud run jobs add-iam-policy-binding long " + there + " --member=serviceAccount:ACCOUNT --role=roles/run."
	for _, tc := range []struct {
		fault string
		name  string
		make  func(*target, *lookedAtJob)
		want  []string
	}{
		{"none", procJob, func(*target, *lookedAtJob) {}, nil},
		{"none, by a short name", "long", func(*target, *lookedAtJob) {}, nil},
		{"no job", "other", func(*target, *lookedAtJob) {}, []string{"fail job: there is no job projects/proc/locations/europe-west1/jobs/other … correct JOBS_NAME … gcloud run jobs create other " + there}},
		{"no name", "jobs/long", func(*target, *lookedAtJob) {}, []string{"fail JOBS_NAME: must be projects/PROJECT"}},
		{"no look", procJob, func(_ *target, j *lookedAtJob) { j.look = status.Error(codes.PermissionDenied, denied) },
			[]string{"warn job: which only doctor needs; or there is no such job … " + grant + "viewer"}},
		{"no look and no run", procJob, func(_ *target, j *lookedAtJob) {
			j.look, j.may = status.Error(codes.PermissionDenied, denied), nil
		}, []string{"warn job: ", "fail run job: this account may not run … " + grant + "jobsExecutorWithOverrides"}},
		{"API not enabled", procJob, func(_ *target, j *lookedAtJob) {
			j.look = status.Error(codes.PermissionDenied, "Cloud Run Admin API has not been used in project proc before or it is disabled.")
		}, []string{"fail job: gcloud services enable run.googleapis.com --project=proc"}},
		{"no credentials", procJob, func(_ *target, j *lookedAtJob) { j.look = status.Error(codes.Unauthenticated, "who?") }, []string{"fail job: gcloud auth application-default login"}},
		{"Cloud Run broken", procJob, func(_ *target, j *lookedAtJob) { j.look = status.Error(codes.Internal, "oops") }, []string{"fail job: oops … let this network reach run.googleapis.com"}},
		{"no account at all", procJob, func(p *target, _ *lookedAtJob) {
			p.stubs = func(c *doctor.Config) {
				c.DialJobs = func(context.Context) (*run.JobsClient, error) { return nil, errors.New("no credentials found") }
			}
		}, []string{"fail job: no credentials found … gcloud auth application-default login"}},
		{"Cloud Run's own retries", procJob, func(_ *target, j *lookedAtJob) { j.retries = 3 }, []string{"warn job: up to 3 times … gcloud run jobs update long " + there + " --max-retries=0"}},
		{"no right to run", procJob, func(_ *target, j *lookedAtJob) { j.may = nil }, []string{"fail run job: may not run … " + grant + "jobsExecutorWithOverrides"}},
		{"no right to overrides", procJob, func(_ *target, j *lookedAtJob) { j.may = []string{"run.jobs.run"} }, []string{"fail run job: not with a task's arguments … roles/run.invoker … " + grant + "jobsExecutorWithOverrides"}},
		{"permissions unknown", procJob, func(_ *target, j *lookedAtJob) { j.ask = status.Error(codes.Unavailable, "later") }, []string{"fail run job: later"}},
	} {
		t.Run(tc.fault, func(t *testing.T) {
			p := newTarget(t)
			tc.make(p, p.employ(tc.name))
			results := p.wants(tc.want...)
			if tc.want == nil && (statusOf(results, "run job") != doctor.OK || !strings.Contains(detailOf(results, "job"), procJob)) {
				t.Errorf("%s; %s", detailOf(results, "job"), detailOf(results, "run job"))
			}
		})
	}
}

// A job may be used with every mode, and is checked in each.
func TestDoctorLooksAtTheJobInPullMode(t *testing.T) {
	p := newTarget(t)
	j := p.employ(procJob)
	j.may = nil
	for _, name := range []string{"CLOUD_TASKS_EMULATOR_HOST", "OIDC_ISSUER", "OIDC_CERTS_URL", "OIDC_SERVICE_ACCOUNT_EMAIL"} {
		p.env[name] = ""
	}
	p.env["TASKS_MODE"] = "pull"
	p.wants("fail run job: may not run")
	p.env["JOBS_NAME"] = ""
	if results := p.wants(); statusOf(results, "job") != doctor.Skipped || statusOf(results, "run job") != doctor.Skipped {
		t.Errorf("%s; %s", detailOf(results, "job"), detailOf(results, "run job"))
	}
}
