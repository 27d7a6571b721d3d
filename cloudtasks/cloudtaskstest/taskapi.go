package cloudtaskstest

import (
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"cloud.google.com/go/cloudtasks/apiv2/cloudtaskspb"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func (a *api) CreateTask(ctx context.Context, r *cloudtaskspb.CreateTaskRequest) (*cloudtaskspb.Task, error) {
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	created, err := a.s.create(ctx, r)
	if err != nil {
		a.s.stats.Refused++
		return nil, err
	}
	return view(created, r.GetResponseView()), nil
}

// create is called with s.mu held.
func (s *Server) create(ctx context.Context, r *cloudtaskspb.CreateTaskRequest) (*cloudtaskspb.Task, error) {
	now := time.Now()
	if err := checkCallDeadline(ctx); err != nil {
		return nil, err
	}
	q, err := s.queueOf(r.GetParent())
	if err != nil {
		return nil, err
	}
	if err := s.checkTask(r.GetParent(), r.GetTask(), now); err != nil {
		return nil, err
	}
	pb := s.stored(q, r.GetTask(), now)
	if pb.GetRetryConfig() != nil {
		if err := fillRetry(pb.GetRetryConfig()); err != nil {
			return nil, err
		}
	}
	if _, exists := q.tasks[pb.GetName()]; exists || s.names.held(pb.GetName(), now) {
		return nil, errTaskExists
	}
	if err := s.faults.refuses(RefuseCreate, pb.GetName()); err != nil {
		return nil, err
	}
	t := &task{queue: q, pb: pb, named: r.GetTask().GetName() != "", index: -1, expires: now.Add(keptFor)}
	q.tasks[t.name()] = t
	q.byAge = append(q.byAge, t)
	t.setDue(pb.GetScheduleTime().AsTime())
	q.poke()
	s.stats.Created++
	if s.faults.strikes(StoreAndFail, pb.GetName()) {
		return nil, status.Error(s.faults.Code, "cloudtaskstest: stored, but answered with an error (fault)")
	}
	return pb, nil
}

// queueOf finds the queue of a new task, or lets it come into being.
func (s *Server) queueOf(name string) (*queue, error) {
	if !queueNamePattern.MatchString(name) {
		return nil, errQueueName
	}
	if q, ok := s.queues[name]; ok {
		return q, nil
	}
	if s.cfg.AutoCreate == nil || !s.cfg.AutoCreate(path.Base(name)) {
		return nil, errNoQueue
	}
	return s.addQueue(&cloudtaskspb.Queue{Name: name})
}

// stored is a new task as the service keeps it.
func (s *Server) stored(q *queue, requested *cloudtaskspb.Task, now time.Time) *cloudtaskspb.Task {
	pb := &cloudtaskspb.Task{
		Name:             requested.GetName(),
		MessageType:      proto.CloneOf(requested).GetMessageType(),
		CreateTime:       timestamppb.New(now.Truncate(time.Second)),
		ScheduleTime:     timestamppb.New(now),
		DispatchDeadline: requested.GetDispatchDeadline(),
		RetryConfig:      proto.CloneOf(requested.GetRetryConfig()),
		View:             cloudtaskspb.Task_FULL,
	}
	if pb.GetName() == "" {
		pb.Name = fmt.Sprintf("%s/tasks/%020d", q.settings.GetName(), s.rand.Uint64())
	}
	if at := requested.GetScheduleTime(); at != nil && at.AsTime().After(now) {
		pb.ScheduleTime = at
	}
	if pb.GetDispatchDeadline().AsDuration() == 0 {
		pb.DispatchDeadline = durationpb.New(defaultDispatchDeadline)
	}
	setDefaultHeaders(pb, q.settings.GetName())
	return pb
}

// setDefaultHeaders fills in what the service adds to the request when it
// stores the task (as recorded from it).
func setDefaultHeaders(pb *cloudtaskspb.Task, queueName string) {
	if r := pb.GetHttpRequest(); r != nil {
		if r.Headers == nil {
			r.Headers = map[string]string{}
		}
		deleteHeader(r.Headers, "User-Agent")
		r.Headers["User-Agent"] = "Google-Cloud-Tasks"
		return
	}
	r := pb.GetAppEngineHttpRequest()
	if r.Headers == nil {
		r.Headers = map[string]string{}
	}
	agent := strings.TrimSpace(deleteHeader(r.Headers, "User-Agent") + " AppEngine-Google; (+http://code.google.com/appengine)")
	r.Headers["User-Agent"] = agent
	if contentType := deleteHeader(r.Headers, "Content-Type"); contentType != "" {
		r.Headers["Content-Type"] = contentType
	} else if len(r.GetBody()) > 0 {
		r.Headers["Content-Type"] = "application/octet-stream"
	}
	if r.GetRelativeUri() == "" {
		r.RelativeUri = "/"
	}
	if r.AppEngineRouting == nil {
		r.AppEngineRouting = &cloudtaskspb.AppEngineRouting{}
	}
	routing := r.GetAppEngineRouting()
	host := strings.Split(queueName, "/")[1] + ".appspot.com"
	for _, part := range []string{routing.GetService(), routing.GetVersion(), routing.GetInstance()} {
		if part != "" {
			host = part + "-dot-" + host
		}
	}
	routing.Host = host
}

// deleteHeader deletes a header in any spelling, and returns its value.
func deleteHeader(headers map[string]string, name string) (value string) {
	for key, v := range headers {
		if strings.EqualFold(key, name) {
			value = v
			delete(headers, key)
		}
	}
	return value
}

// view is what the caller is shown of a task: BASIC leaves out the body.
func view(pb *cloudtaskspb.Task, v cloudtaskspb.Task_View) *cloudtaskspb.Task {
	shown := proto.CloneOf(pb)
	if v == cloudtaskspb.Task_FULL {
		return shown
	}
	shown.View = cloudtaskspb.Task_BASIC
	if r := shown.GetHttpRequest(); r != nil {
		r.Body = nil
	}
	if r := shown.GetAppEngineHttpRequest(); r != nil {
		r.Body = nil
	}
	return shown
}

// taskNamed finds a task. It is called with s.mu held.
func (s *Server) taskNamed(name string) (*task, error) {
	queueName, _, _ := strings.Cut(name, "/tasks/")
	if err := checkTaskName(queueName, name); err != nil || name == "" {
		return nil, invalid(`Task name must be formatted: "projects/<PROJECT_ID>/locations/<LOCATION_ID>/queues/<QUEUE_ID>/tasks/<TASK_ID>"`)
	}
	if q, ok := s.queues[queueName]; ok {
		if t, ok := q.tasks[name]; ok {
			return t, nil
		}
	}
	if s.names.held(name, time.Now()) {
		return nil, errTaskGone
	}
	return nil, errNotFound
}

func (a *api) GetTask(_ context.Context, r *cloudtaskspb.GetTaskRequest) (*cloudtaskspb.Task, error) {
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	t, err := a.s.taskNamed(r.GetName())
	if err != nil {
		return nil, err
	}
	return view(t.pb, r.GetResponseView()), nil
}

func (a *api) DeleteTask(_ context.Context, r *cloudtaskspb.DeleteTaskRequest) (*emptypb.Empty, error) {
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	t, err := a.s.taskNamed(r.GetName())
	if err != nil {
		return nil, err
	}
	if err := a.s.faults.refuses(RefuseDelete, r.GetName()); err != nil {
		return nil, err
	}
	t.queue.remove(t)
	return &emptypb.Empty{}, nil
}

// RunTask delivers now, whatever the queue's limits, its pause, and other
// deliveries of the task.
func (a *api) RunTask(_ context.Context, r *cloudtaskspb.RunTaskRequest) (*cloudtaskspb.Task, error) {
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	t, err := a.s.taskNamed(r.GetName())
	if err != nil {
		return nil, err
	}
	t.stopWaiting()
	t.queue.start(t, time.Now())
	return view(t.pb, r.GetResponseView()), nil
}

func (a *api) ListTasks(_ context.Context, r *cloudtaskspb.ListTasksRequest) (*cloudtaskspb.ListTasksResponse, error) {
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	q, ok := a.s.queues[r.GetParent()]
	if !ok {
		return nil, errNoQueue
	}
	names, next := page(slices.Sorted(maps.Keys(q.tasks)), r.GetPageToken(), int(r.GetPageSize()))
	answer := &cloudtaskspb.ListTasksResponse{NextPageToken: next}
	for _, name := range names {
		answer.Tasks = append(answer.Tasks, view(q.tasks[name].pb, r.GetResponseView()))
	}
	return answer, nil
}
