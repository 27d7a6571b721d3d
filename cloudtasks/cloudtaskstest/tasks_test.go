package cloudtaskstest_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/cloudtasks/apiv2/cloudtaskspb"
	"google.golang.org/api/iterator"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/claimcheck-go/claimcheck/cloudtasks/cloudtaskstest"
)

// serveHTTP is a handler on loopback; it hands on the requests it gets.
func serveHTTP(t *testing.T) (<-chan *http.Request, string) {
	got := make(chan *http.Request, 10)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got <- r }))
	t.Cleanup(server.Close)
	return got, server.URL
}

func withTimeout(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestCreateTaskRefuses(t *testing.T) {
	bubble(t, nil, func(c *cloudtaskstest.Config) {
		c.ServiceAccounts = []string{"tasks@acme.iam.gserviceaccount.com"}
	}, func(fx *fixture) {
		with := func(change func(*cloudtaskspb.Task)) *cloudtaskspb.Task {
			t := task()
			change(t)
			return t
		}
		appEngine := func(r *cloudtaskspb.AppEngineHttpRequest) *cloudtaskspb.Task {
			return &cloudtaskspb.Task{MessageType: &cloudtaskspb.Task_AppEngineHttpRequest{AppEngineHttpRequest: r}}
		}
		in := func(d time.Duration) *timestamppb.Timestamp { return timestamppb.New(time.Now().Add(d)) }
		for name, test := range map[string]struct {
			task *cloudtaskspb.Task
			code codes.Code
			says string
		}{
			"no target":   {&cloudtaskspb.Task{}, codes.InvalidArgument, "required"},
			"no URL":      {httpTask(""), codes.InvalidArgument, "url is required"},
			"scheme":      {httpTask("ftp://x/"), codes.InvalidArgument, "http://"},
			"long URL":    {httpTask("https://x/" + strings.Repeat("a", 2083)), codes.InvalidArgument, "2083"},
			"name":        {with(func(t *cloudtaskspb.Task) { t.Name = queueName + "/tasks/not valid" }), codes.InvalidArgument, "Task ID"},
			"long name":   {with(func(t *cloudtaskspb.Task) { t.Name = queueName + "/tasks/" + strings.Repeat("a", 501) }), codes.InvalidArgument, "500 characters"},
			"short name":  {with(func(t *cloudtaskspb.Task) { t.Name = "just-an-id" }), codes.InvalidArgument, "must be formatted"},
			"other queue": {with(func(t *cloudtaskspb.Task) { t.Name = queueName + "-other/tasks/1" }), codes.InvalidArgument, "must be the same"},
			"30 days":     {with(func(t *cloudtaskspb.Task) { t.ScheduleTime = in(30*24*time.Hour + time.Second) }), codes.InvalidArgument, "720h"},
			"short wait":  {with(func(t *cloudtaskspb.Task) { t.DispatchDeadline = durationpb.New(14 * time.Second) }), codes.InvalidArgument, "[15s, 30m]"},
			"long wait":   {with(func(t *cloudtaskspb.Task) { t.DispatchDeadline = durationpb.New(31 * time.Minute) }), codes.InvalidArgument, "[15s, 30m]"},
			"size":        {with(func(t *cloudtaskspb.Task) { t.GetHttpRequest().Body = make([]byte, 1<<20) }), codes.InvalidArgument, "too large"},
			"body of GET": {with(func(t *cloudtaskspb.Task) {
				r := t.GetHttpRequest()
				r.HttpMethod, r.Body = cloudtaskspb.HttpMethod_GET, []byte("x")
			}), codes.InvalidArgument, "body"},
			"account":    {withToken("stranger@acme.iam.gserviceaccount.com", ""), codes.NotFound, "not found"},
			"no account": {withToken("", "https://x"), codes.InvalidArgument, "serviceAccountEmail"},
			"OAuth": {with(func(t *cloudtaskspb.Task) {
				t.GetHttpRequest().AuthorizationHeader = &cloudtaskspb.HttpRequest_OauthToken{OauthToken: &cloudtaskspb.OAuthToken{}}
			}), codes.Unimplemented, "OAuth"},
			"AE size":      {appEngine(&cloudtaskspb.AppEngineHttpRequest{Body: make([]byte, 100<<10)}), codes.InvalidArgument, "too large"},
			"AE path":      {appEngine(&cloudtaskspb.AppEngineHttpRequest{RelativeUri: "x"}), codes.InvalidArgument, "relativeUri"},
			"no more than": {nil, codes.InvalidArgument, "required"},
		} {
			_, err := fx.tryCreate(test.task)
			if status.Code(err) != test.code || !strings.Contains(err.Error(), test.says) {
				fx.Errorf("%s: %v, want %s and %q", name, err, test.code, test.says)
			}
		}
		fx.create(with(func(t *cloudtaskspb.Task) { t.ScheduleTime = in(30 * 24 * time.Hour) }))
		fx.create(with(func(t *cloudtaskspb.Task) { t.DispatchDeadline = durationpb.New(30 * time.Minute) }))
		fx.create(withToken("tasks@acme.iam.gserviceaccount.com", ""))
		if stats := fx.srv.Stats(); stats.Created != 3 || stats.Refused != 19 {
			fx.Errorf("stats %+v", stats)
		}
	})
}

func withToken(email, audience string) *cloudtaskspb.Task {
	t := task()
	t.GetHttpRequest().AuthorizationHeader = &cloudtaskspb.HttpRequest_OidcToken{
		OidcToken: &cloudtaskspb.OidcToken{ServiceAccountEmail: email, Audience: audience},
	}
	return t
}

func TestCreateTaskRefusesLongCallDeadlines(t *testing.T) {
	bubble(t, nil, nil, func(fx *fixture) {
		ctx, cancel := context.WithTimeout(fx.Context(), time.Minute)
		defer cancel()
		_, err := fx.client.CreateTask(ctx, &cloudtaskspb.CreateTaskRequest{Parent: queueName, Task: task()})
		fx.code(err, codes.InvalidArgument)
	})
}

func TestNamesStayReserved(t *testing.T) {
	bubble(t, nil, nil, func(fx *fixture) {
		named := task()
		named.Name = queueName + "/tasks/9f2c-1"
		fx.create(named)
		_, err := fx.tryCreate(named)
		fx.code(err, codes.AlreadyExists)
		fx.empty()
		time.Sleep(23 * time.Hour)
		_, err = fx.tryCreate(named)
		fx.code(err, codes.AlreadyExists)
		_, err = fx.client.GetTask(fx.Context(), &cloudtaskspb.GetTaskRequest{Name: named.GetName()})
		if fx.code(err, codes.NotFound); !strings.Contains(err.Error(), "existed recently") {
			fx.Error(err)
		}
		time.Sleep(time.Hour)
		fx.create(named)
		fx.empty()
	})
	bubble(t, nil, func(c *cloudtaskstest.Config) { c.NamesHeldFor = time.Hour }, func(fx *fixture) {
		named := task()
		named.Name = queueName + "/tasks/9f2c-1"
		fx.create(named)
		fx.empty()
		time.Sleep(time.Hour)
		fx.create(named)
	})
}

func TestViewsListsAndDeletes(t *testing.T) {
	bubble(t, &cloudtaskspb.Queue{State: cloudtaskspb.Queue_PAUSED}, nil, func(fx *fixture) {
		withBody := task()
		withBody.GetHttpRequest().Body = []byte("hello")
		created := fx.create(withBody)
		if created.GetHttpRequest().GetBody() != nil || created.GetView() != cloudtaskspb.Task_BASIC ||
			created.GetDispatchDeadline().AsDuration() != 10*time.Minute {
			fx.Errorf("created %v", created)
		}
		full, err := fx.client.GetTask(fx.Context(), &cloudtaskspb.GetTaskRequest{Name: created.GetName(), ResponseView: cloudtaskspb.Task_FULL})
		if err != nil || string(full.GetHttpRequest().GetBody()) != "hello" {
			fx.Errorf("%v, %v", full, err)
		}
		fx.create(task())
		fx.create(task())
		list := fx.client.ListTasks(fx.Context(), &cloudtaskspb.ListTasksRequest{Parent: queueName, PageSize: 2})
		listed := 0
		for {
			if _, err := list.Next(); err == iterator.Done {
				break
			} else if err != nil {
				fx.Fatal(err)
			}
			listed++
		}
		if listed != 3 || len(fx.srv.Tasks()) != 3 {
			fx.Errorf("%d tasks listed, %d there", listed, len(fx.srv.Tasks()))
		}
		if err := fx.client.DeleteTask(fx.Context(), &cloudtaskspb.DeleteTaskRequest{Name: created.GetName()}); err != nil {
			fx.Error(err)
		}
		fx.code(fx.client.DeleteTask(fx.Context(), &cloudtaskspb.DeleteTaskRequest{Name: created.GetName()}), codes.NotFound)
		_, err = fx.client.RunTask(fx.Context(), &cloudtaskspb.RunTaskRequest{Name: created.GetName()})
		fx.code(err, codes.NotFound)
		if _, err := fx.client.PurgeQueue(fx.Context(), &cloudtaskspb.PurgeQueueRequest{Name: queueName}); err != nil {
			fx.Error(err)
		}
		fx.empty()
	})
}

func TestAttemptsKnowsTheLastTasksThatAreGone(t *testing.T) {
	bubble(t, nil, func(c *cloudtaskstest.Config) { c.History = 1 }, func(fx *fixture) {
		first := fx.create(task())
		fx.empty()
		second := fx.create(task())
		fx.empty()
		if a, b := fx.srv.Attempts(first.GetName()), fx.srv.Attempts(second.GetName()); len(a) != 0 || len(b) != 1 {
			fx.Errorf("%v and %v", a, b)
		}
	})
}
