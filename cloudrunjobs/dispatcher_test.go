package cloudrunjobs

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	run "cloud.google.com/go/run/apiv2"
	"cloud.google.com/go/run/apiv2/runpb"
	"github.com/google/uuid"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/claimcheck-go/claimcheck/queue"
)

const job = "projects/acme/locations/europe-west1/jobs/long"

// fake is the API of Cloud Run jobs, which notes what it is asked.
type fake struct {
	runpb.UnimplementedJobsServer

	mu     sync.Mutex
	asked  []*runpb.RunJobRequest
	refuse map[string]codes.Code // by the row's ID
}

func (f *fake) RunJob(_ context.Context, r *runpb.RunJobRequest) (*longrunningpb.Operation, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, r)
	if code, ok := f.refuse[r.GetOverrides().GetContainerOverrides()[0].GetArgs()[1]]; ok {
		return nil, status.Error(code, "the service's own words")
	}
	return &longrunningpb.Operation{Name: "never done"}, nil
}

// start serves the fake on loopback, for Google's own client.
func start(t *testing.T) (*fake, *Dispatcher) {
	t.Helper()
	f, server := &fake{refuse: map[string]codes.Code{}}, grpc.NewServer()
	runpb.RegisterJobsServer(server, f)
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	client, err := run.NewJobsClient(t.Context(), option.WithGRPCConn(conn))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	d, err := New(client, job)
	if err != nil {
		t.Fatal(err)
	}
	return f, d
}

func TestAnExecutionRunsOneRow(t *testing.T) {
	f, d := start(t)
	id := uuid.New()
	if err := d.Dispatch(t.Context(), queue.Ticket{ID: id, Queue: "q", Timeout: 2 * time.Hour}); err != nil {
		t.Fatal(err)
	}
	if err := d.Dispatch(t.Context(), queue.Ticket{ID: id, DueAt: time.Now().Add(-time.Second)}); err != nil {
		t.Fatal(err)
	}
	if len(f.asked) != 2 {
		t.Fatalf("%d executions", len(f.asked))
	}
	overrides := f.asked[0].GetOverrides()
	args := overrides.GetContainerOverrides()[0].GetArgs()
	if f.asked[0].GetName() != job || strings.Join(args, " ") != "run "+id.String() || overrides.GetTaskCount() != 1 ||
		overrides.GetTimeout().AsDuration() != 2*time.Hour+timeoutMargin {
		t.Errorf("asked %v", f.asked[0])
	}
	if f.asked[1].GetOverrides().GetTimeout() != nil {
		t.Error("a task without a timeout has the job's own")
	}
}

func TestWhatIsNotDueIsLeftToTheSweeper(t *testing.T) {
	f, d := start(t)
	if err := d.Dispatch(t.Context(), queue.Ticket{ID: uuid.New(), DueAt: time.Now().Add(time.Minute)}); err != nil || len(f.asked) != 0 {
		t.Errorf("%v, %d executions", err, len(f.asked))
	}
}

func TestRefusalsAreExplained(t *testing.T) {
	for code, want := range map[codes.Code]string{
		codes.NotFound:         job + ": there is no such job",
		codes.PermissionDenied: "roles/run.jobsExecutorWithOverrides",
		codes.DeadlineExceeded: "the execution may exist all the same",
		codes.Internal:         "the service's own words",
	} {
		f, d := start(t)
		good, bad := uuid.New(), uuid.New()
		f.refuse[bad.String()] = code
		err := d.Dispatch(t.Context(), queue.Ticket{ID: good}, queue.Ticket{ID: bad})
		var partly *queue.DispatchError
		if !errors.As(err, &partly) || len(partly.Failed) != 1 || !strings.Contains(partly.Failed[bad].Error(), want) ||
			!strings.Contains(err.Error(), "the service's own words") || status.Code(partly.Failed[bad]) != code {
			t.Errorf("%s: %v", code, err)
		}
	}
}

func TestNamesAndTimeouts(t *testing.T) {
	for _, wrong := range []string{"", "long", "projects/acme/jobs/long", job + "/executions/1", "projects/a/locations/b/jobs/Long"} {
		if _, err := New(nil, wrong); err == nil || !strings.HasPrefix(err.Error(), "the name of a job must be ") {
			t.Errorf("%q: %v", wrong, err)
		}
	}
	if !IsShort("long") || IsShort(job) || FullName("acme", "europe-west1", "long") != job {
		t.Error("short names")
	}
	d, err := New(nil, job)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.CheckTimeout(24 * time.Hour); err != nil {
		t.Error(err)
	}
	if err := d.CheckTimeout(7 * 24 * time.Hour); err == nil || !strings.Contains(err.Error(), "queue.Snooze") {
		t.Error(err)
	}
}
