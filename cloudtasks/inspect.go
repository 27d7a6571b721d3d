package cloudtasks

import (
	"context"
	"fmt"
	"math"
	"net/url"
	"sync"
	"time"

	"cloud.google.com/go/cloudtasks/apiv2/cloudtaskspb"
	"github.com/googleapis/gax-go/v2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/claimcheck-go/claimcheck/queue"
)

// maxInspected is how many of the Cloud Tasks queues of one queue are described.
const maxInspected = 10

// QueueReader is what a client of a Dispatcher has if InspectQueue is to describe queues.
// *apiv2.Client of cloud.google.com/go/cloudtasks has it.
type QueueReader interface {
	GetQueue(context.Context, *cloudtaskspb.GetQueueRequest, ...gax.CallOption) (*cloudtaskspb.Queue, error)
}

var _ queue.QueueInspector = (*Dispatcher)(nil)

// InspectQueue describes the Cloud Tasks queues that get the tickets of a queue, at most
// ten of them. That takes the permission cloudtasks.queues.get, which the role that creates
// tasks does not have; without it the descriptions say so.
func (d *Dispatcher) InspectQueue(ctx context.Context, name string) []queue.DispatchQueue {
	ids, err := d.cfg.QueueIDs(name)
	if err != nil {
		return []queue.DispatchQueue{{Name: name, Err: err}}
	}
	described := make([]queue.DispatchQueue, min(len(ids), maxInspected))
	var all sync.WaitGroup
	for i := range described {
		all.Go(func() {
			described[i] = d.inspect(ctx, fmt.Sprintf("projects/%s/locations/%s/queues/%s", d.cfg.Project, d.cfg.Location, ids[i]))
		})
	}
	all.Wait()
	return described
}

func (d *Dispatcher) inspect(ctx context.Context, name string) queue.DispatchQueue {
	reader, ok := d.client.(QueueReader)
	if !ok {
		return queue.DispatchQueue{Name: name, Err: fmt.Errorf("%T cannot read queues: it is no cloudtasks.QueueReader", d.client)}
	}
	q, err := reader.GetQueue(ctx, &cloudtaskspb.GetQueueRequest{Name: name}, gax.WithRetry(nil))
	if err != nil {
		return queue.DispatchQueue{Name: name, Err: whyUnread(err)}
	}
	rate, retry := q.GetRateLimits(), q.GetRetryConfig()
	described := queue.DispatchQueue{
		Name: name, State: q.GetState().String(),
		MaxPerSecond: rate.GetMaxDispatchesPerSecond(), MaxBurst: int(rate.GetMaxBurstSize()), MaxConcurrent: int(rate.GetMaxConcurrentDispatches()),
		MaxAttempts: int(retry.GetMaxAttempts()), MaxRetryTime: retry.GetMaxRetryDuration().AsDuration(),
		MinBackoff: retry.GetMinBackoff().AsDuration(), MaxBackoff: retry.GetMaxBackoff().AsDuration(), MaxDoublings: int(retry.GetMaxDoublings()),
	}
	described.Depth, described.DepthErr = d.depth(ctx, name)
	return described
}

// whyUnread says what the refusal of a look at a queue means.
func whyUnread(err error) error {
	switch code := status.Code(err); {
	case code == codes.PermissionDenied && WhyRefused(err) == RefusedDisabled:
		return fmt.Errorf("the Cloud Tasks API is not enabled in the project: %w", err)
	case code == codes.PermissionDenied:
		return fmt.Errorf("this process's account needs roles/cloudtasks.viewer (cloudtasks.queues.get) to read it: %w", err)
	case code == codes.NotFound:
		return fmt.Errorf("it does not exist: %w", err)
	case code == codes.DeadlineExceeded, code == codes.Canceled:
		return fmt.Errorf("no answer in time: %w", err)
	case code == codes.Unavailable:
		return fmt.Errorf("the service cannot be reached: %w", err)
	}
	return err
}

// The version of the API that has the contents of queues, and the numbers of the fields
// that are used of it. Linking its whole client would register its messages at every start.
const (
	getQueueBeta = "/google.cloud.tasks.v2beta3.CloudTasks/GetQueue"

	fieldRequestName = 1
	fieldReadMask    = 2
	fieldMaskPaths   = 1
	fieldQueueStats  = 12

	fieldTasks      = 1
	fieldOldest     = 2
	fieldLastMinute = 3
	fieldConcurrent = 4
	fieldRate       = 5
	fieldSeconds    = 1
)

// depth asks how much a queue contains.
func (d *Dispatcher) depth(ctx context.Context, name string) (*queue.DispatchDepth, error) {
	client, ok := d.client.(interface{ Connection() *grpc.ClientConn })
	if !ok || client.Connection() == nil {
		return nil, fmt.Errorf("%T has no gRPC connection", d.client)
	}
	mask := protowire.AppendString(protowire.AppendTag(nil, fieldMaskPaths, protowire.BytesType), "stats")
	text := protowire.AppendString(protowire.AppendTag(nil, fieldRequestName, protowire.BytesType), name)
	text = protowire.AppendBytes(protowire.AppendTag(text, fieldReadMask, protowire.BytesType), mask)
	var request, answer emptypb.Empty // with fields that only the service knows
	request.ProtoReflect().SetUnknown(text)
	ctx = metadata.AppendToOutgoingContext(ctx, "x-goog-request-params", "name="+url.QueryEscape(name))
	if err := client.Connection().Invoke(ctx, getQueueBeta, &request, &answer); err != nil {
		if status.Code(err) == codes.Unimplemented {
			return nil, fmt.Errorf("what answers does not say: %w", err)
		}
		return nil, whyUnread(err)
	}
	depth := &queue.DispatchDepth{}
	for number, value := range fields(answer.ProtoReflect().GetUnknown()) {
		if number == fieldQueueStats {
			readDepth(depth, value)
		}
	}
	return depth, nil
}

func readDepth(depth *queue.DispatchDepth, stats []byte) {
	for number, value := range fields(stats) {
		n, _ := protowire.ConsumeVarint(value)
		switch number {
		case fieldTasks:
			depth.Tickets = int64(n) //nolint:gosec // as it is sent
		case fieldLastMinute:
			depth.LastMinute = int64(n) //nolint:gosec // as it is sent
		case fieldConcurrent:
			depth.Concurrent = int64(n) //nolint:gosec // as it is sent
		case fieldRate:
			bits, _ := protowire.ConsumeFixed64(value)
			depth.EffectiveLimit = math.Float64frombits(bits)
		case fieldOldest:
			for number, value := range fields(value) {
				if seconds, _ := protowire.ConsumeVarint(value); number == fieldSeconds {
					depth.OldestDue = time.Unix(int64(seconds), 0).UTC() //nolint:gosec // as it is sent
				}
			}
		}
	}
}

// fields returns the fields of a message by their numbers; what is not a message has none
// from there on. A field of bytes is without its length.
func fields(message []byte) func(yield func(protowire.Number, []byte) bool) {
	return func(yield func(protowire.Number, []byte) bool) {
		for len(message) > 0 {
			number, kind, n := protowire.ConsumeTag(message)
			if n < 0 {
				return
			}
			message = message[n:]
			size := protowire.ConsumeFieldValue(number, kind, message)
			if size < 0 {
				return
			}
			value := message[:size]
			if kind == protowire.BytesType {
				value, _ = protowire.ConsumeBytes(value)
			}
			if !yield(number, value) {
				return
			}
			message = message[size:]
		}
	}
}
