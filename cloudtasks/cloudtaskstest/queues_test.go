package cloudtaskstest_test

import (
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/cloudtasks/apiv2/cloudtaskspb"
	"google.golang.org/api/iterator"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/claimcheck-go/claimcheck/cloudtasks/cloudtaskstest"
)

func TestQueuesMustExist(t *testing.T) {
	bubble(t, nil, func(c *cloudtaskstest.Config) {
		c.AutoCreate = func(id string) bool { return id == "auto" }
	}, func(fx *fixture) {
		for id, want := range map[string]codes.Code{"default": codes.OK, "auto": codes.OK, "other": codes.NotFound, "a_b": codes.InvalidArgument} {
			_, err := fx.client.CreateTask(fx.Context(), &cloudtaskspb.CreateTaskRequest{Parent: parent + "/queues/" + id, Task: task()})
			fx.code(err, want)
		}
		fx.empty()
	})
}

func TestQueueDefaults(t *testing.T) {
	bubble(t, nil, nil, func(fx *fixture) {
		q, err := fx.client.GetQueue(fx.Context(), &cloudtaskspb.GetQueueRequest{Name: queueName})
		if err != nil {
			fx.Fatal(err)
		}
		limits, retry := q.GetRateLimits(), q.GetRetryConfig()
		if q.GetState() != cloudtaskspb.Queue_RUNNING || limits.GetMaxDispatchesPerSecond() != 500 || limits.GetMaxConcurrentDispatches() != 1000 ||
			limits.GetMaxBurstSize() != 100 || retry.GetMaxAttempts() != 100 || retry.GetMaxDoublings() != 16 ||
			retry.GetMinBackoff().AsDuration() != 100*time.Millisecond || retry.GetMaxBackoff().AsDuration() != time.Hour {
			fx.Errorf("%v", q)
		}
	})
}

func TestQueueLifeCycle(t *testing.T) {
	bubble(t, nil, nil, func(fx *fixture) {
		ctx := fx.Context()
		other := &cloudtaskspb.Queue{Name: parent + "/queues/other", State: cloudtaskspb.Queue_PAUSED}
		create := &cloudtaskspb.CreateQueueRequest{Parent: parent, Queue: other}
		if _, err := fx.client.CreateQueue(ctx, create); err != nil {
			fx.Fatal(err)
		}
		_, err := fx.client.CreateQueue(ctx, create)
		fx.code(err, codes.AlreadyExists)

		var names []string
		for list := fx.client.ListQueues(ctx, &cloudtaskspb.ListQueuesRequest{Parent: parent, PageSize: 1}); ; {
			q, err := list.Next()
			if err == iterator.Done {
				break
			} else if err != nil {
				fx.Fatal(err)
			}
			names = append(names, q.GetName())
		}
		if got := strings.Join(names, " "); got != queueName+" "+other.GetName() {
			fx.Errorf("queues %s", got)
		}

		if _, err := fx.client.CreateTask(ctx, &cloudtaskspb.CreateTaskRequest{Parent: other.GetName(), Task: task()}); err != nil {
			fx.Fatal(err)
		}
		if err := fx.client.DeleteQueue(ctx, &cloudtaskspb.DeleteQueueRequest{Name: other.GetName()}); err != nil {
			fx.Fatal(err)
		}
		fx.empty()
		fx.code(fx.client.DeleteQueue(ctx, &cloudtaskspb.DeleteQueueRequest{Name: other.GetName()}), codes.NotFound)
		_, err = fx.client.GetQueue(ctx, &cloudtaskspb.GetQueueRequest{Name: other.GetName()})
		fx.code(err, codes.NotFound)
		_, err = fx.client.CreateQueue(ctx, create)
		fx.code(err, codes.FailedPrecondition)
		time.Sleep(3 * 24 * time.Hour)
		if _, err := fx.client.CreateQueue(ctx, create); err != nil {
			fx.Error(err)
		}
	})
}

