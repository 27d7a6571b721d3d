package cloudtaskstest

import (
	"context"
	"fmt"
	"strings"
	"time"

	"cloud.google.com/go/cloudtasks/apiv2/cloudtaskspb"
	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// maxBatch is how many tasks one BatchCreateTasks may have.
const maxBatch = 100

// batch is one BatchCreateTasks and its operation. Everything is decided when it is
// created; the operation shows it from ends on.
type batch struct {
	name      string
	requestID string
	began     time.Time
	ends      time.Time
	never     bool // by StickBatch
	err       *rpcstatus.Status
	tasks     []*cloudtaskspb.Task
	failed    map[int32]*rpcstatus.Status
}

// batches are the operations that GetOperation knows. Server.mu guards it.
type batches struct {
	limit     int
	count     int // ever made
	byName    map[string]*batch
	byRequest map[string]*batch
	order     []*batch // oldest first
}

func (b *batches) add(made *batch, parent, requestID string) {
	location, _, _ := strings.Cut(parent, "/queues/")
	b.count++
	made.name = fmt.Sprintf("%s/operations/batch-%d", location, b.count)
	b.byName[made.name] = made
	if requestID != "" {
		made.requestID = parent + " " + requestID
		b.byRequest[made.requestID] = made
	}
	b.order = append(b.order, made)
	if len(b.order) > b.limit {
		oldest := b.order[0]
		delete(b.byName, oldest.name)
		delete(b.byRequest, oldest.requestID)
		b.order[0] = nil
		b.order = b.order[1:]
	}
}

// BatchCreateTasks creates what can be created of a batch.
//
// Assumed: what is wrong with the batch as a whole, its queue included, is answered
// at once; what is wrong with a task is in the operation's metadata, whose state is
// then PARTIALLY_SUCCEEDED, even if all tasks failed; a request ID that is repeated
// returns the same operation.
func (a *api) BatchCreateTasks(ctx context.Context, r *cloudtaskspb.BatchCreateTasksRequest) (*longrunningpb.Operation, error) {
	s := a.s
	if s.cfg.NoBatches {
		return nil, status.Error(codes.Unimplemented, "method BatchCreateTasks not implemented")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.checkBatch(ctx, r); err != nil {
		return nil, err
	}
	now := time.Now()
	if known := s.batches.byRequest[r.GetParent()+" "+r.GetRequestId()]; known != nil && r.GetRequestId() != "" {
		return known.operation(now)
	}
	if err := s.faults.refuses(RefuseBatch, r.GetParent()); err != nil {
		return nil, err
	}
	b := &batch{began: now, ends: now.Add(s.cfg.BatchTime), failed: map[int32]*rpcstatus.Status{}}
	for i, one := range r.GetRequests() {
		created, err := s.create(ctx, one)
		if err != nil {
			s.stats.Refused++
			b.failed[int32(i)] = status.Convert(err).Proto() //nolint:gosec // at most 100
			continue
		}
		b.tasks = append(b.tasks, view(created, one.GetResponseView()))
	}
	if s.faults.strikes(FailBatch, r.GetParent()) {
		b.err = status.New(s.faults.Code, "cloudtaskstest: stored, but the operation failed (fault)").Proto()
	}
	b.never = s.faults.strikes(StickBatch, r.GetParent())
	s.batches.add(b, r.GetParent(), r.GetRequestId())
	s.stats.Batches++
	return b.operation(now)
}

// checkBatch returns what is wrong with a batch as a whole. It is called with s.mu
// held.
func (s *Server) checkBatch(ctx context.Context, r *cloudtaskspb.BatchCreateTasksRequest) error {
	if err := checkCallDeadline(ctx); err != nil {
		return err
	}
	if n := len(r.GetRequests()); n == 0 || n > maxBatch {
		return invalid(fmt.Sprintf("The number of requests must be from 1 to %d, not %d.", maxBatch, n))
	}
	for i, one := range r.GetRequests() {
		if one.GetParent() != r.GetParent() {
			return invalid(fmt.Sprintf("The parent of request %d differs from the parent of the batch.", i))
		}
	}
	_, err := s.queueOf(r.GetParent())
	return err
}

// operation is what the service shows of the batch.
func (b *batch) operation(now time.Time) (*longrunningpb.Operation, error) {
	done := !b.never && !b.ends.After(now)
	meta := &cloudtaskspb.BatchCreateTasksMetadata{StartTime: timestamppb.New(b.began), State: cloudtaskspb.BatchCreateTasksMetadata_RUNNING}
	op := &longrunningpb.Operation{Name: b.name, Done: done}
	if done {
		meta.EndTime, meta.FailedRequests = timestamppb.New(b.ends), b.failed
		switch {
		case b.err != nil:
			meta.State, meta.FailedRequests = cloudtaskspb.BatchCreateTasksMetadata_FAILED, nil
			op.Result = &longrunningpb.Operation_Error{Error: b.err}
		case len(b.failed) > 0:
			meta.State = cloudtaskspb.BatchCreateTasksMetadata_PARTIALLY_SUCCEEDED
		default:
			meta.State = cloudtaskspb.BatchCreateTasksMetadata_SUCCEEDED
		}
		if b.err == nil {
			response, err := anypb.New(&cloudtaskspb.BatchCreateTasksResponse{Tasks: b.tasks})
			if err != nil {
				return nil, status.Error(codes.Internal, err.Error())
			}
			op.Result = &longrunningpb.Operation_Response{Response: response}
		}
	}
	var err error
	if op.Metadata, err = anypb.New(meta); err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	return op, nil
}

// operationsAPI is the interface of long-running operations. What is not built
// answers UNIMPLEMENTED.
type operationsAPI struct {
	longrunningpb.UnimplementedOperationsServer
	s *Server
}

func (a *operationsAPI) GetOperation(_ context.Context, r *longrunningpb.GetOperationRequest) (*longrunningpb.Operation, error) {
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	if err := a.s.faults.refuses(RefuseOperation, r.GetName()); err != nil {
		return nil, err
	}
	b, ok := a.s.batches.byName[r.GetName()]
	if !ok {
		return nil, status.Error(codes.NotFound, "Operation not found.")
	}
	return b.operation(time.Now())
}
