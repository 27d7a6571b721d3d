package server

import (
	"context"
	"errors"
	"net"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"cloud.google.com/go/run/apiv2/runpb"
	"github.com/google/uuid"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/config"
)

const procJob = "projects/proc/locations/europe-west1/jobs/long"

// procJobs is Cloud Run with one job: it starts a real process with the arguments
// that an execution is given.
type procJobs struct {
	runpb.UnimplementedJobsServer
	t   *testing.T
	dir string
	env []string

	mu         sync.Mutex
	executions []*exec.Cmd
	statuses   []int // of those that have ended
	ended      sync.WaitGroup
}

func (j *procJobs) RunJob(_ context.Context, r *runpb.RunJobRequest) (*longrunningpb.Operation, error) {
	args := r.GetOverrides().GetContainerOverrides()[0].GetArgs()
	if r.GetName() != procJob {
		j.t.Errorf("job %s", r.GetName())
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	command := procCommand(j.t, procPatience, j.dir, j.env, args...)
	if err := command.Start(); err != nil {
		return nil, err
	}
	j.executions = append(j.executions, command)
	j.ended.Go(func() {
		var exit *exec.ExitError
		if err := command.Wait(); err != nil && !errors.As(err, &exit) {
			j.t.Errorf("execution: %v", err)
		}
		j.mu.Lock()
		defer j.mu.Unlock()
		j.statuses = append(j.statuses, command.ProcessState.ExitCode())
	})
	return &longrunningpb.Operation{Name: "not waited for"}, nil
}

// kill kills the last execution, as a node that is lost would.
func (j *procJobs) kill() {
	j.t.Helper()
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.executions[len(j.executions)-1].Process.Kill(); err != nil {
		j.t.Error(err)
	}
}

// wantEnded waits for the ends of all executions, which had these exit statuses.
func (j *procJobs) wantEnded(want ...int) {
	j.t.Helper()
	procWait(j.t, "the ends of the executions", func() bool {
		j.mu.Lock()
		defer j.mu.Unlock()
		return len(j.statuses) >= len(want)
	})
	j.mu.Lock()
	defer j.mu.Unlock()
	if !slices.Equal(j.statuses, want) {
		j.t.Errorf("executions ended with %v, want %v", j.statuses, want)
	}
}

// jobSite is a program with a job: its client enqueues and sweeps here, and the
// tasks run in processes.
type jobSite struct {
	*procJobs
	database string
	client   *queue.Client
}

func newJobSite(t *testing.T) *jobSite {
	t.Helper()
	if _, err := procBuild(); err != nil {
		t.Fatal(err)
	}
	database := testdb.Postgres(t)
	env := map[string]string{"DATABASE_URL": database, "TASKS_MODE": "pull", "TASKS_LEASE": "1s", "JOBS_NAME": procJob}
	s := &jobSite{procJobs: &procJobs{t: t, dir: t.TempDir()}, database: database}
	for name, value := range env {
		t.Setenv(name, value)
		if name != "JOBS_NAME" {
			s.env = append(s.env, name+"="+value)
		}
	}
	server := grpc.NewServer()
	runpb.RegisterJobsServer(server, s.procJobs)
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { server.Stop(); s.ended.Wait() })
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	p, _, err := parsed(env, []string{"serve"})
	if err != nil {
		t.Fatal(err)
	}
	p.jobsOptions = []option.ClientOption{option.WithGRPCConn(conn)} // which the App closes
	app, err := p.plan(t.Context(), true, true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(app.close)
	if err := p.open(t.Context(), app, nil, true); err != nil {
		t.Fatal(err)
	}
	s.client = app.client
	return s
}

func (s *jobSite) enqueue(task string, args any, opts ...queue.Option) uuid.UUID {
	s.t.Helper()
	h, err := s.client.Enqueue(s.t.Context(), task, args, append(opts, queue.OnBackend(jobsBackend))...)
	if err != nil || h.Row.DispatchError != "" {
		s.t.Fatalf("enqueue: %v, %+v", err, h)
	}
	return h.ID
}

// waitFor waits until the row has the status.
func (s *jobSite) waitFor(id uuid.UUID, status queue.Status, attempts int) *queue.Row {
	s.t.Helper()
	var row *queue.Row
	procWait(s.t, string(status), func() bool {
		var err error
		if row, err = s.client.Get(s.t.Context(), id); err != nil {
			s.t.Fatal(err)
		}
		return row.Status == status && row.Attempts == attempts
	})
	return row
}

// sweep sweeps once, after the time in which the sweeper leaves rows alone.
func (s *jobSite) sweep(want queue.SweepResult) {
	s.t.Helper()
	testdb.Exec(s.t, s.database, "UPDATE claimcheck_tasks SET dispatch_due_at = now() WHERE status = 'READY'")
	if swept, err := s.client.Sweep(s.t.Context(), 0); err != nil || swept != want {
		s.t.Errorf("swept %+v, %v; want %+v", swept, err, want)
	}
}

// A failed attempt ends its execution with 1, and only the sweeper dispatches it
// again.
func TestJobsRunATaskAgainAfterAFailure(t *testing.T) {
	s := newJobSite(t)
	id := s.enqueue("demo.flaky", map[string]int{"failures": 1})
	row := s.waitFor(id, queue.StatusReady, 1)
	s.wantEnded(1)
	if grace := time.Until(row.DispatchDueAt); grace <= 0 || grace > queue.LongestBackoff+queue.DispatchGrace {
		t.Errorf("the sweeper comes back to it in %s", grace)
	}
	s.sweep(queue.SweepResult{Dispatched: 1})
	s.waitFor(id, queue.StatusSuccessful, 2)
	s.wantEnded(1, 0)
}

// What is not due gets no execution, and no error; the sweeper starts it.
func TestJobsWaitForTheirTime(t *testing.T) {
	s := newJobSite(t)
	id := s.enqueue("demo.echo", "x", queue.Delay(time.Hour))
	row := s.waitFor(id, queue.StatusReady, 0)
	if late := row.DispatchDueAt.Sub(row.RunAfter); row.DispatchError != "" || late != queue.DispatchGrace {
		t.Errorf("the sweeper comes back to it %s after its time: %+v", late, row)
	}
	testdb.Exec(t, s.database, "UPDATE claimcheck_tasks SET run_after = now(), hold = 0")
	s.sweep(queue.SweepResult{Dispatched: 1})
	s.waitFor(id, queue.StatusSuccessful, 1)
	s.wantEnded(0)
}

// A task longer than its lease keeps its claim, a second execution for its row
// changes nothing, and a lost one gives the row back when its lease is over.
func TestJobsKeepAndLoseTheirLease(t *testing.T) {
	s := newJobSite(t)
	id := s.enqueue("demo.sleep", map[string]int{"duration_ms": 3000})
	first := s.waitFor(id, queue.StatusRunning, 1)
	procWait(t, "a heartbeat", func() bool {
		return s.waitFor(id, queue.StatusRunning, 1).LeaseExpiresAt.After(first.LeaseExpiresAt)
	})
	if result := procRun(t, s.dir, s.env, "", "run", id.String()); result.status != 1 || !strings.Contains(result.stderr, "lease") {
		t.Errorf("a second execution: %+v", result)
	}
	s.waitFor(id, queue.StatusSuccessful, 1)
	s.wantEnded(0)

	id = s.enqueue("demo.sleep", map[string]int{"duration_ms": 60_000})
	s.waitFor(id, queue.StatusRunning, 1)
	s.kill()
	procWait(t, "the sweeper to start it again", func() bool {
		swept, err := s.client.Sweep(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		return swept.Reclaimed == 1 && swept.Dispatched == 1
	})
	s.waitFor(id, queue.StatusRunning, 2)
	s.kill()
}

func TestJobsAreCancelled(t *testing.T) {
	s := newJobSite(t)
	id := s.enqueue("demo.sleep", map[string]int{"duration_ms": 60_000})
	s.waitFor(id, queue.StatusRunning, 1)
	if _, _, err := s.client.Cancel(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	s.wantEnded(1)
	s.waitFor(id, queue.StatusCancelled, 1)
}

func TestJobNames(t *testing.T) {
	for _, test := range []struct{ name, project, location, want string }{
		{procJob, "", "", procJob},
		{"long", "proc", "europe-west1", procJob},
		{"", "", "", ""},
		{"long", "", "europe-west1", "error: its project is neither given nor detected"},
		{"long", "proc", "", "error: its region is neither given nor detected"},
		{"jobs/long", "proc", "europe-west1", "error: JOBS_NAME must be projects/PROJECT/locations/REGION/jobs/NAME"},
	} {
		p := &config.Config{Settings: &config.Settings{
			JobsName: test.name, CloudTasksProject: test.project, CloudTasksLocation: test.location,
		}}
		got, err := p.JobName(t.Context())
		if text, wrong := strings.CutPrefix(test.want, "error: "); wrong {
			if !errors.As(err, new(config.Problem)) || !strings.Contains(err.Error(), text) {
				t.Errorf("%q: %v", test.name, err)
			}
		} else if got != test.want || err != nil {
			t.Errorf("%q: %q, %v; want %q", test.name, got, err, test.want)
		}
	}
}

// The queues may be in another region than the service, which its job is beside.
func TestJobIsInTheRegionOfTheService(t *testing.T) {
	env := map[string]string{"K_SERVICE": "api", "CLOUD_RUN_REGION": "europe-west1"}
	p := &config.Config{Env: env, Settings: &config.Settings{
		JobsName: "long", CloudTasksProject: "proc", CloudTasksLocation: "europe-west4",
	}}
	if got, err := p.JobName(t.Context()); got != procJob || err != nil {
		t.Errorf("%q, %v; want %q", got, err, procJob)
	}
}

// In a job there is no request whose end a task must not outlast, and the time
// limits of tasks that do not travel through Cloud Tasks are not its business.
func TestJobsHaveNoRequestTimeout(t *testing.T) {
	env := map[string]string{"CLOUD_RUN_JOB": "long"}
	p := &config.Config{Settings: &config.Settings{}, Env: env}
	if got := p.DefaultTimeout(config.ModeCloudTasks); got != 0 {
		t.Errorf("in a job: %s", got)
	}
	env["CLOUD_RUN_WORKER_POOL"] = env["CLOUD_RUN_JOB"]
	delete(env, "CLOUD_RUN_JOB")
	if got := p.DefaultTimeout(config.ModeCloudTasks); got != 0 {
		t.Errorf("in a worker pool: %s", got)
	}
	delete(env, "CLOUD_RUN_WORKER_POOL")
	if got := p.DefaultTimeout(config.ModeCloudTasks); got != 9*time.Minute {
		t.Errorf("elsewhere: %s", got)
	}
	hours := func(opts ...queue.Option) *queue.Registry {
		return queue.NewRegistry(queue.NewTask("hours", echo, append(opts, queue.Timeout(5*time.Hour))...))
	}
	if err := (&config.Target{}).CheckTasks(hours()); err == nil {
		t.Error("five hours were accepted for a delivery")
	}
	if err := (&config.Target{}).CheckTasks(hours(queue.OnBackend(jobsBackend))); err != nil {
		t.Error(err)
	}
}
