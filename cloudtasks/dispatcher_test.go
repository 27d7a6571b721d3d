package cloudtasks

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"cloud.google.com/go/cloudtasks/apiv2/cloudtaskspb"
	"github.com/google/uuid"
	"github.com/googleapis/gax-go/v2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/claimcheck-go/claimcheck/queue"
)

// stub answers CreateTask by a function and remembers when it was called.
type stub struct {
	mu     sync.Mutex
	calls  []time.Time
	answer func(ctx context.Context, n int, request *cloudtaskspb.CreateTaskRequest) error
}

func (s *stub) CreateTask(ctx context.Context, request *cloudtaskspb.CreateTaskRequest, _ ...gax.CallOption) (*cloudtaskspb.Task, error) {
	s.mu.Lock()
	s.calls = append(s.calls, time.Now())
	n := len(s.calls)
	s.mu.Unlock()
	if err := s.answer(ctx, n, request); err != nil {
		return nil, err
	}
	return request.GetTask(), nil
}

func failing(code codes.Code) *stub {
	return &stub{answer: func(context.Context, int, *cloudtaskspb.CreateTaskRequest) error {
		return status.Error(code, "no")
	}}
}

func newDispatcher(t *testing.T, client TaskCreator) *Dispatcher {
	t.Helper()
	d, err := New(client, testConfig())
	if err != nil {
		t.Fatal(err)
	}
	d.random = func() float64 { return 1 } // the longest backoff
	return d
}

func ticket() queue.Ticket { return queue.Ticket{ID: uuid.New(), Queue: "default"} }

func TestDispatchRepeatsWhatMayPass(t *testing.T) {
	for _, code := range []codes.Code{codes.Unavailable, codes.DeadlineExceeded, codes.Aborted, codes.Internal, codes.Unknown, codes.ResourceExhausted} {
		t.Run(code.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client := &stub{answer: func(_ context.Context, n int, _ *cloudtaskspb.CreateTaskRequest) error {
					if n < maxCreateCalls {
						return status.Error(code, "no")
					}
					return nil
				}}
				if err := newDispatcher(t, client).Dispatch(t.Context(), ticket()); err != nil {
					t.Fatal(err)
				}
				first := 100 * time.Millisecond
				if code == codes.ResourceExhausted {
					first = 500 * time.Millisecond
				}
				for i, want := range []time.Duration{first, 2 * first, 4 * first, 8 * first} {
					if got := client.calls[i+1].Sub(client.calls[i]); got != want {
						t.Errorf("wait %d was %s, want %s", i+1, got, want)
					}
				}
			})
		})
	}
}

func TestDispatchDoesNotRepeatWhatStays(t *testing.T) {
	for _, code := range []codes.Code{codes.InvalidArgument, codes.NotFound, codes.PermissionDenied, codes.Unauthenticated,
		codes.FailedPrecondition, codes.Canceled, codes.OutOfRange, codes.Unimplemented, codes.AlreadyExists} {
		client := failing(code)
		err := newDispatcher(t, client).Dispatch(t.Context(), ticket())
		if len(client.calls) != 1 {
			t.Errorf("%s: %d calls", code, len(client.calls))
		}
		var failed *queue.DispatchError
		if !errors.As(err, &failed) {
			t.Errorf("%s: err = %v, want a *queue.DispatchError", code, err)
		}
	}
}

func TestDispatchGivesUpAfterFiveCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := failing(codes.Unavailable)
		err := newDispatcher(t, client).Dispatch(t.Context(), ticket())
		if len(client.calls) != 5 || err == nil {
			t.Errorf("%d calls, err %v", len(client.calls), err)
		}
	})
}

func TestBackoffIsJittered(t *testing.T) {
	d := newDispatcher(t, nil)
	for _, test := range []struct {
		random float64
		call   int
		want   time.Duration
	}{{0, 1, 0}, {0.5, 1, 50 * time.Millisecond}, {0.5, 3, 200 * time.Millisecond}, {0.25, 10, time.Second}} {
		d.random = func() float64 { return test.random }
		if got := d.backoff(codes.Unavailable, test.call); got != test.want {
			t.Errorf("backoff of call %d at %v = %s, want %s", test.call, test.random, got, test.want)
		}
	}
}

// The last call may get less time than an answer takes. The previous answer of
// the service is more useful than the expired deadline.
func TestDispatchReportsTheLastAnswerThatThereWas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := &stub{answer: func(ctx context.Context, n int, _ *cloudtaskspb.CreateTaskRequest) error {
			if n == 1 {
				return status.Error(codes.Unavailable, "no")
			}
			<-ctx.Done()
			return status.FromContextError(ctx.Err()).Err()
		}}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := newDispatcher(t, client).Dispatch(ctx, ticket())
		if code := codeOf(t, err); code != codes.Unavailable || len(client.calls) < 2 {
			t.Errorf("code %s after %d calls, want that of the first", code, len(client.calls))
		}
	})
}

// A call that hangs must leave time for another, within the caller's deadline.
func TestDispatchSplitsTheCallersDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := &stub{answer: func(ctx context.Context, n int, _ *cloudtaskspb.CreateTaskRequest) error {
			if n == 1 {
				<-ctx.Done()
				return status.FromContextError(ctx.Err()).Err()
			}
			return nil
		}}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		start := time.Now()
		if err := newDispatcher(t, client).Dispatch(ctx, ticket()); err != nil {
			t.Fatal(err)
		}
		if got := time.Since(start); got != 2100*time.Millisecond {
			t.Errorf("took %s, want two thirds of 3s and a backoff", got)
		}
	})
}

