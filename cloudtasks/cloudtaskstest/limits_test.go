package cloudtaskstest_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"cloud.google.com/go/cloudtasks/apiv2/cloudtaskspb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
)

func limitedQueue(perSecond float64, concurrent int32) *cloudtaskspb.Queue {
	return &cloudtaskspb.Queue{RateLimits: &cloudtaskspb.RateLimits{MaxDispatchesPerSecond: perSecond, MaxConcurrentDispatches: concurrent}}
}

func TestRateIsATokenBucket(t *testing.T) {
	bubble(t, limitedQueue(10, 100), nil, func(fx *fixture) {
		for range 30 {
			fx.create(task())
		}
		fx.empty()
		burst := fx.times[9].Sub(fx.times[0])
		rest := fx.times[29].Sub(fx.times[9])
		if burst != 0 || rest < 2*time.Second || rest > 2010*time.Millisecond {
			fx.Errorf("10 in %s, the next 20 in %s; want at once, and 2s", burst, rest)
		}
	})
}

func TestConcurrencyIsBounded(t *testing.T) {
	bubble(t, limitedQueue(500, 3), nil, func(fx *fixture) {
		running, most := 0, 0
		fx.before = func(*http.Request, int) {
			fx.mu.Lock()
			running++
			most = max(most, running)
			fx.mu.Unlock()
			time.Sleep(time.Second)
			fx.mu.Lock()
			running--
			fx.mu.Unlock()
		}
		for range 9 {
			fx.create(task())
		}
		start := time.Now()
		fx.empty()
		if most != 3 || time.Since(start) != 3*time.Second {
			fx.Errorf("%d at once, all in %s", most, time.Since(start))
		}
	})
}

func TestThrottlingAnswersSlowTheQueueDown(t *testing.T) {
	spread := func(t *testing.T, code int) (took time.Duration) {
		bubble(t, limitedQueue(100, 100), nil, func(fx *fixture) {
			fx.answer(always(code, 4)...)
			for range 4 {
				fx.create(task())
			}
			time.Sleep(time.Minute) // four failures, and then four successes
			fx.answer(always(code, 4)...)
			for range 40 {
				fx.create(task())
			}
			start := time.Now()
			fx.empty()
			took = time.Since(start)
		})
		return took
	}
	plain := spread(t, 500)
	for _, code := range []int{429, 503} {
		if slow := spread(t, code); slow <= plain {
			t.Errorf("with %d: %s, with 500: %s; want the queue slowed down", code, slow, plain)
		}
	}
}

func TestPausedQueueKeepsItsTasks(t *testing.T) {
	bubble(t, nil, nil, func(fx *fixture) {
		paused, err := fx.client.PauseQueue(fx.Context(), &cloudtaskspb.PauseQueueRequest{Name: queueName})
		if err != nil || paused.GetState() != cloudtaskspb.Queue_PAUSED {
			fx.Fatalf("%v, %v", paused, err)
		}
		fx.create(task())
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(fx.times) != 0 {
			fx.Errorf("a paused queue delivered")
		}
		if _, err := fx.client.ResumeQueue(fx.Context(), &cloudtaskspb.ResumeQueueRequest{Name: queueName}); err != nil {
			fx.Fatal(err)
		}
		fx.empty()
		if len(fx.times) != 1 {
			fx.Errorf("%d deliveries", len(fx.times))
		}
	})
}

func TestPausedQueueStillExpiresTasks(t *testing.T) {
	bubble(t, &cloudtaskspb.Queue{State: cloudtaskspb.Queue_PAUSED}, nil, func(fx *fixture) {
		fx.create(task())
		start := time.Now()
		fx.empty()
		if time.Since(start) != 31*24*time.Hour || len(fx.times) != 0 {
			fx.Errorf("gone after %s, %d deliveries", time.Since(start), len(fx.times))
		}
	})
}

func TestRunTaskIgnoresPauseAndSchedule(t *testing.T) {
	bubble(t, &cloudtaskspb.Queue{State: cloudtaskspb.Queue_PAUSED}, nil, func(fx *fixture) {
		fx.answer(500)
		created := fx.create(task())
		ran, err := fx.client.RunTask(fx.Context(), &cloudtaskspb.RunTaskRequest{Name: created.GetName()})
		if err != nil || ran.GetDispatchCount() != 1 {
			fx.Fatalf("%v, %v", ran, err)
		}
		synctest.Wait()
		again, err := fx.client.GetTask(fx.Context(), &cloudtaskspb.GetTaskRequest{Name: created.GetName()})
		if err != nil || again.GetResponseCount() != 1 || again.GetLastAttempt().GetResponseStatus().GetMessage() != "HTTP status code 500" ||
			!again.GetScheduleTime().AsTime().After(ran.GetScheduleTime().AsTime()) {
			fx.Errorf("after the failure: %v, %v", again, err)
		}
		if _, err := fx.client.RunTask(fx.Context(), &cloudtaskspb.RunTaskRequest{Name: created.GetName()}); err != nil {
			fx.Fatal(err)
		}
		fx.empty()
	})
}

func TestUpdateQueueTakesEffect(t *testing.T) {
	bubble(t, limitedQueue(1, 1), nil, func(fx *fixture) {
		for range 50 {
			fx.create(task())
		}
		updated, err := fx.client.UpdateQueue(fx.Context(), &cloudtaskspb.UpdateQueueRequest{
			Queue:      &cloudtaskspb.Queue{Name: queueName, RateLimits: &cloudtaskspb.RateLimits{MaxDispatchesPerSecond: 500, MaxConcurrentDispatches: 50}},
			UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"rate_limits.max_dispatches_per_second"}},
		})
		if err != nil || updated.GetRateLimits().GetMaxDispatchesPerSecond() != 500 || updated.GetRateLimits().GetMaxConcurrentDispatches() != 1 {
			fx.Fatalf("%v, %v", updated, err)
		}
		start := time.Now()
		fx.empty()
		if took := time.Since(start); took > time.Second {
			fx.Errorf("50 tasks took %s", took)
		}
	})
}
