package cloudtasks_test

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/cloudtasks/apiv2/cloudtaskspb"
	beta "cloud.google.com/go/cloudtasks/apiv2beta3/cloudtaskspb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/claimcheck-go/claimcheck/cloudtasks"
	"github.com/claimcheck-go/claimcheck/queue"
)

// described is a service that describes its queues.
type described struct {
	cloudtaskspb.UnimplementedCloudTasksServer
	refuse error
}

func (s *described) GetQueue(_ context.Context, r *cloudtaskspb.GetQueueRequest) (*cloudtaskspb.Queue, error) {
	if s.refuse != nil {
		return nil, s.refuse
	}
	return &cloudtaskspb.Queue{
		Name: r.GetName(), State: cloudtaskspb.Queue_PAUSED,
		RateLimits:  &cloudtaskspb.RateLimits{MaxDispatchesPerSecond: 12.5, MaxBurstSize: 10, MaxConcurrentDispatches: 80},
		RetryConfig: &cloudtaskspb.RetryConfig{MaxAttempts: -1, MinBackoff: durationpb.New(time.Second), MaxBackoff: durationpb.New(time.Minute), MaxDoublings: 5, MaxRetryDuration: durationpb.New(time.Hour)},
	}, nil
}

// contents is the version of the API that tells what queues contain.
type contents struct {
	beta.UnimplementedCloudTasksServer
	asked chan string
}

func (s *contents) GetQueue(_ context.Context, r *beta.GetQueueRequest) (*beta.Queue, error) {
	s.asked <- r.GetName() + " " + strings.Join(r.GetReadMask().GetPaths(), ",")
	return &beta.Queue{Name: r.GetName(), Stats: &beta.QueueStats{
		TasksCount: 1234, OldestEstimatedArrivalTime: timestamppb.New(time.Unix(1_800_000_000, 5)), ExecutedLastMinuteCount: 60, ConcurrentDispatchesCount: 7, EffectiveExecutionRate: 2.5,
	}}, nil
}

// inspected asks a service of these parts about a queue.
func inspected(t *testing.T, service *described, more *contents) []queue.DispatchQueue {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it ends with the test
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	cloudtaskspb.RegisterCloudTasksServer(server, service)
	if more != nil {
		beta.RegisterCloudTasksServer(server, more)
	}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	client, err := cloudtasks.Dial(t.Context(), cloudtasks.DialConfig{EmulatorHost: listener.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	d, err := cloudtasks.New(client, cloudtasks.Config{
		Project: "acme", Location: "europe-west1", HandlerURL: "https://worker.example/tasks/execute/{task_id}/", ServiceAccountEmail: "tasks@acme.iam.gserviceaccount.com",
		QueueAliases: map[string][]string{"emails": {"emails-1", "emails-2"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return d.InspectQueue(t.Context(), "emails")
}

func TestQueuesAreDescribed(t *testing.T) {
	more := &contents{asked: make(chan string, 2)}
	all := inspected(t, &described{}, more)
	if len(all) != 2 {
		t.Fatalf("%d queues", len(all))
	}
	want := queue.DispatchQueue{
		Name: "projects/acme/locations/europe-west1/queues/emails-2", State: "PAUSED", MaxPerSecond: 12.5, MaxBurst: 10, MaxConcurrent: 80, MaxAttempts: -1,
		MaxRetryTime: time.Hour, MinBackoff: time.Second, MaxBackoff: time.Minute, MaxDoublings: 5,
	}
	depth := all[1].Depth
	all[1].Depth = nil
	if all[1] != want {
		t.Errorf("%+v, want %+v", all[1], want)
	}
	if depth == nil || *depth != (queue.DispatchDepth{Tickets: 1234, OldestDue: time.Unix(1_800_000_000, 0).UTC(), LastMinute: 60, Concurrent: 7, EffectiveLimit: 2.5}) {
		t.Errorf("depth: %+v, %v", depth, all[1].DepthErr)
	}
	if asked := <-more.asked; !strings.HasSuffix(asked, " stats") || !strings.HasPrefix(asked, "projects/acme/locations/europe-west1/queues/emails-") {
		t.Errorf("asked for %q", asked)
	}
}

func TestWhatIsNotKnownOfAQueueSaysWhy(t *testing.T) {
	if q := inspected(t, &described{}, nil)[0]; q.Err != nil || q.Depth != nil || q.DepthErr == nil || !strings.Contains(q.DepthErr.Error(), "does not say") {
		t.Errorf("without the version that tells the depth: %+v", q)
	}
	for code, says := range map[codes.Code]string{
		codes.PermissionDenied: "roles/cloudtasks.viewer", codes.NotFound: "it does not exist", codes.Unavailable: "cannot be reached", codes.DeadlineExceeded: "no answer in time", codes.Internal: "code = Internal",
	} {
		q := inspected(t, &described{refuse: status.Error(code, "no")}, nil)[0]
		if q.Err == nil || !strings.Contains(q.Err.Error(), says) || status.Code(q.Err) != code {
			t.Errorf("%s: %v", code, q.Err)
		}
	}
	disabled := inspected(t, &described{refuse: status.Error(codes.PermissionDenied, "Cloud Tasks API has not been used in project 1 before or it is disabled.")}, nil)[0]
	if !strings.Contains(disabled.Err.Error(), "not enabled") {
		t.Errorf("disabled: %v", disabled.Err)
	}
}
