// Package pushtest makes a test go the whole way of a task in production, in one process
// and without a network: its row is stored, a Cloud Task is created by the real client in a
// fake of the service (cloudtaskstest), which delivers it as an HTTP request with an OIDC
// token; the request is verified, and the task runs.
//
//	s := pushtest.Start(t, queue.Config{Registry: queue.NewRegistry(SendWelcome)})
//	signUp(t.Context(), s.Client, "ann@example.com")
//	s.Wait(t, 10*time.Second)
//	queuetest.RequireEnqueued(t, s.Client, SendWelcome, queuetest.Status(queue.StatusSuccessful))
//
// Cloud Tasks retries and waits in real time. In a testing/synctest bubble hours of that
// take milliseconds.
package pushtest

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/claimcheck-go/claimcheck/cloudtasks"
	"github.com/claimcheck-go/claimcheck/cloudtasks/cloudtaskstest"
	"github.com/claimcheck-go/claimcheck/oidc"
	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/queuetest"
	"github.com/claimcheck-go/claimcheck/server/httpapi"
)

// What the deliveries have in common.
const (
	Account  = "tasks@test.iam.gserviceaccount.com" // whose token they carry
	Audience = "https://worker.test"                // of the token
)

// Server is a program that gets its tasks from Cloud Tasks. Make one with [Start].
type Server struct {
	Client *queue.Client
	// CloudTasks is the fake. It has every queue that a task names, and can be made to
	// fail ([cloudtaskstest.Server.SetFaults]).
	CloudTasks *cloudtaskstest.Server
	// Handler answers /tasks/*, for requests with a token of CloudTasks for [Account].
	Handler http.Handler
}

// Start returns a server for one test, which ends with it. cfg.Dispatcher must be nil;
// without cfg.Store the tasks are in a [queuetest.Store] that goes by package time. Start
// may be called in a synctest bubble.
func Start(t testing.TB, cfg queue.Config) *Server {
	t.Helper()
	if cfg.Dispatcher != nil {
		t.Fatal("pushtest: Start sets Config.Dispatcher: leave it nil")
	}
	s := new(Server)
	fake, calls := cloudtaskstest.Start(t, cloudtaskstest.Config{
		AutoCreate: cloudtaskstest.AnyQueue, ServiceAccounts: []string{Account},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.Handler.ServeHTTP(w, r) }),
	})
	dispatcher, err := cloudtasks.New(calls, cloudtasks.Config{
		Project: "test", Location: "europe-west1",
		HandlerURL: Audience + cloudtasks.DefaultHandlerPath, ServiceAccountEmail: Account, Audience: Audience,
	})
	must(t, err)
	cfg.Dispatcher = dispatcher
	s.Client, s.CloudTasks = queuetest.NewClient(t, cfg), fake

	executor, err := queue.NewExecutor(s.Client, queue.ExecutorConfig{WorkerID: "pushtest"})
	must(t, err)
	log := cfg.Logger
	if log == nil {
		log = queuetest.Logger(t)
	}
	verifier, err := oidc.New(oidc.Config{
		Audiences: []string{Audience}, Emails: []string{Account}, Logger: log,
		Issuer: "https://accounts.google.com", CertsURL: "https://certs.test/",
		HTTPClient: &http.Client{Transport: cloudtaskstest.InProcess(fake.Certs())},
	})
	must(t, err)
	s.Handler, err = httpapi.New(httpapi.Config{Client: s.Client, Executor: executor, Auth: verifier, Logger: log})
	must(t, err)
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("pushtest: %v", err)
	}
}

// Wait waits until Cloud Tasks has delivered all tasks, retries and delayed ones among
// them, at most for d: then it ends the test and says what is left.
func (s *Server) Wait(t testing.TB, d time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	if s.CloudTasks.WaitEmpty(ctx) == nil {
		return
	}
	var left []string
	for _, task := range s.CloudTasks.Tasks() {
		text := task.GetHttpRequest().GetUrl() + ", next delivery at " + task.GetScheduleTime().AsTime().Format(time.RFC3339)
		if last := task.GetLastAttempt().GetResponseStatus(); last != nil {
			text += ", last answer: " + last.GetMessage()
		}
		left = append(left, text)
	}
	t.Fatalf("pushtest: after %s Cloud Tasks still has %d tasks:\n  %s", d, len(left), strings.Join(left, "\n  "))
}
