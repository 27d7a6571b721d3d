package cloudtaskstest_test

import (
	"net/http"
	"testing"
	"time"

	"cloud.google.com/go/cloudtasks/apiv2/cloudtaskspb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/claimcheck-go/claimcheck/cloudtasks/cloudtaskstest"
)

// once is a Decide that lets one fault strike one time.
func once(fault cloudtaskstest.Fault) func(cloudtaskstest.Fault, string) bool {
	struck := false
	return func(f cloudtaskstest.Fault, _ string) bool {
		strikes := f == fault && !struck
		struck = struck || strikes
		return strikes
	}
}

func TestFaults(t *testing.T) {
	for _, test := range []struct {
		fault      cloudtaskstest.Fault
		code       codes.Code // of the create
		deliveries int
	}{
		{cloudtaskstest.RefuseCreate, codes.ResourceExhausted, 0},
		{cloudtaskstest.StoreAndFail, codes.ResourceExhausted, 1},
		{cloudtaskstest.Duplicate, codes.OK, 2},
		{cloudtaskstest.LoseAnswer, codes.OK, 2},
		{cloudtaskstest.Delay, codes.OK, 1},
	} {
		t.Run(string(test.fault), func(t *testing.T) {
			bubble(t, nil, func(c *cloudtaskstest.Config) {
				c.Faults = cloudtaskstest.Faults{Decide: once(test.fault), Code: codes.ResourceExhausted, MaxDelay: time.Minute}
			}, func(fx *fixture) {
				start := time.Now()
				_, err := fx.tryCreate(task())
				fx.code(err, test.code)
				fx.empty()
				if len(fx.times) != test.deliveries {
					fx.Errorf("%d deliveries, want %d", len(fx.times), test.deliveries)
				}
				if took := time.Since(start); (took > time.Second) != (test.fault == cloudtaskstest.Delay) || took > time.Minute {
					fx.Errorf("took %s", took)
				}
				if stats := fx.srv.Stats(); stats.Faults[test.fault] != 1 || len(stats.Faults) != 1 {
					fx.Errorf("stats %+v", stats)
				}
			})
		})
	}
}

func TestADelayedDuplicateComesAfterTheSuccess(t *testing.T) {
	bubble(t, nil, func(c *cloudtaskstest.Config) {
		delays := 0
		c.Faults = cloudtaskstest.Faults{MaxDelay: time.Minute, Decide: func(f cloudtaskstest.Fault, _ string) bool {
			if f == cloudtaskstest.Delay {
				delays++
				return delays == 2
			}
			return f == cloudtaskstest.Duplicate
		}}
	}, func(fx *fixture) {
		fx.create(task())
		fx.empty()
		if gaps := fx.gaps(); len(gaps) != 1 || gaps[0] == 0 {
			fx.Errorf("waits %v", gaps)
		}
		if stats := fx.srv.Stats(); stats.Delivered != 2 || stats.Succeeded != 1 {
			fx.Errorf("stats %+v", stats)
		}
	})
}

func TestFaultRatesAreSeeded(t *testing.T) {
	run := func(seed uint64) (stats cloudtaskstest.Stats) {
		bubble(t, nil, func(c *cloudtaskstest.Config) {
			c.Faults = cloudtaskstest.Faults{Seed: seed, Rates: map[cloudtaskstest.Fault]float64{cloudtaskstest.RefuseCreate: .2}}
		}, func(fx *fixture) {
			for range 500 {
				_, _ = fx.tryCreate(task())
			}
			fx.srv.SetFaults(cloudtaskstest.Faults{})
			fx.create(task())
			fx.empty()
			stats = fx.srv.Stats()
		})
		return stats
	}
	one, same, other := run(1), run(1), run(2)
	if n := one.Faults[cloudtaskstest.RefuseCreate]; n < 70 || n > 130 || one.Created+n != 501 || one.Refused != n {
		t.Errorf("stats %+v", one)
	}
	if one.Created != same.Created || one.Created == other.Created {
		t.Errorf("%d, %d and %d created", one.Created, same.Created, other.Created)
	}
}

func TestStatusIsJSON(t *testing.T) {
	bubble(t, nil, nil, func(fx *fixture) {
		fx.create(task())
		fx.empty()
		client := http.Client{Transport: cloudtaskstest.InProcess(fx.srv.Status())}
		response, err := client.Get("http://fake/")
		if err != nil {
			fx.Fatal(err)
		}
		defer response.Body.Close()
		var buffer [500]byte
		n, _ := response.Body.Read(buffer[:])
		want := `{"queues":{"` + queueName + `":0},"stats":{"created":1,"refused":0,"delivered":1,"succeeded":1,"failed":0,"dropped":0,"expired":0}}` + "\n"
		if got := string(buffer[:n]); got != want {
			fx.Errorf("got %s, want %s", got, want)
		}
	})
}

func TestRefusedCalls(t *testing.T) {
	srv, client := cloudtaskstest.Start(t, cloudtaskstest.Config{AutoCreate: func(id string) bool { return id == "made" }})
	const made = "projects/p/locations/l/queues/made"
	if q, err := client.GetQueue(t.Context(), &cloudtaskspb.GetQueueRequest{Name: made}); err != nil || q.GetName() != made {
		t.Errorf("a queue that comes into being when it is asked for: %v, %v", q, err)
	}
	if _, err := client.GetQueue(t.Context(), &cloudtaskspb.GetQueueRequest{Name: "projects/p/locations/l/queues/other"}); status.Code(err) != codes.NotFound {
		t.Errorf("a queue that does not exist: %v", err)
	}
	created, err := client.CreateTask(t.Context(), &cloudtaskspb.CreateTaskRequest{Parent: made, Task: &cloudtaskspb.Task{
		ScheduleTime: timestamppb.New(time.Now().Add(time.Hour)),
		MessageType:  &cloudtaskspb.Task_HttpRequest{HttpRequest: &cloudtaskspb.HttpRequest{Url: "http://127.0.0.1:1/"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	srv.SetFaults(cloudtaskstest.Faults{
		Rates: map[cloudtaskstest.Fault]float64{cloudtaskstest.RefuseDelete: 1, cloudtaskstest.RefuseGetQueue: 1},
		Code:  codes.PermissionDenied, Text: "not you",
	})
	_, getErr := client.GetQueue(t.Context(), &cloudtaskspb.GetQueueRequest{Name: made})
	deleteErr := client.DeleteTask(t.Context(), &cloudtaskspb.DeleteTaskRequest{Name: created.GetName()})
	for _, err := range []error{getErr, deleteErr} {
		if status.Code(err) != codes.PermissionDenied || status.Convert(err).Message() != "not you" {
			t.Error(err)
		}
	}
	if len(srv.Tasks()) != 1 {
		t.Error("it was deleted all the same")
	}
}
