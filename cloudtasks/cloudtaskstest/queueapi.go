package cloudtaskstest

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"cloud.google.com/go/cloudtasks/apiv2/cloudtaskspb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// api is the gRPC interface of a Server. What is not built answers
// UNIMPLEMENTED.
type api struct {
	cloudtaskspb.UnimplementedCloudTasksServer
	s *Server
}

func (a *api) CreateQueue(_ context.Context, r *cloudtaskspb.CreateQueueRequest) (*cloudtaskspb.Queue, error) {
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	name := r.GetQueue().GetName()
	if !parentPattern.MatchString(r.GetParent()) {
		return nil, invalid("Invalid resource field value in the request.")
	}
	if queueNamePattern.MatchString(name) && !strings.HasPrefix(name, r.GetParent()+"/queues/") {
		return nil, invalid(name + " must begin with " + r.GetParent() + ".")
	}
	q, err := a.s.addQueue(r.GetQueue())
	if err != nil {
		return nil, err
	}
	return proto.CloneOf(q.settings), nil
}

// withQueue calls f with a queue under the lock, and shows the queue as it then
// is.
func (a *api) withQueue(name string, f func(*queue) error) (*cloudtaskspb.Queue, error) {
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	if !queueNamePattern.MatchString(name) {
		return nil, errQueueName
	}
	q, ok := a.s.queues[name]
	if !ok {
		return nil, errNoQueue
	}
	if err := f(q); err != nil {
		return nil, err
	}
	q.poke()
	return proto.CloneOf(q.settings), nil
}

func (a *api) GetQueue(_ context.Context, r *cloudtaskspb.GetQueueRequest) (*cloudtaskspb.Queue, error) {
	a.s.mu.Lock()
	_, err := a.s.queueOf(r.GetName())
	if err == nil {
		err = a.s.faults.refuses(RefuseGetQueue, r.GetName())
	}
	a.s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return a.withQueue(r.GetName(), func(*queue) error { return nil })
}

func (a *api) PauseQueue(_ context.Context, r *cloudtaskspb.PauseQueueRequest) (*cloudtaskspb.Queue, error) {
	return a.withQueue(r.GetName(), func(q *queue) error {
		q.settings.State = cloudtaskspb.Queue_PAUSED
		return nil
	})
}

func (a *api) ResumeQueue(_ context.Context, r *cloudtaskspb.ResumeQueueRequest) (*cloudtaskspb.Queue, error) {
	return a.withQueue(r.GetName(), func(q *queue) error {
		q.settings.State = cloudtaskspb.Queue_RUNNING
		return nil
	})
}

// PurgeQueue deletes at once; the service may take a minute.
func (a *api) PurgeQueue(_ context.Context, r *cloudtaskspb.PurgeQueueRequest) (*cloudtaskspb.Queue, error) {
	return a.withQueue(r.GetName(), func(q *queue) error {
		q.settings.PurgeTime = timestamppb.Now()
		q.clear()
		return nil
	})
}

func (a *api) UpdateQueue(_ context.Context, r *cloudtaskspb.UpdateQueueRequest) (*cloudtaskspb.Queue, error) {
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	q, ok := a.s.queues[r.GetQueue().GetName()]
	var err error
	if ok {
		err = q.update(r.GetQueue(), r.GetUpdateMask().GetPaths())
	} else { // the service creates it
		q, err = a.s.addQueue(r.GetQueue())
	}
	if err != nil {
		return nil, err
	}
	return proto.CloneOf(q.settings), nil
}

// update takes over the fields that paths name; without paths, all that can be
// set.
func (q *queue) update(from *cloudtaskspb.Queue, paths []string) error {
	if len(paths) == 0 {
		paths = []string{"rate_limits", "retry_config", "http_target", "app_engine_routing_override"}
	}
	updated := proto.CloneOf(q.settings)
	for _, path := range paths {
		if err := copyField(updated.ProtoReflect(), from.ProtoReflect(), path); err != nil {
			return err
		}
	}
	updated.Name, updated.State, updated.PurgeTime = q.settings.GetName(), q.settings.GetState(), q.settings.GetPurgeTime() // output only
	if err := fillQueue(updated); err != nil {
		return err
	}
	q.settings = updated
	q.limits.set(time.Now(), updated.GetRateLimits())
	q.poke()
	return nil
}

// copyField copies what a path of a field mask names, like
// "retry_config.max_attempts".
func copyField(to, from protoreflect.Message, path string) error {
	first, rest, nested := strings.Cut(path, ".")
	field := to.Descriptor().Fields().ByName(protoreflect.Name(first))
	switch {
	case field == nil, nested && field.Message() == nil:
		return invalid("Invalid field in the update mask: " + path)
	case nested:
		return copyField(to.Mutable(field).Message(), from.Get(field).Message(), rest)
	case from.Has(field):
		to.Set(field, from.Get(field))
	default:
		to.Clear(field)
	}
	return nil
}

func (a *api) DeleteQueue(_ context.Context, r *cloudtaskspb.DeleteQueueRequest) (*emptypb.Empty, error) {
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	q, ok := a.s.queues[r.GetName()]
	if !ok {
		return nil, errNotFound // the text the service has for this call
	}
	q.clear()
	q.cancel()
	delete(a.s.queues, r.GetName())
	a.s.gone[r.GetName()] = time.Now()
	return &emptypb.Empty{}, nil
}

func (a *api) ListQueues(_ context.Context, r *cloudtaskspb.ListQueuesRequest) (*cloudtaskspb.ListQueuesResponse, error) {
	if r.GetFilter() != "" {
		return nil, status.Error(codes.Unimplemented, "cloudtaskstest: filters are not built")
	}
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	names := slices.Sorted(maps.Keys(a.s.queues))
	names = slices.DeleteFunc(names, func(name string) bool { return !strings.HasPrefix(name, r.GetParent()+"/queues/") })
	names, next := page(names, r.GetPageToken(), int(r.GetPageSize()))
	answer := &cloudtaskspb.ListQueuesResponse{NextPageToken: next}
	for _, name := range names {
		answer.Queues = append(answer.Queues, proto.CloneOf(a.s.queues[name].settings))
	}
	return answer, nil
}

// maxPage is the service's largest page.
const maxPage = 1000

// page cuts one page out of sorted names; a token is the last name of the page
// before.
func page(names []string, token string, size int) (one []string, next string) {
	if size <= 0 || size > maxPage {
		size = maxPage
	}
	if token != "" {
		at, found := slices.BinarySearch(names, token)
		if found {
			at++
		}
		names = names[at:]
	}
	if len(names) <= size {
		return names, ""
	}
	return names[:size], names[size-1]
}
