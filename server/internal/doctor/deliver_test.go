package doctor

import (
	"context"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	apiv2 "cloud.google.com/go/cloudtasks/apiv2"
	"cloud.google.com/go/cloudtasks/apiv2/cloudtaskspb"
	"google.golang.org/api/option"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
)

// lookedAt is Cloud Tasks with one task, whose second delivery is under way until the
// task was looked at: the answer to it is then there, if it is ever.
type lookedAt struct {
	cloudtaskspb.UnimplementedCloudTasksServer
	answer string
	looks  atomic.Int32
}

func (l *lookedAt) GetTask(context.Context, *cloudtaskspb.GetTaskRequest) (*cloudtaskspb.Task, error) {
	task := &cloudtaskspb.Task{DispatchCount: 2, ResponseCount: 1, LastAttempt: &cloudtaskspb.Attempt{}}
	if l.looks.Add(1) > 1 && l.answer != "" {
		task.ResponseCount, task.LastAttempt.ResponseStatus = 2, &rpcstatus.Status{Message: l.answer}
	}
	return task, nil
}

// While a delivery is under way Cloud Tasks has no answer to show: doctor waits for
// it, and reports none that it has not seen.
func TestStuckProbeIsReportedWithItsLastAnswer(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]string{
		"HTTP status code 403": "delivered 2 times, not authenticated: the last answer was HTTP status code 403",
		"HTTP status code 500": "delivered 2 times, not claimed: the last answer was HTTP status code 500",
		"":                     "delivered 1 times before, not claimed: the delivery under way is not answered yet",
	} {
		t.Run(answer, func(t *testing.T) {
			t.Parallel()
			listener := bufconn.Listen(1 << 16)
			server := grpc.NewServer()
			cloudtaskspb.RegisterCloudTasksServer(server, &lookedAt{answer: answer})
			go func() { _ = server.Serve(listener) }()
			defer server.Stop()
			conn, err := grpc.NewClient("passthrough:tasks", grpc.WithTransportCredentials(insecure.NewCredentials()),
				grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
			if err != nil {
				t.Fatal(err)
			}
			client, err := apiv2.NewClient(t.Context(), option.WithGRPCConn(conn))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = client.Close() }()
			d := &delivery{Diagnosis: &Diagnosis{cloudTasks: client}, creator: &probeCreator{name: "t"}}
			if found := d.stuckInQueue(t.Context(), "created"); found.Status != Fail || !strings.HasSuffix(found.Detail, want) {
				t.Errorf("%+v, want %s", found, want)
			}
		})
	}
}

// The queue is named with its location and project: gcloud's own defaults may be others.
func TestQueueOfACloudTask(t *testing.T) {
	const task = "projects/proj/locations/europe-west1/queues/emails/tasks/123"
	if got := describeCommand(task); got != "gcloud tasks queues describe emails --location=europe-west1 --project=proj" {
		t.Error(got)
	}
}

// Cloud Tasks keeps the HTTP status of an answer in its text.
func TestAnswerCodePrefersTheHTTPStatus(t *testing.T) {
	for text, want := range map[string]codes.Code{
		"HTTP status code 401": codes.Unauthenticated, "HTTP status code 403": codes.PermissionDenied,
		"HTTP status code 404": codes.NotFound, "HTTP status code 500": codes.Internal, "": codes.Internal,
	} {
		if got := answerCode(&rpcstatus.Status{Code: int32(codes.Internal), Message: text}); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

// A clock is classified by what is certain: its offset less its uncertainty.
func TestClockIsClassifiedByWhatIsCertain(t *testing.T) {
	for off, want := range map[time.Duration]Status{
		0: OK, 2 * time.Second: OK, -2 * time.Second: OK, 4 * time.Second: Warn, -4 * time.Second: Warn, 2 * time.Minute: Fail,
	} {
		if got := classifyClock(off, time.Second, "a clock", "fix", "it matters"); got.Status != want {
			t.Errorf("%s: %+v, want %s", off, got, want)
		}
	}
}
