package cloudtasks_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	apiv2 "cloud.google.com/go/cloudtasks/apiv2"
	"cloud.google.com/go/cloudtasks/apiv2/cloudtaskspb"
	"github.com/google/uuid"
	"github.com/googleapis/gax-go/v2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/claimcheck-go/claimcheck/cloudtasks"
	"github.com/claimcheck-go/claimcheck/cloudtasks/cloudtaskstest"
	"github.com/claimcheck-go/claimcheck/queue"
)

// batchFixture is a Dispatcher with Config.BatchCreate, over the fake.
type batchFixture struct {
	*testing.T
	srv *cloudtaskstest.Server
	d   *cloudtasks.Dispatcher
	log bytes.Buffer

	// What the client was asked to create in batches, and a change of its answers.
	mu       sync.Mutex
	requests []*cloudtaskspb.BatchCreateTasksRequest
	after    func(n int, err error) error
	client   *apiv2.Client
}

func (fx *batchFixture) CreateTask(ctx context.Context, r *cloudtaskspb.CreateTaskRequest, o ...gax.CallOption) (*cloudtaskspb.Task, error) {
	return fx.client.CreateTask(ctx, r, o...)
}

func (fx *batchFixture) BatchCreateTasks(ctx context.Context, r *cloudtaskspb.BatchCreateTasksRequest, o ...gax.CallOption) (*apiv2.BatchCreateTasksOperation, error) {
	fx.mu.Lock()
	fx.requests = append(fx.requests, proto.CloneOf(r))
	n := len(fx.requests)
	fx.mu.Unlock()
	op, err := fx.client.BatchCreateTasks(ctx, r, o...)
	if fx.after != nil {
		if err = fx.after(n, err); err != nil {
			op = nil
		}
	}
	return op, err
}

// withBatches runs f in a synctest bubble. The queues of the fake, "default" and
// "other", are paused: tasks stay.
func withBatches(t *testing.T, change func(*cloudtaskstest.Config), set func(*cloudtasks.Config), f func(fx *batchFixture)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		cfg := cloudtaskstest.Config{}
		for _, id := range []string{"default", "other"} {
			cfg.Queues = append(cfg.Queues, &cloudtaskspb.Queue{Name: strings.Replace(defaultQueue, "default", id, 1), State: cloudtaskspb.Queue_PAUSED})
		}
		if change != nil {
			change(&cfg)
		}
		fx := &batchFixture{T: t}
		fx.srv, fx.client = cloudtaskstest.Start(t, cfg)
		target := cloudtasks.Config{
			Project: "acme", Location: "europe-west1", HandlerURL: "https://worker.example/tasks/execute/{task_id}/",
			ServiceAccountEmail: "tasks@acme.iam.gserviceaccount.com",
			BatchCreate:         true, Logger: slog.New(slog.NewTextHandler(&fx.log, nil)),
		}
		if set != nil {
			set(&target)
		}
		var err error
		if fx.d, err = cloudtasks.New(fx, target); err != nil {
			t.Fatal(err)
		}
		f(fx)
	})
}

// send dispatches tickets within three seconds, as an enqueue does, and returns the
// errors by ticket.
func (fx *batchFixture) send(tickets ...queue.Ticket) map[uuid.UUID]error {
	fx.Helper()
	ctx, cancel := context.WithTimeout(fx.Context(), 3*time.Second)
	defer cancel()
	err := fx.d.DispatchBatch(ctx, tickets...)
	if err == nil {
		return nil
	}
	var failed *queue.DispatchError
	if !errors.As(err, &failed) {
		fx.Fatalf("%T: %v", err, err)
	}
	return failed.Failed
}

// expect checks how many tasks and batches the fake has accepted so far.
func (fx *batchFixture) expect(created, batches int) {
	fx.Helper()
	if stats := fx.srv.Stats(); stats.Created != created || stats.Batches != batches {
		fx.Errorf("%d tasks created in %d batches, want %d in %d", stats.Created, stats.Batches, created, batches)
	}
}

