package cloudtaskstest_test

import (
	"net/http"
	"testing"
	"time"

	"cloud.google.com/go/cloudtasks/apiv2/cloudtaskspb"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"
)

// always returns n answers of the same code.
func always(code, n int) []int {
	answers := make([]int, n)
	for i := range answers {
		answers[i] = code
	}
	return answers
}

// gaps are the times between deliveries.
func (fx *fixture) gaps() []time.Duration {
	var gaps []time.Duration
	for i := 1; i < len(fx.times); i++ {
		gaps = append(gaps, fx.times[i].Sub(fx.times[i-1]))
	}
	return gaps
}

func (fx *fixture) wantGaps(seconds ...float64) {
	fx.Helper()
	got := fx.gaps()
	if len(got) != len(seconds) {
		fx.Fatalf("waits %v, want %v", got, seconds)
	}
	for i, want := range seconds {
		if got[i] != time.Duration(want*float64(time.Second)) {
			fx.Errorf("waits %v, want %v s", got, seconds)
			return
		}
	}
}

func retryQueue(retry *cloudtaskspb.RetryConfig) *cloudtaskspb.Queue {
	return &cloudtaskspb.Queue{RetryConfig: retry}
}

func TestBackoffDoublesThenGrowsLinearly(t *testing.T) { // the reference's example
	bubble(t, retryQueue(&cloudtaskspb.RetryConfig{
		MinBackoff: durationpb.New(10 * time.Second), MaxBackoff: durationpb.New(300 * time.Second), MaxDoublings: 3,
	}), nil, func(fx *fixture) {
		fx.answer(always(500, 8)...)
		fx.create(task())
		fx.empty()
		fx.wantGaps(10, 20, 40, 80, 160, 240, 300, 300)
	})
}

func TestDefaultBackoff(t *testing.T) {
	bubble(t, nil, nil, func(fx *fixture) {
		fx.answer(always(500, 17)...)
		fx.create(task())
		fx.empty()
		fx.wantGaps(.1, .2, .4, .8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 102.4, 204.8, 409.6, 819.2, 1638.4, 3276.8, 3600)
	})
}

func TestEverythingBut2xxIsRetried(t *testing.T) {
	bubble(t, nil, nil, func(fx *fixture) {
		fx.answer(301, 302, 400, 401, 403, 404, 409, 410, 500, 501, 204)
		fx.header.Set("Location", "https://elsewhere.example/")
		fx.create(task())
		fx.empty()
		if len(fx.times) != 11 {
			fx.Errorf("%d deliveries, want 11", len(fx.times))
		}
	})
}

func TestGivesUpOnlyWhenAttemptsAndDurationAreUsedUp(t *testing.T) {
	second := func(n int) *durationpb.Duration { return durationpb.New(time.Duration(n) * time.Second) }
	for name, test := range map[string]struct {
		retry *cloudtaskspb.RetryConfig
		want  int // deliveries
	}{
		"attempts alone":        {&cloudtaskspb.RetryConfig{MaxAttempts: 3, MinBackoff: second(10), MaxBackoff: second(10)}, 3},
		"duration outlasts":     {&cloudtaskspb.RetryConfig{MaxAttempts: 3, MaxRetryDuration: second(65), MinBackoff: second(10), MaxBackoff: second(10)}, 8},
		"attempts outlast":      {&cloudtaskspb.RetryConfig{MaxAttempts: 9, MaxRetryDuration: second(15), MinBackoff: second(10), MaxBackoff: second(10)}, 9},
		"duration alone":        {&cloudtaskspb.RetryConfig{MaxAttempts: -1, MaxRetryDuration: second(45), MinBackoff: second(10), MaxBackoff: second(10)}, 6},
		"the default, 100":      {nil, 100},
		"no limit: till day 31": {&cloudtaskspb.RetryConfig{MaxAttempts: -1, MinBackoff: second(3600), MaxBackoff: second(3600)}, 31 * 24},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, retryQueue(test.retry), nil, func(fx *fixture) {
				fx.answer(always(500, 10000)...)
				fx.create(task())
				start := time.Now()
				fx.empty()
				if len(fx.times) != test.want {
					fx.Errorf("%d deliveries, want %d", len(fx.times), test.want)
				}
				stats := fx.srv.Stats()
				if day31 := test.want == 31*24; day31 != (stats.Expired == 1) || day31 == (stats.Dropped == 1) {
					fx.Errorf("stats %+v", stats)
				} else if day31 && time.Since(start) != 31*24*time.Hour {
					fx.Errorf("gone after %s", time.Since(start))
				}
			})
		})
	}
}

func TestTaskMayHaveItsOwnRetryConfig(t *testing.T) {
	bubble(t, nil, nil, func(fx *fixture) {
		fx.answer(always(500, 10)...)
		own := task()
		own.RetryConfig = &cloudtaskspb.RetryConfig{MaxAttempts: 2}
		fx.create(own)
		fx.empty()
		if len(fx.times) != 2 {
			fx.Errorf("%d deliveries, want 2", len(fx.times))
		}
		own.RetryConfig = &cloudtaskspb.RetryConfig{MaxAttempts: -2}
		_, err := fx.tryCreate(own)
		fx.code(err, codes.InvalidArgument)
	})
}

func TestRetryAfterIsConsideredWith429And503(t *testing.T) {
	for _, test := range []struct {
		code  int
		after string
		want  float64
	}{{503, "30", 30}, {429, "30", 30}, {429, "Sat, 01 Jan 2000 00:01:00 GMT", 60}, {503, "soon", .1}, {503, "-5", .1}, {409, "30", .1}, {500, "30", .1}} {
		bubble(t, nil, nil, func(fx *fixture) {
			fx.answer(test.code)
			fx.header.Set("Retry-After", test.after)
			fx.create(task())
			fx.empty()
			fx.wantGaps(test.want)
		})
	}
}

func TestDispatchDeadlineFailsTheAttemptAndTheHandlerContinues(t *testing.T) {
	bubble(t, nil, nil, func(fx *fixture) {
		var ended []time.Time
		fx.before = func(r *http.Request, n int) {
			if n > 1 {
				return
			}
			time.Sleep(time.Minute)
			if r.Context().Err() != nil {
				fx.Error("the handler was stopped")
			}
			ended = append(ended, time.Now())
		}
		short := task()
		short.DispatchDeadline = durationpb.New(15 * time.Second)
		created := fx.create(short)
		start := time.Now()
		fx.empty()
		fx.wantGaps(15.1)
		attempts := fx.srv.Attempts(created.GetName())
		if len(attempts) != 2 || attempts[0].Err == nil || attempts[0].StatusCode != 0 || attempts[1].StatusCode != http.StatusOK {
			fx.Errorf("attempts %+v", attempts)
		}
		if got := fx.requests[1].Header.Values("X-CloudTasks-TaskPreviousResponse"); len(got) > 0 {
			fx.Errorf("previous response %q after none", got)
		}
		time.Sleep(time.Minute)
		fx.srv.Close()
		if len(ended) != 1 || ended[0].Sub(start) != time.Minute {
			fx.Errorf("handler ended at %v", ended)
		}
	})
}

func TestPanickingHandlerFailsTheAttempt(t *testing.T) {
	bubble(t, nil, nil, func(fx *fixture) {
		fx.before = func(_ *http.Request, n int) {
			if n == 1 {
				panic("boom")
			}
		}
		fx.create(task())
		fx.empty()
		if len(fx.times) != 2 {
			fx.Errorf("%d deliveries, want 2", len(fx.times))
		}
	})
}
