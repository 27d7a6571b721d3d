package cloudtasks

import (
	"errors"
	"testing"

	"cloud.google.com/go/cloudtasks/apiv2/cloudtaskspb"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Answers that the fake does not give: a task counts as created only if its
// operation accounts for it.
func TestWhatAnOperationSaysOfTheRestOfItsTasks(t *testing.T) {
	tasks := func(n int) *cloudtaskspb.BatchCreateTasksResponse {
		return &cloudtaskspb.BatchCreateTasksResponse{Tasks: make([]*cloudtaskspb.Task, n)}
	}
	state := func(state cloudtaskspb.BatchCreateTasksMetadata_State, failed ...int32) *cloudtaskspb.BatchCreateTasksMetadata {
		m := &cloudtaskspb.BatchCreateTasksMetadata{State: state, FailedRequests: map[int32]*rpcstatus.Status{}}
		for _, i := range failed {
			m.FailedRequests[i] = &rpcstatus.Status{Code: int32(codes.NotFound)}
		}
		return m
	}
	internal := status.Error(codes.Internal, "no")
	for _, test := range []struct {
		name     string
		response *cloudtaskspb.BatchCreateTasksResponse
		meta     *cloudtaskspb.BatchCreateTasksMetadata
		err      error
		created  bool
		unknown  bool
	}{
		{"all", tasks(3), state(cloudtaskspb.BatchCreateTasksMetadata_SUCCEEDED), nil, true, false},
		{"all, without metadata", tasks(3), nil, nil, true, false},
		{"two and a failure", tasks(2), state(cloudtaskspb.BatchCreateTasksMetadata_PARTIALLY_SUCCEEDED, 1), nil, true, false},
		{"fewer than it should", tasks(2), state(cloudtaskspb.BatchCreateTasksMetadata_SUCCEEDED), nil, false, true},
		{"more than it should", tasks(3), state(cloudtaskspb.BatchCreateTasksMetadata_PARTIALLY_SUCCEEDED, 1), nil, false, true},
		{"neither tasks nor metadata", tasks(0), nil, nil, false, true},
		{"an error", nil, state(cloudtaskspb.BatchCreateTasksMetadata_FAILED), internal, false, false},
		{"an error for a part", nil, state(cloudtaskspb.BatchCreateTasksMetadata_PARTIALLY_SUCCEEDED, 1), internal, true, false},
		{"an error for a part that is not named", nil, state(cloudtaskspb.BatchCreateTasksMetadata_PARTIALLY_SUCCEEDED), internal, false, false},
		{"success without a response", nil, state(cloudtaskspb.BatchCreateTasksMetadata_SUCCEEDED), errors.New("unsupported result"), true, false},
		{"an end without a result", nil, state(cloudtaskspb.BatchCreateTasksMetadata_RUNNING), errors.New("unsupported result"), false, true},
	} {
		err := restOf("op", 3, test.response, test.meta, test.err)
		var unknown *unknownOutcomeError
		if (err == nil) != test.created || errors.As(err, &unknown) != test.unknown {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}