// The calls of one goroutine share a context for a while. A call that begins late
// must not be left with what its predecessors did not use.
func TestEachCallGetsItsShareOfTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var shares []float64
		client := &stub{answer: func(ctx context.Context, n int, _ *cloudtaskspb.CreateTaskRequest) error {
			deadline, _ := ctx.Deadline()
			left := time.Minute/4 - time.Duration(n-1)*50*time.Millisecond
			shares = append(shares, time.Until(deadline).Seconds()/min(left*2/3, maxCallTime).Seconds())
			time.Sleep(50 * time.Millisecond)
			return nil
		}}
		d := newDispatcher(t, client)
		d.cfg.Concurrency = 1
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute/4)
		defer cancel()
		tickets := make([]queue.Ticket, 200)
		for i := range tickets {
			tickets[i] = ticket()
		}
		if err := d.Dispatch(ctx, tickets...); err != nil {
			t.Fatal(err)
		}
		for i, share := range shares {
			if share < 0.94 || share > 1.06 {
				t.Errorf("call %d got %.2f of its share", i+1, share)
			}
		}
	})
}

func TestDispatchBoundsCallsWithoutADeadline(t *testing.T) {
	client := &stub{answer: func(ctx context.Context, _ int, _ *cloudtaskspb.CreateTaskRequest) error {
		deadline, ok := ctx.Deadline()
		if !ok || time.Until(deadline) > 30*time.Second {
			t.Errorf("deadline %v %v; the service refuses more than 30s", deadline, ok)
		}
		return nil
	}}
	if err := newDispatcher(t, client).Dispatch(context.Background(), ticket()); err != nil {
		t.Fatal(err)
	}
}

func TestDispatchEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := failing(codes.Unavailable)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		err := newDispatcher(t, client).Dispatch(ctx, ticket())
		// Waits of 100, 200 and 400 ms fit, the next of 800 ms does not: no use in waiting.
		if took := time.Since(start); took != 700*time.Millisecond || len(client.calls) != 4 {
			t.Errorf("took %s and %d calls", took, len(client.calls))
		}
		if code := codeOf(t, err); code != codes.Unavailable {
			t.Errorf("code %s, want the service's last answer", code)
		}

		cancelled, cancelNow := context.WithCancel(t.Context())
		cancelNow()
		client = failing(codes.Unavailable)
		if err := newDispatcher(t, client).Dispatch(cancelled, ticket(), ticket()); err == nil || len(client.calls) != 2 {
			t.Errorf("cancelled: err %v after %d calls, want one call a ticket", err, len(client.calls))
		}
	})
}

func TestAlreadyExistsIsSuccessForNamedTickets(t *testing.T) {
	named := ticket()
	named.Name = "9f2c-1"
	if err := newDispatcher(t, failing(codes.AlreadyExists)).Dispatch(t.Context(), named); err != nil {
		t.Error(err)
	}
}

func TestDispatchReportsEachFailedTicket(t *testing.T) {
	good, missing, odd := ticket(), ticket(), ticket()
	missing.Queue = "missing"
	odd.Queue = "no_such"
	client := &stub{answer: func(_ context.Context, _ int, r *cloudtaskspb.CreateTaskRequest) error {
		if r.GetParent() == "projects/acme-prod/locations/europe-west1/queues/missing" {
			return status.Error(codes.NotFound, "Queue does not exist.")
		}
		return nil
	}}
	err := newDispatcher(t, client).Dispatch(t.Context(), good, missing, odd)
	var failed *queue.DispatchError
	if !errors.As(err, &failed) || len(failed.Failed) != 2 {
		t.Fatalf("err = %v, want two failed tickets", err)
	}
	if status.Code(failed.Failed[missing.ID]) != codes.NotFound || failed.Failed[odd.ID] == nil {
		t.Errorf("failed: %v", failed.Failed)
	}
	if err := newDispatcher(t, client).Dispatch(t.Context()); err != nil {
		t.Errorf("no tickets: %v", err)
	}
}

func TestDispatchBoundsItsConcurrency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		inFlight, most := 0, 0
		client := &stub{answer: func(context.Context, int, *cloudtaskspb.CreateTaskRequest) error {
			mu.Lock()
			inFlight++
			most = max(most, inFlight)
			mu.Unlock()
			time.Sleep(time.Second)
			mu.Lock()
			inFlight--
			mu.Unlock()
			return nil
		}}
		tickets := make([]queue.Ticket, 100)
		for i := range tickets {
			tickets[i] = ticket()
		}
		start := time.Now()
		if err := newDispatcher(t, client).Dispatch(t.Context(), tickets...); err != nil {
			t.Fatal(err)
		}
		if most != 32 || time.Since(start) != 4*time.Second || len(client.calls) != 100 {
			t.Errorf("%d at once, %d calls in %s", most, len(client.calls), time.Since(start))
		}
	})
}

// codeOf is the gRPC code inside the one failure of a DispatchError.
func codeOf(t *testing.T, err error) codes.Code {
	t.Helper()
	var failed *queue.DispatchError
	if !errors.As(err, &failed) || len(failed.Failed) != 1 {
		t.Fatalf("err = %v, want one failed ticket", err)
	}
	for _, err := range failed.Failed {
		return status.Code(err)
	}
	return codes.OK
}