func batchOf(n int, queues ...string) []queue.Ticket {
	tickets := make([]queue.Ticket, n)
	for i := range tickets {
		tickets[i] = queue.Ticket{ID: uuid.New(), Queue: "default", Name: fmt.Sprintf("t-%d", i)}
		if len(queues) > 0 {
			tickets[i].Queue = queues[i%len(queues)]
		}
	}
	return tickets
}

// times is a fault that strikes the first n times.
func times(n int, fault cloudtaskstest.Fault, code codes.Code) cloudtaskstest.Faults {
	return cloudtaskstest.Faults{Code: code, Decide: func(f cloudtaskstest.Fault, _ string) bool {
		n -= map[bool]int{true: 1}[f == fault]
		return f == fault && n >= 0
	}}
}

func TestBatchesHaveOneQueueAndAHundredTasksAtMost(t *testing.T) {
	withBatches(t, nil, nil, func(fx *batchFixture) {
		tickets := batchOf(501, "default", "other") // 251 and 250
		if failed := fx.send(tickets...); failed != nil {
			fx.Error(failed)
		}
		fx.expect(501, 6)
		urls := map[string]bool{}
		for _, task := range fx.srv.Tasks() {
			urls[task.GetHttpRequest().GetUrl()] = true
		}
		for _, ticket := range tickets {
			if !urls["https://worker.example/tasks/execute/"+ticket.ID.String()+"/?fail_on_error=true"] {
				fx.Errorf("no task calls back for %s", ticket.ID)
			}
		}
	})
}

func TestASingleTicketIsCreatedWithoutABatch(t *testing.T) {
	withBatches(t, nil, nil, func(fx *batchFixture) {
		if failed := fx.send(batchOf(1)...); failed != nil {
			fx.Error(failed)
		}
		tickets := batchOf(3)
		tickets[2].Queue = "other" // the only one of its queue
		if failed := fx.send(tickets[1:]...); failed != nil {
			fx.Error(failed)
		}
		fx.expect(3, 0)
		if err := fx.d.Dispatch(fx.Context(), batchOf(5)[3:]...); err != nil { // not by Dispatch either
			fx.Error(err)
		}
		fx.expect(5, 0)
	})
}

func TestBatchesKeepWithinTheirSize(t *testing.T) {
	withBatches(t, nil, func(c *cloudtasks.Config) { c.Audience = "https://a/" + strings.Repeat("x", 30<<10) }, func(fx *batchFixture) {
		if failed := fx.send(batchOf(100)...); failed != nil {
			fx.Error(failed)
		}
		fx.expect(100, 3)
		for _, r := range fx.requests {
			if size := proto.Size(r); size > 1<<20+1<<10 {
				fx.Errorf("a request has %d bytes", size)
			}
		}
	})
}

func TestOneTicketOfABatchFails(t *testing.T) {
	withBatches(t, func(c *cloudtaskstest.Config) {
		c.Faults = cloudtaskstest.Faults{Code: codes.FailedPrecondition, Decide: func(f cloudtaskstest.Fault, task string) bool {
			return f == cloudtaskstest.RefuseCreate && strings.HasSuffix(task, "/t-3")
		}}
	}, nil, func(fx *batchFixture) {
		tickets := batchOf(10)
		tickets[7].Queue = "no_such"
		failed := fx.send(tickets...)
		if len(failed) != 2 || status.Code(failed[tickets[3].ID]) != codes.FailedPrecondition || failed[tickets[7].ID] == nil {
			fx.Errorf("failed: %v", failed)
		}
		if text := fmt.Sprint(failed[tickets[3].ID]); !strings.Contains(text, "gcloud tasks queues describe default") {
			fx.Errorf("not explained: %s", text)
		}
		fx.expect(8, 1)
	})
}

func TestOnlyWhatMayPassIsRepeated(t *testing.T) {
	withBatches(t, func(c *cloudtaskstest.Config) {
		c.Faults = times(4, cloudtaskstest.RefuseCreate, codes.ResourceExhausted)
	}, nil, func(fx *batchFixture) {
		if failed := fx.send(batchOf(10)...); failed != nil {
			fx.Error(failed)
		}
		fx.expect(10, 2)
		if n := len(fx.requests[1].GetRequests()); n != 4 || fx.requests[0].GetRequestId() == fx.requests[1].GetRequestId() {
			fx.Errorf("the second batch has %d tasks and request ID %s", n, fx.requests[1].GetRequestId())
		}
	})
}

