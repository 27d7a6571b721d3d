package cloudtaskstest_test

import (
	"context"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	apiv2 "cloud.google.com/go/cloudtasks/apiv2"
	"cloud.google.com/go/cloudtasks/apiv2/cloudtaskspb"
	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/claimcheck-go/claimcheck/cloudtasks"
	"github.com/claimcheck-go/claimcheck/cloudtasks/cloudtaskstest"
)

const (
	parent    = "projects/acme/locations/europe-west1"
	queueName = parent + "/queues/default"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fixture is a Server with one queue, a client, and a handler that answers with
// the codes it is given, and 200 from then on.
type fixture struct {
	*testing.T
	srv    *cloudtaskstest.Server
	client *apiv2.Client

	mu       sync.Mutex
	answers  []int
	times    []time.Time // of deliveries
	requests []*http.Request
	header   http.Header              // of answers
	before   func(*http.Request, int) // gets the delivery's number, from 1
}

// bubble runs f in a synctest bubble, where time is fake.
func bubble(t *testing.T, queue *cloudtaskspb.Queue, change func(*cloudtaskstest.Config), f func(*fixture)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		fx := &fixture{T: t, header: http.Header{}}
		if queue == nil {
			queue = &cloudtaskspb.Queue{}
		}
		queue.Name = queueName
		cfg := cloudtaskstest.Config{Queues: []*cloudtaskspb.Queue{queue}, Handler: fx}
		if change != nil {
			change(&cfg)
		}
		fx.srv, fx.client = cloudtaskstest.Start(t, cfg)
		f(fx)
	})
}

func (fx *fixture) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	fx.mu.Lock()
	code := http.StatusOK
	if len(fx.answers) > 0 {
		code, fx.answers = fx.answers[0], fx.answers[1:]
	}
	fx.times = append(fx.times, time.Now())
	fx.requests = append(fx.requests, r)
	for name, values := range fx.header {
		w.Header()[name] = values
	}
	before, n := fx.before, len(fx.times)
	fx.mu.Unlock()
	if before != nil {
		before(r, n)
	}
	w.WriteHeader(code)
}

// answer sets what the handler answers; 200 when that is used up.
func (fx *fixture) answer(codes ...int) {
	fx.mu.Lock()
	defer fx.mu.Unlock()
	fx.answers = codes
}

func httpTask(url string) *cloudtaskspb.Task {
	return &cloudtaskspb.Task{MessageType: &cloudtaskspb.Task_HttpRequest{HttpRequest: &cloudtaskspb.HttpRequest{Url: url}}}
}

func task() *cloudtaskspb.Task {
	return httpTask("https://worker.example/tasks/execute/1/?fail_on_error=true")
}

// create creates a task, or ends the test.
func (fx *fixture) create(t *cloudtaskspb.Task) *cloudtaskspb.Task {
	fx.Helper()
	created, err := fx.tryCreate(t)
	if err != nil {
		fx.Fatal(err)
	}
	return created
}

func (fx *fixture) tryCreate(t *cloudtaskspb.Task) (*cloudtaskspb.Task, error) {
	ctx, cancel := context.WithTimeout(fx.Context(), 10*time.Second)
	defer cancel()
	return fx.client.CreateTask(ctx, &cloudtaskspb.CreateTaskRequest{Parent: queueName, Task: t})
}

// empty waits until all tasks are gone.
func (fx *fixture) empty() {
	fx.Helper()
	ctx, cancel := context.WithTimeout(fx.Context(), 40*24*time.Hour)
	defer cancel()
	if err := fx.srv.WaitEmpty(ctx); err != nil {
		fx.Fatal(err)
	}
}

func (fx *fixture) code(err error, want codes.Code) {
	fx.Helper()
	if got := status.Code(err); got != want {
		fx.Errorf("%v: code %s, want %s", err, got, want)
	}
}

func TestDeliversAtOnceAndDeletes(t *testing.T) {
	bubble(t, nil, nil, func(fx *fixture) {
		start := time.Now()
		created := fx.create(task())
		fx.empty()
		if len(fx.times) != 1 || fx.times[0] != start {
			fx.Errorf("delivered at %v, want once at %v", fx.times, start)
		}
		r := fx.requests[0]
		if r.Method != http.MethodPost || r.URL.String() != "/tasks/execute/1/?fail_on_error=true" || r.Host != "worker.example" {
			fx.Errorf("request %s %s to %s", r.Method, r.URL, r.Host)
		}
		_, err := fx.client.GetTask(fx.Context(), &cloudtaskspb.GetTaskRequest{Name: created.GetName()})
		fx.code(err, codes.NotFound)
		if attempts := fx.srv.Attempts(created.GetName()); len(attempts) != 1 || attempts[0].StatusCode != http.StatusOK {
			fx.Errorf("attempts %+v", attempts)
		}
	})
}

func TestWaitsForTheSchedule(t *testing.T) {
	bubble(t, nil, nil, func(fx *fixture) {
		at := time.Now().Add(29 * 24 * time.Hour)
		later := task()
		later.ScheduleTime = timestamppb.New(at)
		fx.create(later)
		past := task()
		past.ScheduleTime = timestamppb.New(time.Now().Add(-time.Hour))
		start := time.Now()
		if created := fx.create(past); !created.GetScheduleTime().AsTime().Equal(start) {
			fx.Errorf("a time in the past became %s, want now", created.GetScheduleTime().AsTime())
		}
		fx.empty()
		if len(fx.times) != 2 || !fx.times[0].Equal(start) || !fx.times[1].Equal(at) {
			fx.Errorf("delivered at %v, want %v and %v", fx.times, start, at)
		}
	})
}

func TestServesOnAListener(t *testing.T) {
	srv, _ := cloudtaskstest.Start(t, cloudtaskstest.Config{AutoCreate: cloudtaskstest.AnyQueue})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(listener) }()
	ctx := withTimeout(t)
	client, err := cloudtasks.Dial(ctx, cloudtasks.DialConfig{EmulatorHost: listener.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	got, url := serveHTTP(t)
	if _, err := client.CreateTask(ctx, &cloudtaskspb.CreateTaskRequest{Parent: queueName, Task: httpTask(url)}); err != nil {
		t.Fatal(err)
	}
	<-got
	srv.Close()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func TestCloseLeavesNothingBehind(t *testing.T) { // goleak in TestMain looks
	srv, client := cloudtaskstest.Start(t, cloudtaskstest.Config{AutoCreate: cloudtaskstest.AnyQueue})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	// Nothing listens there: the task is being retried when the server closes.
	if _, err := client.CreateTask(ctx, &cloudtaskspb.CreateTaskRequest{Parent: queueName, Task: httpTask("http://127.0.0.1:1/")}); err != nil {
		t.Fatal(err)
	}
	srv.Close()
	srv.Close()
	if _, err := srv.Client(ctx); err == nil {
		t.Error("a client of a closed server")
	}
	if err := srv.Serve(nil); err == nil {
		t.Error("a closed server serves")
	}
}