func TestQueueSettingsAreChecked(t *testing.T) {
	bubble(t, nil, nil, func(fx *fixture) {
		limits := func(l *cloudtaskspb.RateLimits) *cloudtaskspb.Queue { return &cloudtaskspb.Queue{RateLimits: l} }
		retry := func(r *cloudtaskspb.RetryConfig) *cloudtaskspb.Queue { return &cloudtaskspb.Queue{RetryConfig: r} }
		for says, q := range map[string]*cloudtaskspb.Queue{
			"maxDispatchesPerSecond cannot be negative": limits(&cloudtaskspb.RateLimits{MaxDispatchesPerSecond: -1}),
			"less than or equal to 500":                 limits(&cloudtaskspb.RateLimits{MaxDispatchesPerSecond: 501}),
			"maxConcurrentDispatches cannot be":         limits(&cloudtaskspb.RateLimits{MaxConcurrentDispatches: -1}),
			"less than or equal to 5000":                limits(&cloudtaskspb.RateLimits{MaxConcurrentDispatches: 5001}),
			"maxAttempts must be":                       retry(&cloudtaskspb.RetryConfig{MaxAttempts: -2}),
			"maxDoublings":                              retry(&cloudtaskspb.RetryConfig{MaxDoublings: -1}),
			"minBackoff cannot":                         retry(&cloudtaskspb.RetryConfig{MinBackoff: durationpb.New(-1)}),
			"maxBackoff cannot":                         retry(&cloudtaskspb.RetryConfig{MaxBackoff: durationpb.New(-1)}),
			"maxRetryDuration cannot":                   retry(&cloudtaskspb.RetryConfig{MaxRetryDuration: durationpb.New(-1)}),
			"less than or equal to RetryConfig.max":     retry(&cloudtaskspb.RetryConfig{MinBackoff: durationpb.New(2e9), MaxBackoff: durationpb.New(1e9)}),
		} {
			q.Name = parent + "/queues/other"
			_, err := fx.client.CreateQueue(fx.Context(), &cloudtaskspb.CreateQueueRequest{Parent: parent, Queue: q})
			if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), says) {
				fx.Errorf("%v, want %q", err, says)
			}
		}
		for _, q := range []string{"a_b", strings.Repeat("a", 101), ""} {
			_, err := fx.client.CreateQueue(fx.Context(), &cloudtaskspb.CreateQueueRequest{Parent: parent, Queue: &cloudtaskspb.Queue{Name: parent + "/queues/" + q}})
			fx.code(err, codes.InvalidArgument)
		}
		_, err := fx.client.CreateQueue(fx.Context(), &cloudtaskspb.CreateQueueRequest{Parent: "projects/other/locations/x", Queue: &cloudtaskspb.Queue{Name: parent + "/queues/a"}})
		fx.code(err, codes.InvalidArgument)
		_, err = fx.client.CreateQueue(fx.Context(), &cloudtaskspb.CreateQueueRequest{Parent: parent, Queue: &cloudtaskspb.Queue{
			Name: parent + "/queues/a", HttpTarget: &cloudtaskspb.HttpTarget{}}})
		fx.code(err, codes.Unimplemented)
	})
}

func TestUpdateQueue(t *testing.T) {
	bubble(t, nil, nil, func(fx *fixture) {
		created, err := fx.client.UpdateQueue(fx.Context(), &cloudtaskspb.UpdateQueueRequest{Queue: &cloudtaskspb.Queue{Name: parent + "/queues/new"}})
		if err != nil || created.GetRetryConfig().GetMaxAttempts() != 100 {
			fx.Errorf("a queue that is not there: %v, %v", created, err)
		}
		queue := &cloudtaskspb.Queue{Name: queueName, RetryConfig: &cloudtaskspb.RetryConfig{MaxAttempts: -1, MaxDoublings: 4}}
		updated, err := fx.client.UpdateQueue(fx.Context(), &cloudtaskspb.UpdateQueueRequest{
			Queue: queue, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"retry_config.max_attempts"}}})
		if err != nil || updated.GetRetryConfig().GetMaxAttempts() != -1 || updated.GetRetryConfig().GetMaxDoublings() != 16 {
			fx.Errorf("%v, %v", updated, err)
		}
		updated, err = fx.client.UpdateQueue(fx.Context(), &cloudtaskspb.UpdateQueueRequest{Queue: queue})
		if err != nil || updated.GetRetryConfig().GetMaxDoublings() != 4 {
			fx.Errorf("%v, %v", updated, err)
		}
		for _, path := range []string{"nonsense", "name.x", "retry_config.nonsense"} {
			_, err = fx.client.UpdateQueue(fx.Context(), &cloudtaskspb.UpdateQueueRequest{Queue: queue, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{path}}})
			fx.code(err, codes.InvalidArgument)
		}
	})
}

func TestConfiguredQueuesAreChecked(t *testing.T) {
	_, err := cloudtaskstest.New(cloudtaskstest.Config{Queues: []*cloudtaskspb.Queue{{Name: "default"}}})
	if err == nil || !strings.Contains(err.Error(), `"default"`) {
		t.Error(err)
	}
}