func TestATicketOfABatchThatExistsCountsAsCreated(t *testing.T) {
	withBatches(t, nil, nil, func(fx *batchFixture) {
		tickets := batchOf(10)
		for range 2 {
			if failed := fx.send(tickets...); failed != nil {
				fx.Error(failed)
			}
		}
		fx.expect(10, 2)
	})
}

// The answer of a call got lost: the repetition must not create everything twice.
func TestALostAnswerRepeatsTheSameBatch(t *testing.T) {
	withBatches(t, nil, nil, func(fx *batchFixture) {
		fx.after = func(n int, err error) error {
			if n == 1 {
				return status.Error(codes.Unavailable, "lost")
			}
			return err
		}
		tickets := batchOf(10)
		for i := range tickets {
			tickets[i].Name = ""
		}
		if failed := fx.send(tickets...); failed != nil {
			fx.Error(failed)
		}
		fx.expect(10, 1)
		if len(fx.requests) != 2 {
			fx.Errorf("%d calls", len(fx.requests))
		}
	})
}

func TestABatchThatIsRefusedFailsAllItsTickets(t *testing.T) {
	withBatches(t, func(c *cloudtaskstest.Config) {
		c.Faults = times(100, cloudtaskstest.RefuseBatch, codes.PermissionDenied)
	}, nil, func(fx *batchFixture) {
		failed := fx.send(batchOf(10)...)
		for _, err := range failed {
			if status.Code(err) != codes.PermissionDenied || !strings.Contains(err.Error(), "roles/cloudtasks.enqueuer") {
				fx.Error(err)
			}
		}
		if len(failed) != 10 || len(fx.requests) != 1 {
			fx.Errorf("%d failed after %d calls", len(failed), len(fx.requests))
		}
		fx.expect(0, 0)
	})
}

func TestABatchThatFailedInAWayThatMayPassIsRepeated(t *testing.T) {
	for _, fault := range []cloudtaskstest.Fault{cloudtaskstest.RefuseBatch, cloudtaskstest.FailBatch} {
		withBatches(t, func(c *cloudtaskstest.Config) { c.Faults = times(1, fault, codes.Internal) }, nil, func(fx *batchFixture) {
			if failed := fx.send(batchOf(10)...); failed != nil {
				fx.Error(fault, failed)
			}
			if len(fx.requests) != 2 || len(fx.srv.Tasks()) != 10 {
				fx.Errorf("%s: %d calls, %d tasks", fault, len(fx.requests), len(fx.srv.Tasks()))
			}
		})
	}
}

func TestAnOperationThatEndsLaterIsFollowed(t *testing.T) {
	withBatches(t, func(c *cloudtaskstest.Config) {
		c.BatchTime = time.Second
		c.Faults = times(2, cloudtaskstest.RefuseOperation, codes.Unavailable) // reading it fails at first
	}, nil, func(fx *batchFixture) {
		start := time.Now()
		if failed := fx.send(batchOf(250)...); failed != nil {
			fx.Error(failed)
		}
		if took := time.Since(start); took < time.Second || took > 1700*time.Millisecond {
			fx.Errorf("took %s", took)
		}
		fx.expect(250, 3)
	})
}

// The sweeper repeats tickets of which nobody knows whether they exist.
func TestTicketsOfAnOperationThatNeverEndsCountAsFailed(t *testing.T) {
	withBatches(t, func(c *cloudtaskstest.Config) { c.Faults = times(1, cloudtaskstest.StickBatch, 0) }, nil, func(fx *batchFixture) {
		start := time.Now()
		tickets := batchOf(150) // the operation of one of two batches never ends
		failed := fx.send(tickets...)
		if took := time.Since(start); took > 3*time.Second || took < 2*time.Second {
			fx.Errorf("took %s of 3s", took)
		}
		for _, err := range failed {
			if !strings.Contains(err.Error(), "is not known") || !strings.Contains(err.Error(), "the sweeper sends them again") || status.Code(err) != codes.DeadlineExceeded {
				fx.Error(err)
			}
		}
		if len(failed) != 50 && len(failed) != 100 {
			fx.Errorf("%d tickets failed", len(failed))
		}
		fx.expect(150, 2)
		if failed := fx.send(batchOf(2)...); failed != nil {
			fx.Errorf("the next batch: %v", failed)
		}
	})
}

