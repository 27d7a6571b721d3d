package cloudtasks

import (
	"context"
	"testing"
	"time"

	"cloud.google.com/go/cloudtasks/apiv2/cloudtaskspb"
	"github.com/google/uuid"
	"github.com/googleapis/gax-go/v2"

	"github.com/claimcheck-go/claimcheck/queue"
)

// deepClient answers at once, from a stack as deep as that of a gRPC call.
type deepClient struct{}

func (deepClient) CreateTask(ctx context.Context, _ *cloudtaskspb.CreateTaskRequest, _ ...gax.CallOption) (*cloudtaskspb.Task, error) {
	return nil, descend(ctx, 16)
}

//go:noinline
func descend(ctx context.Context, frames int) error {
	var frame [512]byte
	frame[frames] = byte(frames)
	if frames > 0 {
		return descend(ctx, frames-1)
	}
	return ctx.Err()
}

// BenchmarkDispatch is what the dispatcher itself costs for each ticket, beside the
// call of the client.
func BenchmarkDispatch(b *testing.B) {
	d, err := New(deepClient{}, testConfig())
	if err != nil {
		b.Fatal(err)
	}
	tickets := make([]queue.Ticket, 1000)
	for i := range tickets {
		tickets[i] = queue.Ticket{ID: uuid.New(), Queue: "default", Timeout: time.Minute}
	}
	ctx, cancel := context.WithTimeout(b.Context(), time.Hour)
	defer cancel()
	b.ReportAllocs()
	for b.Loop() {
		if err := d.Dispatch(ctx, tickets...); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(tickets)), "ns/ticket")
}

// BenchmarkRequest is the building of one request.
func BenchmarkRequest(b *testing.B) {
	cfg, err := testConfig().check()
	if err != nil {
		b.Fatal(err)
	}
	ticket, now := queue.Ticket{ID: uuid.New(), Queue: "default", Timeout: time.Minute}, time.Now()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := newCreateTaskRequest(cfg, ticket, now); err != nil {
			b.Fatal(err)
		}
	}
}