func TestAnOperationThatIsGoneIsNotRepeated(t *testing.T) {
	withBatches(t, func(c *cloudtaskstest.Config) {
		c.BatchTime = time.Second
		c.Faults = times(1, cloudtaskstest.RefuseOperation, codes.NotFound)
	}, nil, func(fx *batchFixture) {
		failed := fx.send(batchOf(10)...)
		for _, err := range failed {
			if strings.Contains(err.Error(), "queues create") || !strings.Contains(err.Error(), "is not known") {
				fx.Error(err)
			}
		}
		if len(failed) != 10 || len(fx.requests) != 1 {
			fx.Errorf("%d failed after %d calls", len(failed), len(fx.requests))
		}
	})
}

// Where batches do not work, that is said once and each ticket gets its own create.
func TestTasksAreCreatedOneAtATimeWhereBatchesDoNotWork(t *testing.T) {
	for name, change := range map[string]func(*cloudtaskstest.Config){
		"UNIMPLEMENTED": func(c *cloudtaskstest.Config) { c.NoBatches = true },
		"operations are UNIMPLEMENTED": func(c *cloudtaskstest.Config) {
			c.BatchTime, c.Faults = time.Second, times(100, cloudtaskstest.RefuseOperation, codes.Unimplemented)
		},
		"operations may not be read": func(c *cloudtaskstest.Config) {
			c.BatchTime, c.Faults = time.Second, times(100, cloudtaskstest.RefuseOperation, codes.PermissionDenied)
		},
	} {
		t.Run(name, func(t *testing.T) {
			withBatches(t, change, nil, func(fx *batchFixture) {
				tickets := batchOf(250)
				if failed := fx.send(tickets...); failed != nil {
					fx.Error(failed)
				}
				asked := len(fx.requests)
				if failed := fx.send(batchOf(350)[250:]...); failed != nil {
					fx.Error(failed)
				}
				if n := fx.srv.Stats().Created; n != 350 || len(fx.requests) != asked {
					fx.Errorf("%d tasks created; %d calls for batches, then %d", n, asked, len(fx.requests)-asked)
				}
				if n := strings.Count(fx.log.String(), "batches of Cloud Tasks cannot be created here"); n != 1 {
					fx.Errorf("said %d times: %s", n, fx.log.String())
				}
			})
		})
	}
}

func TestBatchesEndWithTheirContext(t *testing.T) {
	withBatches(t, func(c *cloudtaskstest.Config) { c.BatchTime = time.Hour }, nil, func(fx *batchFixture) {
		ctx, cancel := context.WithCancel(fx.Context())
		time.AfterFunc(100*time.Millisecond, cancel)
		start := time.Now()
		if err := fx.d.DispatchBatch(ctx, batchOf(10)...); err == nil || time.Since(start) != 100*time.Millisecond {
			fx.Errorf("%v after %s", err, time.Since(start))
		}
		// Without a deadline it does not wait for ever, nor longer for a call than the service accepts.
		start = time.Now()
		err := fx.d.DispatchBatch(fx.Context(), batchOf(20)[10:]...)
		if err == nil || time.Since(start) > 31*time.Second || !strings.Contains(err.Error(), "is not known") {
			fx.Errorf("%v after %s", err, time.Since(start))
		}
	})
}

func TestBatchesNeedAClientThatHasThem(t *testing.T) {
	_, err := cloudtasks.New(struct{ cloudtasks.TaskCreator }{}, cloudtasks.Config{
		Project: "p", Location: "l", HandlerURL: "https://h/{task_id}/", ServiceAccountEmail: "a@b.c", BatchCreate: true,
	})
	var field *cloudtasks.ConfigError
	if !errors.As(err, &field) || field.Field != "BatchCreate" {
		t.Error(err)
	}
}
